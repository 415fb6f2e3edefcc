"""What an imported tape says of models that are not on this machine: their metadata and the prompts as token ids.

A model that is here is never taken for what a tape says of it. Models are found by their names as a scenario writes
them, relative to the scenario's folder, so that no path of the machine that recorded the tape is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim.core.files import cache_folder, read_json_object, update_json_object
from sim.models.info import ModelInfo


def name_marks(name: str) -> list[str]:
    """Hashes of all ways in which a scenario may name a model: its path from any folder above it, or its whole name."""
    parts = Path(name).parts
    starts = range(len(parts)) if Path(name).is_absolute() else [0]
    return [_mark(parts[start:]) for start in starts]


def _mark(parts: Sequence[str]) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:24]


def describe_models(names: Mapping[str, str], dtype: str, models: Mapping[str, ModelInfo]) -> dict[str, Any]:
    """What an exported tape says of a scenario's models.

    Args:
        names: As the scenario has them, by role.
        dtype: Numerics that they were loaded with.
        models: Their metadata by role.
    """
    shown = {role: f"{Path(name).name} (imported)" for role, name in names.items()}
    return {
        "names": {role: name_marks(name) for role, name in names.items()},
        "dtype": dtype,
        "models": {role: {**info.to_plain(), "name": shown[role]} for role, info in models.items()},
    }


def check_models(described: Mapping[str, Any]) -> None:
    """Hold a description against what one looks like.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: It is none.
    """
    for role, plain in described["models"].items():
        ModelInfo.from_plain(plain)
        if not all(isinstance(mark, str) for mark in described["names"][role]):
            raise ValueError("names must be marks")
    if not isinstance(described["dtype"], str):
        raise ValueError("dtype must be a name")


def store_models(described: Sequence[Mapping[str, Any]]) -> None:
    """Keep what a tape says of models for the time when they are asked for.

    Raises:
        OSError: The cache cannot be written.
    """
    new = {_mark([str(sorted(one["names"].items())), one["dtype"]]): dict(one) for one in described}
    update_json_object(cache_folder() / "imported.json", lambda known: {**known, **new})


def find_models(names: Mapping[str, str], dtype: str) -> dict[str, ModelInfo] | None:
    """Metadata of models by role, as an imported tape has it; None if none has."""
    wanted = {role: _mark(Path(name).parts) for role, name in names.items()}
    for one in reversed(read_json_object(cache_folder() / "imported.json").values()):
        try:
            known = one["names"]
            if one["dtype"] == dtype and all(mark in known.get(role, ()) for role, mark in wanted.items()):
                return {role: ModelInfo.from_plain(one["models"][role]) for role in names}
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
    return None


@lru_cache(maxsize=4)
def prompts_in(cache: Path) -> dict[str, dict[str, list[int]]]:
    """Token ids by fingerprint of a model and text, as imported tapes have them."""
    return read_json_object(cache / "prompts.json")


def store_prompts(prompts: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
    """Keep token ids of prompts.

    Raises:
        OSError: The cache cannot be written.
    """

    def merged(known: dict[str, Any]) -> dict[str, Any]:
        return {**known, **{model: {**known.get(model, {}), **texts} for model, texts in prompts.items()}}

    update_json_object(cache_folder() / "prompts.json", merged)
    prompts_in.cache_clear()
