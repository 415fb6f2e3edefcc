"""Where the models of a protocol run, and whether all of them are priced there."""

from __future__ import annotations

from collections.abc import Mapping

from sim.compute.roles import problem_of, problem_together
from sim.core.last_result import last_result
from sim.core.selection import Selection
from sim.decoding.core.steps import Location
from sim.decoding.protocols.registry import sites_of
from sim.scenario.problems import Problem


@last_result
def places_of(protocol: Selection, edge: Selection) -> dict[str, list[Location]]:
    """Where each role's model runs: where the protocol has it, and at the cloud if that stands in for the edge."""
    sites, found = getattr(edge.settings, "sites", None), sites_of(protocol.entry, protocol.settings)
    stands_in = sites is not None and bool(sites.outages) and sites.fallback == "cloud"
    at_both = [Location.EDGE, Location.CLOUD]
    return {role: at_both if stands_in and at is Location.EDGE else [at] for role, at in found.items()}


@last_result
def unpriced(protocol: Selection, edge: Selection, *costs: Selection) -> list[Problem]:
    """Sites whose keys, given per model role, leave out a model that the protocol runs there, or cannot hold all.

    Args:
        protocol: The protocol.
        edge: The edge's server.
        costs: The cost models of device, edge and cloud.
    """
    if not protocol.entry.loaded:
        return []
    placed, compute = places_of(protocol, edge), dict(zip((site.value for site in _SITES), costs, strict=True))
    return [problem for site in _used(placed) for problem in _at(site, protocol, placed, compute[site.value])]


_SITES = (Location.DEVICE, Location.EDGE, Location.CLOUD)


def _used(placed: Mapping[str, list[Location]]) -> list[Location]:
    return sorted({site for where in placed.values() for site in where})


def _at(site: Location, protocol: Selection, placed: Mapping[str, list[Location]], cost: Selection) -> list[Problem]:
    keys, roles = cost.settings, [role for role, where in placed.items() if site in where]
    missing = [problem for role in roles if (problem := problem_of(keys, role))]
    runs = f"which protocol {protocol.name!r} runs there"
    found = [Problem(("compute", site.value), f"{problem}, {runs}") for problem in missing]
    if not missing and (problem := problem_together(keys, roles)):
        found.append(Problem(("compute", site.value), f"{problem} (protocol {protocol.name!r})"))
    return found
