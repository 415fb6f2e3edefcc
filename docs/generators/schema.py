"""Every key of a scenario from its JSON Schema: type, unit, bounds, default, meaning, and since which version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_FIRST_RELEASE = Path(__file__).with_name("keys_0.1.0.txt")
_SELECTORS = ("name", "kind")


@dataclass(frozen=True)
class Key:
    """One key of a scenario.

    Attributes:
        path: Dotted, such as ``devices.count``; of a part that is chosen by name ``link.nr.bandwidth_mhz``, where YAML
            has ``link: {kind: nr, bandwidth_mhz: 20}``.
        kind: Its type in words.
        unit: As people write it; empty if it has none.
        bounds: What values it may have, in words; empty if any of its type.
        default: As YAML has it; empty if it must be given, ``none`` if it may be left out.
        meaning: What it does.
        since: The version that brought it.
    """

    path: str
    kind: str
    unit: str
    bounds: str
    default: str
    meaning: str
    since: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class Part:
    """A part of a scenario, or one alternative of a part that is chosen by name.

    Attributes:
        path: ``devices``, or ``link.nr``.
        selector: The key that names the alternative, ``name`` or ``kind``; empty if there is nothing to choose.
        meaning: What it is.
        keys: Its keys.
    """

    path: str
    selector: str
    meaning: str
    keys: tuple[Key, ...]


def parts(schema: Mapping[str, Any] | None = None, version: str = "") -> list[Part]:
    """All parts of a scenario, in the schema's order.

    Args:
        schema: JSON Schema of a scenario; the installed one by default.
        version: What keys that the first release did not have are new in.
    """
    if schema is None:
        from sim.scenario.json_schema import scenario_json_schema

        schema = scenario_json_schema()
    first = set(_FIRST_RELEASE.read_text(encoding="utf-8").split())
    reader = _Reader(schema)
    found = [Part("", "", str(schema.get("description", "")), tuple(reader.keys_of(schema, "")))]
    for name, node in schema["properties"].items():
        found += reader.parts_of(name, node)
    return [replace(part, keys=tuple(_dated(key, first, version) for key in part.keys)) for part in found]


def _dated(key: Key, first: set[str], version: str) -> Key:
    return replace(key, since="0.1.0" if key.path in first else version)


class _Reader:
    """Follows references and alternatives of one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            target: Any = self._schema
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
        return node

    def _alternatives(self, node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        node = self._resolve(node)
        options = node.get("anyOf") or node.get("oneOf")
        if options is None and len(node.get("allOf", ())) == 1:
            options = node["allOf"]
        if options is None:
            return [node]
        return [option for nested in options for option in self._alternatives(nested)]

    def parts_of(self, path: str, node: Mapping[str, Any]) -> Iterator[Part]:
        """Parts below a property: itself if it has keys, each alternative if there are several named ones."""
        for option in self._alternatives(node):
            properties = option.get("properties")
            if option.get("type") != "object" or not properties:
                continue
            selector = next((name for name in _SELECTORS if "const" in properties.get(name, {})), "")
            if selector:
                name = properties[selector]["const"]
                inner = f"{path}.{name}"
                yield Part(inner, selector, _text(option), tuple(self.keys_of(option, inner, selector)))
            elif all("anyOf" in self._resolve(inner) and self._is_choice(inner) for inner in properties.values()):
                # One choice per site: they are the same, so one of them tells all.
                yield from self.parts_of(path, next(iter(properties.values())))
            else:
                yield Part(path, "", _text(option), tuple(self.keys_of(option, path)))

    def _is_choice(self, node: Mapping[str, Any]) -> bool:
        return any(
            "const" in option.get("properties", {}).get(name, {})
            for option in self._alternatives(node)
            for name in _SELECTORS
        )

    def keys_of(self, node: Mapping[str, Any], path: str, selector: str = "") -> Iterator[Key]:
        """The keys of one object that are values, not parts of their own."""
        for name, inner in node.get("properties", {}).items():
            if name == selector or (not path and any(True for _ in self.parts_of(name, inner))):
                continue
            yield self._key(f"{path}.{name}" if path else name, inner, name in node.get("required", ()))

    def _key(self, path: str, node: Mapping[str, Any], is_required: bool) -> Key:
        from sim.figures.labels import unit_of

        options = [option for option in self._alternatives(node) if option.get("type") != "null"]
        kinds = list(dict.fromkeys(filter(None, (self._kind(option) for option in options))))
        bounds = list(dict.fromkeys(filter(None, (_bounds(option) for option in options))))
        default = "" if is_required else yaml_value(self._resolve(node).get("default"))
        unit = unit_of(path.rpartition(".")[2])
        return Key(path, " or ".join(kinds), unit, "; ".join(bounds), default, _text(self._resolve(node)))

    def _kind(self, node: Mapping[str, Any]) -> str:
        node = self._resolve(node)
        if "enum" in node or "const" in node:
            return "choice"
        words = {"number": "number", "integer": "integer", "string": "text", "boolean": "true or false"}
        if node.get("type") == "array":
            items = node.get("items") or {}
            inner = " or ".join(
                dict.fromkeys(filter(None, (self._kind(option) for option in self._alternatives(items))))
            )
            return f"list of {inner}" if inner else "list"
        if node.get("type") == "object":
            return "mapping"
        return words.get(str(node.get("type")), "")


def _bounds(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"] if value is not None)
    if "const" in node:
        return f"`{node['const']}`"
    low = _end(node, "exclusiveMinimum", "> ", "minimum", "≥ ")
    high = _end(node, "exclusiveMaximum", "< ", "maximum", "≤ ")
    inner = node.get("items")
    each = f"each {_bounds(inner)}" if isinstance(inner, Mapping) and _bounds(inner) else ""
    return ", ".join(filter(None, (low, high, each)))


# Every number has bounds beyond which it cannot be meant (1e12); they say nothing to a reader.
_FENCE = 1e12


def _end(node: Mapping[str, Any], open_key: str, open_sign: str, closed_key: str, closed_sign: str) -> str:
    key, sign = (open_key, open_sign) if open_key in node else (closed_key, closed_sign)
    if key not in node or abs(node[key]) >= _FENCE:
        return ""
    return f"{sign}{node[key]:g}"


def _text(node: Mapping[str, Any]) -> str:
    return " ".join(str(node.get("description", "")).split())


def yaml_value(value: Any) -> str:
    """A value as YAML has it; ``none`` for one that is left out."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(yaml_value(item) for item in value)}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{key}: {yaml_value(item)}" for key, item in value.items())
        return f"{{{inside}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)
