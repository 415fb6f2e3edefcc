"""Many variations of one scenario: a part that several of them have in common is checked once, and is one object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sim.scenario.overrides import apply_overrides
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario


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
        self._plain = scenario.dump()
        self._plain.pop("sweep", None)
        self._parts = {name: getattr(scenario, name) for name in Scenario.model_fields if name != "sweep"}
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
            new = {
                part: self._known[place] if place in self._known else self._overridden(part, by_part[part])
                for part, place in places.items()
            }
            made = Scenario.model_validate({**self._parts, **new})
        except (ValidationError, ScenarioProblems):
            # Told as for a scenario that is read as a whole.
            return Scenario.from_dict(apply_overrides(self._plain, changes))
        own = {part: self._known.setdefault(place, getattr(made, part)) for part, place in places.items()}
        return made.model_copy(update={**self._parts, **own})

    def _overridden(self, part: str, changes: Mapping[str, Any]) -> Any:
        own = {part: self._plain[part]} if part in self._plain else {}
        return apply_overrides(own, changes)[part]
