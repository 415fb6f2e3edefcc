"""Counterfactual runs: the same scenario, seed and tape with one part of it made free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import simpy
from typing_extensions import override

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.core.errors import InputError
from sim.decoding.protocols.registry import sites_of
from sim.inputs.cost_models import is_measured
from sim.links.base import ChannelReport, Delivery, Direction, Link, LinkMeter, Packet
from sim.runs.inputs import SimulationInputs
from sim.runs.prepare import Progress, bare_inputs, keys_of, no_progress, prepare, tape_store
from sim.runs.run import RunResult, simulate
from sim.scenario.schema import Scenario
from sim.tape.pruning import needed

# The rate that a controller sees of a direction that is free [bit/s].
_FREE_BPS = 1e15
_FREE = Delivery(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Part:
    """A part of a scenario that can be made free.

    Attributes:
        name: What tables call it.
        meaning: What is made free, for people.
        booked: Parts of the breakdown that its time is booked under; empty where they are not its own alone.
    """

    name: str
    meaning: str
    booked: tuple[str, ...] = ()


UPLINK = Part("uplink", "the uplink", ("uplink_access", "uplink_air", "uplink_retransmission"))
DOWNLINK = Part("downlink", "the downlink", ("downlink_access", "downlink_air", "downlink_retransmission"))
DRAFT = Part("draft", "the draft model's forward passes", ("draft_compute",))
SITE_PATHS = Part("site_paths", "transport and moves between sites")
FAILURES = Part("failures", "no site failing")
ACCEPTANCE = Part("acceptance", "a draft model as good as the target, at the draft's price")


def parts_of(scenario: Scenario) -> list[Part]:
    """The parts of a scenario that can be made free: both directions, draft, acceptance, compute by site, and sites."""
    placed: dict[str, set[str]] = {}
    for kind in scenario.by_kind():
        protocol = kind.scenario.protocol
        for role, site in sites_of(protocol.entry, protocol.settings).items():
            placed.setdefault(site.value, set()).add(role)
    has_draft = any("draft" in roles for roles in placed.values())
    others = [site for site in ("device", "edge", "cloud") if placed.get(site, set()) - {"draft"}]
    booked = ("edge_queue", "verify_compute") if len(others) == 1 else ()
    compute = [
        Part(f"{site}_compute", f"the {site}'s forward passes and what waits for them", booked) for site in others
    ]
    sites = scenario.edge_sites
    paths = [] if sites is None else [SITE_PATHS, *([FAILURES] if sites.outages else [])]
    return [UPLINK, DOWNLINK, *compute, *([DRAFT, ACCEPTANCE] if has_draft else []), *paths]


class FreeCompute(ComputeModel):
    """Forward passes that take neither time nor energy, of a model that fills the same memory.

    Args:
        priced: The cost model in whose place it stands.
    """

    def __init__(self, priced: ComputeModel) -> None:
        self.idle_power_w = priced.idle_power_w
        self.weights_bytes = priced.weights_bytes
        self.kv_bytes_per_token = priced.kv_bytes_per_token
        self.memory_bytes = priced.memory_bytes
        self.system_memory_share = priced.system_memory_share

    @override
    def price(self, batch: Sequence[WorkSize]) -> Cost:
        return Cost(0.0, 0.0)


class FreeDirection(Link):
    """A link one of whose directions delivers every message at once; the other one is as it was.

    Args:
        link: The link as it is.
        direction: The one that is free.
    """

    def __init__(self, link: Link, direction: Direction) -> None:
        super().__init__(link.env, link.num_devices, link.seed)
        self.link = link
        self.direction = direction

    @override
    def send(self, packet: Packet) -> simpy.Event:
        if packet.direction is not self.direction:
            return self.link.send(packet)
        return simpy.Event(self.env).succeed(_FREE)

    @override
    def report(self, device: int) -> ChannelReport:
        report = self.link.report(device)
        if self.direction is Direction.UPLINK:
            return replace(report, uplink_bps=_FREE_BPS)
        return replace(report, downlink_bps=_FREE_BPS)

    @override
    def meter(self, device: int) -> LinkMeter:
        return self.link.meter(device)

    @override
    def summary(self) -> dict[str, float]:
        return self.link.summary()


class FreeDirectionWithModems(FreeDirection):
    """The same over a link that knows the energy of modems."""

    has_modems: ClassVar[bool] = True


def free_direction(direction: Direction) -> Callable[[Link], Link]:
    """What makes one direction of a link free."""

    def wrap(link: Link) -> Link:
        return (FreeDirectionWithModems if link.has_modems else FreeDirection)(link, direction)

    return wrap


def free_compute(inputs: SimulationInputs, site: str | None, roles: Callable[[str], bool]) -> SimulationInputs:
    """Inputs whose forward passes of some roles cost nothing, at one site or at all of them."""

    def priced(own: Mapping[str, Mapping[str, ComputeModel]]) -> dict[str, dict[str, ComputeModel]]:
        return {
            place: {
                role: FreeCompute(model) if site in (None, place) and roles(role) else model
                for role, model in models.items()
            }
            for place, models in own.items()
        }

    others = [replace(one, cost_models=priced(one.cost_models)) for one in inputs.others]
    return replace(inputs, cost_models=priced(inputs.cost_models), others=others)


class Counterfactuals:
    """Runs a scenario as it is, and with parts of it made free.

    Args:
        scenario: What is run.
        progress: Called with what is going on.

    Raises:
        InputError: Its prices are measured while it runs, so that no two runs are alike.
    """

    def __init__(self, scenario: Scenario, progress: Progress = no_progress) -> None:
        if any(is_measured(kind.scenario) for kind in scenario.by_kind()):
            message = (
                "measured forward passes differ from run to run, so that runs cannot be compared; use another kind"
            )
            raise InputError(message, "compute")
        self.scenario = scenario
        self._progress = progress
        self._bare = bare_inputs(scenario)

    def run(self, part: Part | None = None) -> RunResult:
        """Run with a part made free; with None as it is."""
        scenario, bare = (self.scenario, self._bare) if part is not ACCEPTANCE else self._with_target_as_draft()
        if part in (SITE_PATHS, FAILURES):
            scenario = with_free_sites(scenario, part)
        with needed(tape_store(), keys_of(scenario, bare)):
            inputs = prepare(scenario, self._progress, bare=bare)
            return run_with_free(scenario, inputs, part)

    def _with_target_as_draft(self) -> tuple[Scenario, SimulationInputs]:
        """The target drafts, at the price of the draft; so does it in the middle of a hierarchy."""
        scenario = self.scenario
        keys: dict[str, Any] = scenario.dump()
        if isinstance(keys["devices"], list):
            keys["devices"] = [{**kind, **_drafted_by_target(kind)} for kind in keys["devices"]]
        scenario = Scenario.from_dict({**keys, **_drafted_by_target(keys)})
        bare = bare_inputs(scenario)
        kinds = [
            replace(own, cost_models=before.cost_models, others=[])
            for own, before in zip(bare.kinds, self._bare.kinds, strict=True)
        ]
        return scenario, replace(kinds[0], others=kinds[1:])


def with_free_sites(scenario: Scenario, part: Part) -> Scenario:
    """A scenario whose sites are no way apart, or do not fail."""
    free: dict[str, Any] = {"outages": []}
    if part is SITE_PATHS:
        free = {"xn_delay_s": 0.0, "xn_mbps": 1e9, "pause_s": 0.0, "fronthaul_delay_s": 0.0, "fronthaul_mbps": 1e9}
    for key, value in free.items():
        scenario = scenario.replace(f"edge.sites.{key}", value)
    return scenario


def run_with_free(scenario: Scenario, inputs: SimulationInputs, part: Part | None) -> RunResult:
    """Run prepared inputs with a part made free.

    Args:
        scenario: What is run.
        inputs: As prepared for it.
        part: What is free; None, and what the scenario or the inputs themselves hold, change nothing.
    """
    if part in (UPLINK, DOWNLINK):
        direction = Direction.UPLINK if part is UPLINK else Direction.DOWNLINK
        return simulate(scenario, inputs, keep="requests", wrap_link=free_direction(direction))
    if part is DRAFT:
        inputs = free_compute(inputs, None, lambda role: role == "draft")
    elif part is not None and part not in (ACCEPTANCE, SITE_PATHS, FAILURES):
        inputs = free_compute(inputs, part.name.removesuffix("_compute"), lambda role: role != "draft")
    return simulate(scenario, inputs, keep="requests")


def _drafted_by_target(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The models of a scenario or of a kind of devices, where it has its own, with the target in place of others."""
    models = keys.get("models")
    if isinstance(models, str):
        models = {"target": f"{models}/target"}
    if not isinstance(models, Mapping):
        return {}
    kept = {role: name for role, name in models.items() if role not in ("draft", "middle")}
    target = kept.get("target")
    return {"models": kept if target is None else {**kept, "draft": target, "middle": target}}
