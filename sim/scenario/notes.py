"""What a user should know of a scenario before anything is run: keys that do not do what their names may promise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sim.compute.roles import notes_of
from sim.decoding.protocols.registry import sites_of
from sim.scenario.schema import Scenario

# Devices that stand still see the fading of people and cars around them; beyond, a speed is that of a journey.
_STANDING_KMH = 30.0


def scenario_notes(scenarios: Iterable[Scenario]) -> list[str]:
    """Sentences, each once, about prices, objectives, speeds and the link's keys of all kinds of devices.

    Args:
        scenarios: One, or the points of a sweep, which share the parts that their changes leave alone.
    """
    found: dict[str, None] = {}
    looked_at: dict[tuple[object, ...], Scenario] = {}  # by the parts that notes come from, which are kept along
    for scenario in (kind.scenario for each in scenarios for kind in each.by_kind()):
        for notes, parts in (
            (_prices, (scenario.protocol, scenario.compute)),
            (_objectives, (scenario.slo,)),
            (_speeds, (scenario.link,)),
            (_link, (scenario.link,)),
        ):
            if looked_at.setdefault((notes, *(id(part) for part in parts)), scenario) is scenario:
                found |= dict.fromkeys(notes(scenario))
    return list(found)


def _prices(scenario: Scenario) -> Iterator[str]:
    """How prices are found at the sites and for the roles that the protocol uses."""
    if not scenario.protocol.entry.loaded:  # of a user's own, whose code does not run now
        return
    for role, site in sites_of(scenario.protocol.entry, scenario.protocol.settings).items():
        choice = scenario.compute[site.value]
        for note in notes_of(choice.settings, role) if choice.entry.loaded else ():
            yield f"compute.{site.value}, {role} model: {note}"


def _objectives(scenario: Scenario) -> Iterator[str]:
    slo = scenario.slo
    if slo.deadline_s is None:
        return
    for name in ("ttft_s", "e2e_s"):
        limit = getattr(slo, name)
        if limit is not None and limit > slo.deadline_s:
            text = (
                f"slo.{name} ({limit:g}) lies beyond slo.deadline_s ({slo.deadline_s:g}), at which requests are given"
            )
            yield f"{text} up: every request that ends in time meets it"


def _speeds(scenario: Scenario) -> Iterator[str]:
    link = scenario.link.settings
    speeds = getattr(link, "speed_kmh", None)
    fastest = max(speeds) if isinstance(speeds, list) and speeds else speeds
    if isinstance(fastest, int | float) and fastest > _STANDING_KMH and getattr(link, "mobility", "") == "fixed":
        text = f"link.mobility is fixed: devices stay where they are, and link.speed_kmh ({fastest:g})"
        yield f"{text} moves their fading only"


def _link(scenario: Scenario) -> Iterator[str]:
    """What the link says of its own keys."""
    notes = getattr(scenario.link.settings, "notes", None)
    yield from notes() if callable(notes) else ()
