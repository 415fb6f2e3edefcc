"""``specran list keys``: every key of a scenario with its type, unit, bounds, default and meaning."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sim.compute.registry import COMPUTE
from sim.core.errors import InputError, unknown_name_message
from sim.core.registry import Registry, RegistryEntry
from sim.core.selection import SelectedFrom, Selection
from sim.core.settings import Settings, default_bound, field_docstrings, unit_of_key
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.protocols.registry import PROTOCOLS
from sim.links.registry import LINKS
from sim.scenario.schema import BACKHAUL_KEYS, SITES, CloudSettings, Scenario
from sim.serving.registry import ENGINES

# Parts that are chosen by name: the key that chooses, and the registry.
CHOSEN: dict[str, tuple[str, Registry[Any]]] = {
    "protocol": ("name", PROTOCOLS),
    "controller": ("name", CONTROLLERS),
    "link": ("kind", LINKS),
    "edge": ("engine", ENGINES),
    "cloud": ("engine", ENGINES),
    "compute": ("kind", COMPUTE),
}

# What any number must stay below.
_ANY_NUMBER = 1e12
# Keys of large parts that nearly every scenario sets; they come before the others, which stand as the schema has them.
FIRST_KEYS: dict[str, tuple[str, ...]] = {
    "link.nr.": (
        "scenario",
        "carrier_ghz",
        "bandwidth_mhz",
        "scs_khz",
        "tdd_pattern",
        "num_sites",
        "sectors_per_site",
        "inter_site_distance_m",
        "channel",
        "snr_db",
        "distances_m",
        "positions_m",
        "scheduler",
        "profile",
        "interference",
        "fading",
        "mobility",
        "speed_kmh",
        "num_rx",
        "num_tx",
        "background",
    )
}


def list_keys(section: str | None) -> list[dict[str, str]]:
    """Rows of ``key``, ``type``, ``unit``, ``default``, ``bounds`` and ``meaning``.

    Args:
        section: Only keys that are this one or lie below it; keys of a chosen part carry its name, such as
            ``link.nr.bandwidth_mhz`` for the key ``link.bandwidth_mhz`` of the kind ``nr``.

    Raises:
        InputError: There is no such key.
    """
    rows = list(_all_keys())
    if section is None:
        return rows
    found = [row for row in rows if row["key"] == section or row["key"].startswith(f"{section}.")]
    if not found:
        names = {part for row in rows for part in (row["key"], *_sections_of(row["key"]))}
        raise InputError(unknown_name_message("section of keys", section, names if "." in section else _top(names)))
    return found


def how_written(section: str | None) -> str:
    """How the keys of a list are written in a scenario and after ``--set``, where they carry the name of their kind.

    Args:
        section: What the list is of; None for all keys.
    """
    part, _, name = (section or "link").partition(".")
    name = name.partition(".")[0]
    if part not in CHOSEN:
        return ""
    selector, registry = CHOSEN[part]
    place = f"{part}.edge" if part == "compute" else part
    if name not in registry.names():
        name = {"link": "nr", "protocol": "tslt"}.get(part, registry.names()[0])
    in_yaml = f"{{{selector}: {name}, KEY: VALUE}}"
    in_yaml = f"{part}: {{edge: {in_yaml}}}" if part == "compute" else f"{part}: {in_yaml}"
    return f"# {part}.{name}.KEY is written {in_yaml} in YAML, and --set {place}.KEY=VALUE where {name} is chosen"


def _top(names: set[str]) -> list[str]:
    return [name for name in names if "." not in name]


def _sections_of(key: str) -> Iterator[str]:
    while "." in key:
        key = key.rpartition(".")[0]
        yield key


def _all_keys() -> Iterator[dict[str, str]]:
    meanings = field_docstrings(Scenario)
    for name, field in Scenario.model_fields.items():
        inner = _settings_in(field.annotation)
        if name in CHOSEN:
            yield from _chosen_keys(name, field, meanings[name])
        elif inner is not None:
            yield from _keys_of(inner, f"{name}.")
        else:
            yield _row(Scenario, name, field, "", meanings[name])


def _chosen_keys(part: str, field: FieldInfo, meaning: str) -> Iterator[dict[str, str]]:
    selector, registry = CHOSEN[part]
    place = f"{part}.{{{','.join(SITES)}}}" if part == "compute" else part
    default = {"compute": "calibrated", "cloud": "continuous"}.get(part, field.default)
    name = default[selector] if isinstance(default, dict) else default
    yield {
        "key": f"{part}.{selector}",
        "type": "name or module:Name",
        "unit": "",
        "default": str(name),
        "bounds": " | ".join(registry.names()),
        "meaning": f"{meaning} Written {place}.{selector}." if part == "compute" else meaning,
    }
    for entry in registry:
        yield from _keys_of(entry.settings, f"{part}.{entry.name}.")
    if part == "cloud":
        yield from (row for row in _keys_of(CloudSettings, "cloud.") if row["key"].rpartition(".")[2] in BACKHAUL_KEYS)


def _keys_of(settings: type[Settings], prefix: str) -> Iterator[dict[str, str]]:
    meanings = field_docstrings(settings)
    first = FIRST_KEYS.get(prefix, ())
    for name in (*first, *(name for name in settings.model_fields if name not in first)):
        field = settings.model_fields[name]
        yield _row(settings, name, field, prefix, meanings.get(name, field.description or ""))
        inner = _settings_in(field.annotation)
        if inner is not None:
            yield from _keys_of(inner, f"{prefix}{name}.")
        for entry in _chosen_from(field):
            yield from _keys_of(entry.settings, f"{prefix}{name}.{entry.name}.")


def _row(settings: type[Settings], name: str, field: FieldInfo, prefix: str, meaning: str) -> dict[str, str]:
    default = field.get_default(call_default_factory=True)
    return {
        "key": f"{prefix}{name}",
        "type": type_of(field.annotation),
        "unit": unit_of_key(name),
        "default": "required" if default is PydanticUndefined else _plain(default),
        "bounds": bounds_of(settings, name, field),
        "meaning": " ".join(meaning.split()),
    }


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(getattr(value, "value", value))


def type_of(annotation: Any) -> str:
    """A field's type in the words of YAML, such as ``number or list of number``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_of(one) for one in inner if one is not type(None)))
    if origin is Literal:
        return "one of"
    if origin is typing.Annotated:
        return type_of(inner[0])
    if origin in (list, tuple):
        of = dict.fromkeys(type_of(one) for one in inner if one is not Ellipsis)
        return f"list of {' or '.join(of)}"
    if origin is dict:
        return f"mapping to {type_of(inner[1])}"
    names = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    if annotation in names:
        return names[annotation]
    if annotation is Selection:
        return "name or module:Name"
    return "one of" if hasattr(annotation, "__members__") else "path" if annotation.__name__ == "Path" else "any"


def bounds_of(settings: type[Settings], name: str, field: FieldInfo) -> str:
    """The values that a field may have, such as ``>= 0, <= 100`` or the names to choose from.

    The limit of all numbers tells nothing of one of them, and is left out.
    """
    names = list(_names_in(field.annotation)) or [entry.name for entry in _chosen_from(field)]
    if names:
        return " | ".join(names)
    found = [*_limits(field.metadata), *_inner_limits(field.annotation)]
    largest = default_bound(settings, name)
    if found and _is_numeric(field.annotation) and largest is not None and largest < _ANY_NUMBER:
        found.append(f"<= {largest:g}")
    return ", ".join(dict.fromkeys(found))


def _chosen_from(field: FieldInfo) -> list[RegistryEntry[Any]]:
    """What a key within a part is chosen from by name, if it is."""
    return [entry for part in field.metadata if isinstance(part, SelectedFrom) for entry in part.registry]


def _limits(metadata: list[Any]) -> Iterator[str]:
    for part in metadata:
        for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
            bound = getattr(part, attribute, None)
            if bound is not None:
                yield f"{sign} {bound}" if isinstance(bound, int) else f"{sign} {bound:g}"


def _inner_limits(annotation: Any) -> Iterator[str]:
    """Bounds of what a union, list or mapping holds."""
    inner = get_args(annotation)
    if get_origin(annotation) is typing.Annotated:
        for part in inner[1:]:
            yield from _limits(part.metadata if isinstance(part, FieldInfo) else [part])
    for one in inner:
        yield from _inner_limits(one)


def _names_in(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(name) for name in get_args(annotation))
    elif hasattr(annotation, "__members__"):
        yield from (str(member.value) for member in annotation)
    else:
        # Of a mapping, what it holds counts, not its keys.
        for one in get_args(annotation)[get_origin(annotation) is dict :]:
            yield from _names_in(one)


def _is_numeric(annotation: Any) -> bool:
    return annotation in (int, float) or any(_is_numeric(one) for one in get_args(annotation))


def _settings_in(annotation: Any) -> type[Settings] | None:
    alternatives = (annotation, *get_args(annotation))
    return next((one for one in alternatives if isinstance(one, type) and issubclass(one, Settings)), None)
