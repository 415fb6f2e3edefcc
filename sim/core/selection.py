"""A named part of a scenario: the entry that a registry knows by that name, and the keys that belong to it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sim.core.errors import InputError, shortened
from sim.core.registry import Registry, RegistryEntry
from sim.core.settings import Settings, add_meanings, problems_error, unknown_key

# How JSON Schema knows the name of something of a user's own.
USER_CODE_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


@dataclass(frozen=True)
class Selection:
    """One part of a scenario that is chosen by name.

    Attributes:
        selector: The key that names it: ``name`` or ``kind``.
        entry: What the registry knows by that name.
        settings: Its keys, checked, defaults filled in.
    """

    selector: str
    entry: RegistryEntry[Any]
    settings: Settings

    @property
    def name(self) -> str:
        """The registered name."""
        return self.entry.name

    def trait(self, key: str) -> Any:
        """A fact stated at registration; one given as a function is asked about these settings."""
        value = self.entry.traits.get(key)
        return value(self.settings) if callable(value) else value

    def dump(self) -> dict[str, Any]:
        """As YAML has it, defaults included."""
        return {self.selector: self.entry.name, **self.settings.model_dump(mode="json")}


@dataclass(frozen=True)
class SelectedFrom:
    """Pydantic's view of a part chosen by name: a union discriminated by its selector, open to users' entries.

    Only the entry that is named is imported; a union of all of them would import every protocol and link.

    Args:
        registry: Knows the names.
        selector: The key that names the entry.
        default: Its name where the selector is left out; None if it must not be.
    """

    registry: Registry[Any]
    selector: str
    default: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.plain_serializer_function_ser_schema(Selection.dump)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """One alternative per registered name; a name alone will do, and so will a user's own with any keys."""
        own = {"type": "string", "pattern": USER_CODE_PATTERN, "description": f"{self.registry.kind} of your own"}
        alternatives: list[dict[str, Any]] = [{"enum": self.registry.names()}, own]
        for entry in self.registry:
            keys = handler(entry.settings.__pydantic_core_schema__)
            keys = handler.resolve_ref_schema(keys)
            add_meanings(entry.settings, keys.get("properties", {}))
            alternatives.append(self._named(keys, entry))
        alternatives.append(
            {"type": "object", "title": "module:Name", "properties": {self.selector: own}, "required": [self.selector]}
        )
        return {"anyOf": alternatives}

    def _named(self, keys: Mapping[str, Any], entry: RegistryEntry[Any]) -> dict[str, Any]:
        return {
            **keys,
            "title": entry.name,
            "description": entry.summary,
            "properties": {
                self.selector: {"const": entry.name, "description": "its name"},
                **keys.get("properties", {}),
            },
            "required": [*([self.selector] if self.default is None else []), *keys.get("required", [])],
        }

    def parse(self, value: object) -> Selection:
        """Check one named part.

        Args:
            value: What YAML holds: a mapping, or the name alone.

        Raises:
            ValidationError: Unknown name or wrong keys.
        """
        if isinstance(value, Selection):
            return value
        if isinstance(value, str):
            value = {self.selector: value}
        if not isinstance(value, Mapping):
            article = "an" if self.registry.kind[0] in "aeiou" else "a"
            message = f"expected {article} {self.registry.kind} with its keys, got {shortened(value)}"
            raise problems_error([((), message, value)])
        keys = dict(value)
        name = keys.pop(self.selector, self.default)
        if not isinstance(name, str):
            raise self._unnamed(name, keys)
        try:
            entry = self.registry.find(name)
        except InputError as error:
            raise problems_error([((self.selector,), error.message, name)]) from error
        self._refuse_keys_of_others(entry, keys)
        try:
            return Selection(self.selector, entry, entry.settings.model_validate(keys))
        except InputError as error:
            raise problems_error([(error.key, error.message, keys)]) from error

    def _refuse_keys_of_others(self, entry: RegistryEntry[Any], keys: Mapping[str, Any]) -> None:
        """Say of an unknown key which other entries have it, and how one of them is chosen."""
        known = entry.settings.model_fields
        if entry.settings.model_config.get("extra") != "forbid":
            return
        problems = []
        for key in keys:
            if key in known:
                continue
            if key in self.registry.names():
                text = f"unknown key {key!r}: the keys of {self.registry.kind} {key!r} stand beside {self.selector!r}, "
                text += f"without {key!r} in front of them"
                problems.append(((key,), text, keys[key]))
                continue
            others = [other.name for other in self.registry if key in other.settings.model_fields]
            text = unknown_key(key, known)
            if others:
                text = (
                    f"unknown key {key!r} of {self.registry.kind} {entry.name!r}: it belongs to {', '.join(others)}; "
                    f"choose one of them by {self.selector!r}, or leave the key out"
                )
            problems.append(((key,), text, keys[key]))
        if problems:
            raise problems_error(problems)

    def _unnamed(self, name: object, keys: Mapping[str, Any]) -> Exception:
        """A part without its name, reported at the misspelt key if there is one: a key that no entry has."""
        kind, selector, valid = self.registry.kind, self.selector, ", ".join(self.registry.names())
        if name is not None:
            return problems_error(
                [((selector,), f"expected the name of a {kind}, got {shortened(name)}; valid: {valid}", name)]
            )
        named = f"a {kind} must be named by {selector!r}; valid: {valid}"
        known = {field for entry in self.registry for field in entry.settings.model_fields}
        unknown = [str(key) for key in keys if key not in known]
        near = difflib.get_close_matches(selector, unknown, n=1, cutoff=0.5)
        if near:
            text = f"unknown key {near[0]!r} (did you mean {selector!r}?): {named}"
            return problems_error([((near[0],), text, None)])
        if unknown:
            return problems_error([((unknown[0],), f"unknown key {unknown[0]!r}, and {named}", None)])
        return problems_error([((selector,), named, None)])
