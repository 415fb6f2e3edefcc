"""Many variations of one scenario: a part that several of them have in common is checked once, and is one object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sim.core.selection import SelectedFrom
from sim.scenario.overrides import apply_overrides
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario

# Parts that are chosen by name, which are checked without the rest of a scenario.
_CHOSEN_FROM = {
    part: one
    for part, field in Scenario.model_fields.items()
    for one in field.metadata
    if isinstance(one, SelectedFrom)
}


def part_of(key: str) -> str:
    """The part of a scenario that a dotted key lies in, such as ``link``."""
    return key.partition(".")[0]


class SharedParts:
    """Makes scenarios from a scenario and changes, each equal to the one read anew with its changes.

    Parts do not depend on each other until they are checked together, so that a part is known by its own changes.

    Args:
        scenario: What is changed; its sweep is left out.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._unchanged = scenario.model_copy(update={"sweep": None})
        self._plain = self._unchanged.dump()
        # By name of the part and its changes.
        self._known: dict[tuple[str, str], Any] = {}

    def changed(self, changes: Mapping[str, Any]) -> Scenario:
        """The scenario with dotted keys changed.

        Raises:
            ScenarioProblems: A key that is none, a value that it cannot have, or parts that do not fit.
        """
        by_part: dict[str, dict[str, Any]] = {}
        for key, value in changes.items():
            by_part.setdefault(part_of(key), {})[key] = value
        places = {part: (part, repr(sorted(own.items()))) for part, own in by_part.items()}
        try:
            for part, place in places.items():
                if place not in self._known:
                    self._known[place] = self._checked(part, by_part[part])
            return self._unchanged.with_parts({part: self._known[place] for part, place in places.items()})
        except (ValidationError, ScenarioProblems):
            # Told as for a scenario that is read as a whole.
            return Scenario.from_dict(apply_overrides(self._plain, changes))

    def _checked(self, part: str, changes: Mapping[str, Any]) -> Any:
        own = {part: self._plain[part]} if part in self._plain else {}
        value = apply_overrides(own, changes)[part]
        if part in _CHOSEN_FROM:
            return _CHOSEN_FROM[part].parse(value)
        others = {name: getattr(self._unchanged, name) for name in Scenario.model_fields}
        return getattr(Scenario.model_validate({**others, part: value}), part)
