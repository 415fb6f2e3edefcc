"""What a user should know of how a scenario's prices are found, before anything is run."""

from __future__ import annotations

from collections.abc import Iterable

from sim.compute.roles import notes_of
from sim.decoding.protocols.registry import sites_of
from sim.scenario.schema import Scenario


def price_notes(scenarios: Iterable[Scenario]) -> list[str]:
    """Sentences, each once, about the sites and model roles that the scenarios' protocols use."""
    found: dict[str, None] = {}
    looked_at: dict[tuple[int, int], Scenario] = {}  # by the parts that prices come from, which points of a sweep share
    for scenario in (kind.scenario for each in scenarios for kind in each.by_kind()):
        if looked_at.setdefault((id(scenario.protocol), id(scenario.compute)), scenario) is not scenario:
            continue
        if not scenario.protocol.entry.loaded:  # of a user's own, whose code does not run now
            continue
        placed = sites_of(scenario.protocol.entry, scenario.protocol.settings)
        for role, site in placed.items():
            choice = scenario.compute[site.value]
            for note in notes_of(choice.settings, role) if choice.entry.loaded else ():
                found[f"compute.{site.value}, {role} model: {note}"] = None
    return list(found)
