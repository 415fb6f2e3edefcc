"""Changes by dotted key: what ``--set``, ``--vary``, sweep axes and ``Scenario.replace`` are made of."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import NoneType
from typing import Any

from sim.core.errors import InputError, shortened
from sim.core.registry import Registry
from sim.core.yaml_text import YamlError, read_values
from sim.scenario.model_sets import MODEL_SETS, models_of_set
from sim.scenario.problems import Problem, ScenarioProblems

SEED_OPTION = "--seed"

# Parts chosen by name: naming another entry drops the old one's keys, which mean nothing to it.
_SELECTORS = {
    ("protocol", "name"),
    ("controller", "name"),
    ("link", "kind"),
    ("edge", "engine"),
    ("cloud", "engine"),
}
_SELECTOR_OF = {"protocol": "name", "controller": "name", "link": "kind", "edge": "engine", "cloud": "engine"}

_IMMUTABLE = (str, int, float, bool, NoneType)
_NAMED_AT_DEPTH = {"protocol": 0, "controller": 0, "link": 0, "edge": 0, "cloud": 0, "compute": 1}


def apply_overrides(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a scenario's nested mappings with dotted keys changed; ``protocol.name`` resets the protocol's keys.

    Whole parts are changed before what is in them, and selectors before other keys, so that the order of the changes
    does not matter.

    Raises:
        ScenarioProblems: A key goes through something that has no keys.
    """
    result = {key: _copied(value) for key, value in data.items()}
    for key in sorted(changes, key=lambda name: (name.count("."), not _is_selector(name))):
        _change(result, key, changes[key])
    return result


def _copied(value: Any) -> Any:
    """A deep copy; of plain values much faster than ``copy.deepcopy``, which keeps account of shared ones."""
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value if type(value) in _IMMUTABLE else copy.deepcopy(value)


def _is_selector(key: str) -> bool:
    parts = tuple(key.split("."))
    return parts in _SELECTORS or (parts[0] == "compute" and parts[-1] == "kind")


def _steps(key: str) -> list[str]:
    """Keys from the root down; below a sweep's axes stand dotted keys themselves."""
    parts = key.split(".")
    if parts[0] == "sweep" and parts[1:2] in (["axes"], ["zip"]) and len(parts) > 2:
        return [*parts[:2], ".".join(parts[2:])]
    return parts


def _change(data: dict[str, Any], key: str, value: Any) -> None:
    if key == "devices":
        data[key] = _copied(value)
        return
    parts = _steps(key)
    current: Any = data
    if parts[0] == "devices" and isinstance(data.get("devices"), list):
        current, parts = _kind_of(data["devices"], parts)
    for depth, part in enumerate(parts[:-1]):
        below: Any = _below(current, parts, depth)
        if isinstance(below, str) and _NAMED_AT_DEPTH.get(parts[0]) == depth:
            # A part given by its name alone, such as `protocol: tslt`.
            below = {_SELECTOR_OF.get(parts[0], "kind"): below}
        elif isinstance(below, str) and parts[0] == "models" and depth == 0 and below in MODEL_SETS:
            below = models_of_set(below)
        elif below is None:
            below = {}
        if not isinstance(below, dict | list):
            raise ScenarioProblems(
                [
                    Problem(
                        tuple(parts),
                        f"{'.'.join(parts[: depth + 1])} is {shortened(below)}, which has no keys below it",
                    )
                ]
            )
        current[_place(current, part)] = below
        current = below
    _below(current, parts, len(parts) - 1)
    if _is_selector(key):
        if current.get(parts[-1]) != value:
            kept = _shared_keys(parts[0], current, value)
            current.clear()
            current.update(kept)
        current[parts[-1]] = value
    else:
        current[_place(current, parts[-1])] = _copied(value)


def _below(current: dict[str, Any] | list[Any], parts: list[str], depth: int) -> Any:
    """What stands behind a key of a mapping, None if nothing; an item of a list goes by its place, from 0.

    Raises:
        ScenarioProblems: The list has no such item.
    """
    if isinstance(current, dict):
        return current.get(parts[depth])
    valid = [str(place) for place in range(len(current))]
    if parts[depth] not in valid:
        items = f"items 0 to {len(current) - 1}" if current else "no items"
        message = f"{'.'.join(parts[:depth])} is a list with {items}, got {shortened(parts[depth])}"
        raise ScenarioProblems([Problem(tuple(parts), message)])
    return current[int(parts[depth])]


def _place(current: dict[str, Any] | list[Any], part: str) -> Any:
    return part if isinstance(current, dict) else int(part)


def _kind_of(kinds: list[Any], parts: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The kind of devices that a key such as ``devices.phones.count`` is of, and the rest of the key."""
    by_name = {kind["name"]: kind for kind in kinds if isinstance(kind, dict) and isinstance(kind.get("name"), str)}
    if parts[1] in by_name and len(parts) > 2:
        return by_name[parts[1]], parts[2:]
    valid = ", ".join(f"devices.{name}" for name in by_name)
    raise ScenarioProblems([Problem(tuple(parts), f"devices are of several kinds; keys of theirs begin with {valid}")])


def _shared_keys(part: str, old: Mapping[str, Any], name: Any) -> dict[str, Any]:
    """Keys of the old entry that the new one has too, such as the draft length of two protocols.

    Only those that say something: a key at the old entry's default leaves the new entry its own default, so that a
    scenario with every default filled in changes as the one that it was made from.
    """
    from sim.compute.registry import COMPUTE
    from sim.decoding.controllers.registry import CONTROLLERS
    from sim.decoding.protocols.registry import PROTOCOLS
    from sim.links.registry import LINKS
    from sim.serving.registry import ENGINES

    registries: dict[str, tuple[Registry[Any], str]] = {
        "protocol": (PROTOCOLS, "name"),
        "controller": (CONTROLLERS, "name"),
        "link": (LINKS, "kind"),
        "edge": (ENGINES, "engine"),
        "cloud": (ENGINES, "engine"),
        "compute": (COMPUTE, "kind"),
    }
    registry, selector = registries[part]
    at_the_site = {key: old[key] for key in ("one_way_delay_s", "backhaul_mbps") if part == "cloud" and key in old}
    try:
        fields = registry.find(str(name)).settings.model_fields
        before = registry.find(str(old.get(selector, "continuous"))).settings.model_fields
    except InputError:
        return at_the_site
    return at_the_site | {
        key: value
        for key, value in old.items()
        if key in fields and not (key in before and value == before[key].get_default(call_default_factory=True))
    }


class Changes(dict[str, Any]):
    """Changes by dotted key, and which option the seed among them comes from."""

    has_seed_option = False

    def option_of(self, key: str) -> str:
        """The option that gave a key: ``--seed``, or ``--set``."""
        return SEED_OPTION if key == "seed" and self.has_seed_option else "--set"


def changes_of(set_: list[str], seed: int | None) -> Changes:
    """Changes by dotted key from ``--set`` and ``--seed``."""
    changes = Changes(parse_assignment(text, "--set") for text in set_)
    if seed is not None:
        changes["seed"] = seed
        changes.has_seed_option = True
    return changes


def parse_axes(texts: Iterable[str]) -> dict[str, Any]:
    """Axes by key from the texts of ``--vary``.

    Raises:
        InputError: One is no axis, or two are of one key.
    """
    axes: dict[str, Any] = {}
    for text in texts:
        key, values = _parse_axis(text)
        if key in axes:
            raise InputError(f"given twice; one option takes all values: --vary {key}=v1,v2,...", (key,), "--vary")
        axes[key] = values
    return axes


def _parse_axis(text: str) -> tuple[str, Any]:
    """Split ``key.path=v1,v2,...`` into an axis; one value in braces or brackets is a range or list as YAML has it."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--vary expects key.path=v1,v2,..., got {text!r}")
    if raw.strip().startswith(("{", "[")):
        # Several lists, such as [1, 2],[2, 2], are no YAML before they stand in brackets.
        with suppress(InputError):
            return parse_assignment(text, "--vary")
    try:
        return parse_assignment(f"{key}=[{raw}]", "--vary")
    except InputError as error:
        raise InputError(f"{shortened(raw)} is no list of values: {error.message}", (key.strip(),), "--vary") from error


def parse_assignment(text: str, option: str) -> tuple[str, Any]:
    """Split ``key.path=value``, the value read as YAML.

    Raises:
        InputError: No equals sign, or a value that is no YAML.
    """
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{option} expects key.path=value, got {text!r}")
    try:
        return key.strip(), read_values(raw)
    except YamlError as error:
        raise InputError(f"{shortened(raw)} is not YAML: {error.problem}", (key.strip(),), option) from error
