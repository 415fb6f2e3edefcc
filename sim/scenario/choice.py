"""A named part of a scenario: the entry that a registry knows by that name, and the keys that belong to it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.core.errors import InputError
from sim.core.registry import Registry, RegistryEntry
from sim.core.settings import Settings
from sim.scenario.problems import Problem, ScenarioProblems, problems_of


@dataclass(frozen=True)
class Choice:
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


def parse_choice(registry: Registry[Any], selector: str, value: object, where: tuple[str, ...]) -> Choice:
    """Check one named part.

    Args:
        registry: Knows the names.
        selector: The key that names the entry.
        value: What YAML holds: a mapping, or the name alone.
        where: Path of the part in the scenario, for messages.

    Raises:
        ScenarioProblems: Unknown name or wrong keys.
    """
    if isinstance(value, str):
        value = {selector: value}
    if not isinstance(value, Mapping):
        raise ScenarioProblems([Problem(where, f"expected a {registry.kind} with its keys, got {value!r}")])
    keys = dict(value)
    name = keys.pop(selector, None)
    if not isinstance(name, str):
        raise ScenarioProblems([_unnamed(registry, selector, name, keys, where)])
    try:
        entry = registry.find(name)
    except InputError as error:
        raise ScenarioProblems([Problem((*where, selector), str(error))]) from error
    try:
        settings = entry.settings.model_validate(keys)
    except Exception as error:
        raise ScenarioProblems(problems_of(error, entry.settings, where)) from error
    return Choice(selector, entry, settings)


def _unnamed(
    registry: Registry[Any], selector: str, name: object, keys: Mapping[str, Any], where: tuple[str, ...]
) -> Problem:
    """A part without its name, told at the misspelt key if there is one: a key that no entry has."""
    valid = ", ".join(registry.names())
    if name is not None:
        return Problem((*where, selector), f"expected the name of a {registry.kind}, got {name!r}; valid: {valid}")
    named = f"a {registry.kind} must be named by {selector!r}; valid: {valid}"
    known = {field for entry in registry for field in entry.settings.model_fields}
    unknown = [str(key) for key in keys if key not in known]
    near = difflib.get_close_matches(selector, unknown, n=1, cutoff=0.5)
    if near:
        return Problem((*where, near[0]), f"unknown key {near[0]!r} (did you mean {selector!r}?): {named}")
    if unknown:
        return Problem((*where, unknown[0]), f"unknown key {unknown[0]!r}, and {named}")
    return Problem((*where, selector), named)
