"""``specran models``: what models are here, fetching them, and what they are without loading them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sim.cli.output import print_json
from sim.cli.terminal import print_lines


def list_models_command(as_json: bool) -> None:
    """One line per model that ships, can be fetched, or was converted."""
    from sim.models.describe import listed_models

    rows = listed_models()
    if as_json:
        print_json([{"name": name, "here": state == "here", "about": about} for name, state, about in rows])
        return
    width = max(len(name) for name, *_ in rows)
    states = max(len(state) for _, state, _ in rows)
    print_lines([f"{name:<{width}}  {state:<{states}}  {about}" for name, state, about in rows])


def get_command(name: str) -> None:
    """Have a model's files on this machine: fetched, downloaded or converted."""
    from sim.models.sources import find_model

    print_lines([str(folder) for folder in find_model(name).folders])


def check_command(name: str, other: str | None, as_json: bool) -> int:
    """Tell what a model is, and whether it and another one can be draft and target; 1 if they cannot.

    Raises:
        InputError: A model cannot be loaded.
    """
    from sim.models.describe import describe_model, describe_pair

    described = describe_model(name)
    found: dict[str, Any] = asdict(described[0])
    if other is not None:
        target = describe_model(other)
        found["with"] = asdict(target[0])
        found["pair"] = describe_pair(described, target)
    if as_json:
        print_json(found)
    else:
        print_lines(_lines(found))
    return 0 if other is None or found["pair"]["possible"] else 1


_LABELS = {
    "architecture": "architecture",
    "parameters": "parameters",
    "layers": "layers",
    "vocab_size": "vocabulary",
    "max_context": "longest text",
    "eos_ids": "end of text",
    "bos_id": "begin of text",
    "chat_template": "chat template",
    "place": "files",
}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for model in (found, *([found["with"]] if "with" in found else [])):
        lines.append(model["name"])
        lines += [f"  {label:<14} {_shown(model[key])}" for key, label in _LABELS.items()]
        lines += [f"  note: {note}" for note in model["notes"]]
    if "pair" in found:
        pair = found["pair"]
        verdict = "yes" if pair["possible"] else f"no: {pair['problem']}"
        lines.append(f"{found['name']} as draft of {found['with']['name']}: {verdict}")
        lines += [f"  note: {note}" for note in pair["notes"]]
        if not pair["possible"] and pair["shared_tokens"]:
            count, key = pair["shared_tokens"], "models.draft_vocabulary: shared_tokens"
            lines.append(f"  note: {count:,} tokens are in both vocabularies; {key} pairs the two by them")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(str(item) for item in value) or "none"
    return "not known" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
