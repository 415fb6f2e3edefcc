"""All that can be named in YAML and extended by users, for ``specran list`` and the reference pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.compute.registry import COMPUTE
from sim.core.registry import Registry
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.protocols.registry import PROTOCOLS
from sim.decoding.verification.base import RULES
from sim.figures.registry import FIGURES
from sim.links.nr.mac.schedulers.registry import SCHEDULERS
from sim.links.nr.mac.xapps.registry import XAPPS
from sim.links.registry import LINKS
from sim.serving.handover.registry import HANDOVERS
from sim.serving.policies.registry import POLICIES
from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS
from sim.serving.ran_sharing.registry import SHARING_MODES
from sim.serving.registry import ENGINES
from sim.serving.routing.registry import ROUTINGS


@dataclass(frozen=True, slots=True)
class Extensible:
    """One kind of part.

    Attributes:
        title: What such parts are called together.
        where: How a scenario or a command names one.
        registry: All of them.
    """

    title: str
    where: str
    registry: Registry[Any]


REGISTRIES = {
    "protocols": Extensible("Protocols", "protocol: {name: ...}", PROTOCOLS),
    "rules": Extensible("Verification rules", "protocol: {name: tslt, rule: ...}", RULES),
    "controllers": Extensible("Controllers", "controller: {name: ...}", CONTROLLERS),
    "links": Extensible("Links", "link: {kind: ...}", LINKS),
    "schedulers": Extensible("Schedulers", "link: {kind: nr, scheduler: ...}", SCHEDULERS),
    "xapps": Extensible("xApps", "link: {kind: nr, xapp: ...}", XAPPS),
    "engines": Extensible("Engines of the edge server", "edge: {engine: ...}", ENGINES),
    "policies": Extensible("Orders of service", "edge: {policy: ...}", POLICIES),
    "routings": Extensible("Routing among replicas", "edge: {routing: ...}", ROUTINGS),
    "handovers": Extensible("Handover policies of edge sites", "edge: {sites: {handover: ...}}", HANDOVERS),
    "sharing_modes": Extensible("Sharing a GPU with layer 1", "edge: {ran_sharing: {mode: ...}}", SHARING_MODES),
    "orchestrators": Extensible(
        "Orchestrators of a shared GPU", "edge: {ran_sharing: {orchestrator: {name: ...}}}", ORCHESTRATORS
    ),
    "compute": Extensible("Compute models", "compute: {edge: {kind: ...}}", COMPUTE),
    "figures": Extensible("Figures of reports", "specran plot --kind ...", FIGURES),
}
"""Every registry by the word that ``specran list`` takes."""
