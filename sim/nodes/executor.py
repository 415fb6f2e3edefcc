"""Executes a request in simulated time: steps become compute at a site or messages over a link."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import simpy

from sim.core.breakdown import Breakdown
from sim.core.clock import NS_PER_S, to_ns
from sim.core.kernel import FastTimeout
from sim.decoding.core.steps import Hop, Location, Observation, Round
from sim.decoding.drivers.protocol_run import (
    AssignRecord,
    ComputeRecord,
    DropRecord,
    EmitRecord,
    JoinRecord,
    ObserveRecord,
    TransmitRecord,
)
from sim.links.base import Delivery, Direction, Link, LinkFailureError, Packet
from sim.models.interface import LanguageModel
from sim.nodes.compiled_trace import Begin, DraftSegment, Parallel, TraceStep
from sim.nodes.live_trace import LiveTrace
from sim.nodes.model_server import ForwardResult, SiteLost
from sim.nodes.server_group import ServerGroup
from sim.nodes.sites.edge_sites import EdgeSites
from sim.nodes.sites.session import Session
from sim.serving.base import RequestInfo

Process = Generator[simpy.Event, Any, Any]
Streams = list[tuple[simpy.Event, int]]

_UPLINK = Hop.UPLINK  # a global is found faster than a member of an enumeration
_DIRECTIONS = {Hop.UPLINK: Direction.UPLINK, Hop.DOWNLINK: Direction.DOWNLINK}
_AIR_PARTS = {hop: (f"{hop.value}_access", f"{hop.value}_air", f"{hop.value}_retransmission") for hop in _DIRECTIONS}


@dataclass(slots=True)
class SimulationContext:
    """What the execution of a request needs from the simulation.

    Attributes:
        env: SimPy environment in nanoseconds.
        link: The air.
        sites: Edge and cloud.
        models: Language models by role, for live runs.
        placed: Roles of the models that the protocol runs, by site.
        backhaul_delay_ns: One-way delay between edge and cloud.
        backhaul_bps: Rate between edge and cloud.
        tx_power_w: Radio power of a sending device, 0 where the link has modems.
        rx_power_w: Radio power of a receiving device, likewise.
        on_span: Called with what a device does: device, name, start and end in nanoseconds, further figures; or None.
        edge_sites: The edge, where it has several sites or one that may fail; else None.
    """

    env: simpy.Environment
    link: Link
    sites: Mapping[Location, ServerGroup]
    models: Mapping[str, LanguageModel]
    placed: Mapping[Location, Sequence[str]]
    backhaul_delay_ns: int
    backhaul_bps: float
    tx_power_w: float
    rx_power_w: float
    on_span: Any = None
    edge_sites: EdgeSites | None = None


@dataclass(slots=True)
class RequestMetrics:
    """What became of one request so far.

    Attributes:
        breakdown: Where its time went, along the critical path.
        emitted: Rounds with the times at which their tokens were at the device, in nanoseconds.
        uplink_bits: Payload bits sent up so far; ``uplink_charged_bits`` those that the link was given for them.
        given_up: Whether it was given up.
        handovers: Changes of cell of its device while it lasted.
        device_joules: Energy of device compute and radio.
        edge_joules: Its share of the sites' energy.
        has_sites: Whether the edge has several sites, or one that may fail.
        served: What the edge's sites have noted of it, where there are several.
        draft_alone_tokens: Tokens of its answer that the device has drawn from its draft alone.
    """

    breakdown: Breakdown = field(default_factory=Breakdown)
    emitted: list[EmittedRound] = field(default_factory=list)
    uplink_bits: int = 0
    downlink_bits: int = 0
    uplink_charged_bits: int = 0
    downlink_charged_bits: int = 0
    uplink_messages: int = 0
    downlink_messages: int = 0
    uplink_airtime_ns: int = 0
    downlink_airtime_ns: int = 0
    device_joules: float = 0.0
    edge_joules: float = 0.0
    draft_ns: int = 0
    draft_tokens: int = 0
    edge_ns: int = 0
    edge_forwards: int = 0
    given_up: bool = False
    handovers: int = 0
    has_sites: bool = False
    served: Session | None = None
    draft_alone_tokens: int = 0


class EmittedRound(NamedTuple):
    """A round, when it was emitted, and the totals of the request up to then."""

    round: Round
    time_ns: int
    uplink_bits: int
    downlink_bits: int
    parts_ns: tuple[int, ...]


class RequestExecutor:
    """Executes one request at one device.

    Device compute is private to the device, so its time is only owed until the next step that involves anything else;
    a whole draft costs one event.

    Args:
        context: The simulation around it.
        device: Its number.
        metrics: Takes what becomes of the request.
        info: What servers know of the request.
        family: What it shares with the branches of the request.
    """

    def __init__(
        self,
        context: SimulationContext,
        device: int,
        metrics: RequestMetrics,
        info: RequestInfo,
        family: _Family | None = None,
    ) -> None:
        self.context = context
        self.env = context.env
        self.device = device
        self.metrics = metrics
        self.info = info
        self.owed_ns = 0
        self._family = _Family() if family is None else family
        self.begun = self._family.begun
        self.is_dropped = self._family.is_site_lost
        if context.edge_sites is not None:
            self._family.members.append(self)
        self.drafted = (0.0, 0)  # joules and tokens of what the device has computed for this branch

    @property
    def is_site_lost(self) -> bool:
        """Whether the request ended early, since its site has failed and no other goes on with it."""
        return self._family.is_site_lost

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return int(self.env.now)

    def run(self, trace: Iterable[TraceStep]) -> Process:
        """Execute a trace to its end, and wait for the last streamed message.

        Args:
            trace: A compiled trace of what was recorded, or a ``LiveTrace``.
        """
        streams: Streams = []
        yield from self._execute(trace, self.metrics.breakdown, streams)
        yield from self._settle()
        yield from self._await_streams(streams)

    def _execute(  # noqa: C901, PLR0912 -- one loop: a call per step would cost a tenth of a sweep
        self, trace: Iterable[TraceStep], breakdown: Breakdown, streams: Streams
    ) -> Process:
        """Give each step its seconds, and a live trace the results of its steps.

        This is the loop that sweeps spend their time in, hence its calls are few.
        """
        env, sites = self.env, self.context.sites
        live = trace if isinstance(trace, LiveTrace) else None
        metrics = self.metrics
        for step in trace:
            if metrics.given_up or self.is_dropped:
                return
            if isinstance(step, DraftSegment):
                self._note_here(step, breakdown)
                continue
            if isinstance(step, EmitRecord):
                self._emit(step.round, int(env.now) + self.owed_ns)
                continue
            if isinstance(step, ObserveRecord):
                if live is not None:
                    live.result = self._observe()
                continue
            if isinstance(step, AssignRecord):
                self._assign(step)
                continue
            if self.owed_ns:
                owed, self.owed_ns = self.owed_ns, 0
                yield FastTimeout(env, owed)
                if metrics.given_up or self.is_dropped:
                    return
            if isinstance(step, TransmitRecord):
                if step.round is not None:
                    streams.append((self._stream(step), int(env.now)))
                elif step.hop in _DIRECTIONS:
                    self._delivered(step, (yield self._send(step)), breakdown)
                else:
                    yield from self._cross_backhaul(step, breakdown)
            elif isinstance(step, ComputeRecord):
                served = yield sites[step.site].submit(step, None if live is None else live.work, self.info)
                if served is None:  # given up
                    return
                if served.__class__ is SiteLost:
                    self._lost(served, breakdown)
                    return
                self._served(step, served, breakdown)
                if live is not None:
                    live.result = served.logits
            elif isinstance(step, Parallel):
                yield from self._fork(step.traces, breakdown, streams)
                if metrics.given_up or self.is_dropped:
                    return
            elif isinstance(step, Begin):
                self._begin(step, streams)
            elif isinstance(step, JoinRecord):
                yield from self._join(self.begun.pop(step.number), breakdown)
                if metrics.given_up or self.is_dropped:
                    return
            elif isinstance(step, DropRecord):
                self._drop(self.begun.pop(step.number))

    def _settle(self) -> Process:
        if self.owed_ns:
            owed, self.owed_ns = self.owed_ns, 0
            yield FastTimeout(self.env, owed)

    def _note_here(self, forwards: DraftSegment, breakdown: Breakdown) -> None:
        """Account for forwards at the device; their time is owed from now on."""
        start_ns = self.owed_ns
        self.owed_ns += forwards.ns
        breakdown.ns["draft_compute" if forwards.model == "draft" else "verify_compute"] += forwards.ns
        metrics = self.metrics
        metrics.draft_ns += forwards.ns
        metrics.draft_tokens += len(forwards.each)
        total_joules = metrics.device_joules
        for _, joules, _ in forwards.each:
            total_joules += joules
        own_joules, own_tokens = self.drafted
        self.drafted = (own_joules + total_joules - metrics.device_joules, own_tokens + len(forwards.each))
        metrics.device_joules = total_joules
        if self.context.on_span is not None:
            start_ns += self.now_ns
            for ns, _, new_tokens in forwards.each:
                self._span(f"{forwards.model} forward", start_ns, start_ns + ns, {"new_tokens": new_tokens})
                start_ns += ns

    def _served(self, record: ComputeRecord, served: ForwardResult, breakdown: Breakdown) -> None:
        metrics, parts = self.metrics, breakdown.ns
        parts["edge_queue"] += served.queue_ns
        parts["transport"] += served.transport_ns
        parts["draft_compute" if record.model == "draft" else "verify_compute"] += served.compute_ns
        metrics.edge_joules += served.joules
        metrics.edge_ns += served.queue_ns + served.compute_ns
        metrics.edge_forwards += 1
        if self.context.on_span is not None:
            args = {"queue_s": served.queue_ns / NS_PER_S}
            self._span(f"{record.site.value} {record.model}", self.now_ns - served.compute_ns, self.now_ns, args)

    def _lost(self, lost: SiteLost, breakdown: Breakdown) -> None:
        """The request's site has failed: all of its branches end."""
        breakdown.ns["edge_queue"] += lost.waited_ns
        self._family.is_site_lost = True
        for member in self._family.members:
            member.is_dropped = True

    def _cross_backhaul(self, record: TransmitRecord, breakdown: Breakdown) -> Process:
        ns = self.context.backhaul_delay_ns + to_ns(record.charged_bits / self.context.backhaul_bps)
        if self.context.edge_sites is not None and self.context.edge_sites.is_at_cloud(self.info):
            ns = 0
        breakdown.add("transport", ns)
        yield FastTimeout(self.env, ns)
        if record.kind == "prompt":
            self._prompt_arrived(Location.CLOUD)

    def _delivered(self, record: TransmitRecord, delivery: Delivery, breakdown: Breakdown) -> None:
        self._account(record, delivery)
        if record.kind == "prompt":
            self._prompt_arrived(Location.EDGE)
        access, air, retransmission = _AIR_PARTS[record.hop]
        parts = breakdown.ns
        parts[access] += delivery.access_ns
        parts[air] += delivery.air_ns
        parts[retransmission] += delivery.retransmission_ns
        parts["transport"] += delivery.transport_ns
        if self.context.on_span is not None:
            args = {"payload_bits": record.payload_bits}
            self._span(f"{record.hop.value} {record.kind}", self.now_ns - delivery.total_ns, self.now_ns, args)

    def _prompt_arrived(self, site: Location) -> None:
        if self.metrics.given_up:
            return
        for model in self.context.placed.get(site, ()):
            self.context.sites[site].prefill(self.info, model)

    def _send(self, record: TransmitRecord) -> simpy.Event:
        direction = _DIRECTIONS[record.hop]
        link, sites = self.context.link, self.context.edge_sites
        packet = Packet(self.device, direction, record.charged_bits, record.kind, record.tokens_at_stake)
        return link.send(packet) if sites is None else sites.send(link, packet, self.info)

    def _account(self, record: TransmitRecord, delivery: Delivery) -> None:
        metrics, airtime_ns = self.metrics, delivery.airtime_ns
        if record.hop is _UPLINK:
            metrics.uplink_bits += record.payload_bits
            metrics.uplink_charged_bits += record.charged_bits
            metrics.uplink_messages += 1
            metrics.uplink_airtime_ns += airtime_ns
            metrics.device_joules += self.context.tx_power_w * airtime_ns / NS_PER_S
        else:
            metrics.downlink_bits += record.payload_bits
            metrics.downlink_charged_bits += record.charged_bits
            metrics.downlink_messages += 1
            metrics.downlink_airtime_ns += airtime_ns
            metrics.device_joules += self.context.rx_power_w * airtime_ns / NS_PER_S

    def _stream(self, record: TransmitRecord) -> simpy.Event:
        arrived = self._send(record)

        def on_arrival(event: simpy.Event) -> None:
            assert record.round is not None
            if not event.ok:
                # Told to the request where it waits for its streams.
                event.defused = True
                return
            self._account(record, event.value)  # type: ignore[arg-type]
            self._emit(record.round, self.now_ns)

        assert arrived.callbacks is not None
        arrived.callbacks.append(on_arrival)
        return arrived

    def _await_streams(self, streams: Streams) -> Process:
        """Wait for what is still flying; the critical path then ends with the message that arrives last."""
        start_ns = self.now_ns
        last: Delivery | None = None
        for event, _ in streams:
            if not event.processed:
                last = yield event
            elif not event.ok:
                raise event.value  # type: ignore[misc]
        wait_ns = self.now_ns - start_ns
        if last is None or wait_ns == 0:
            return
        parts = {
            "transport": last.transport_ns,
            "downlink_retransmission": last.retransmission_ns,
            "downlink_air": last.air_ns,
            "downlink_access": last.access_ns,
        }
        for part, ns in parts.items():
            share = min(ns, wait_ns)
            self.metrics.breakdown.add(part, share)
            wait_ns -= share

    def _fork(self, branches: Sequence[Iterable[TraceStep]], breakdown: Breakdown, streams: Streams) -> Process:
        """Run branches as processes; the one that ends last is the critical path."""
        ends: list[tuple[int, Breakdown]] = []
        failures: list[LinkFailureError] = []

        def branch(trace: Iterable[TraceStep]) -> Process:
            branch_executor = self._for_branch()
            own = Breakdown()
            try:
                yield from branch_executor._execute(trace, own, streams)
            except LinkFailureError as failure:
                failures.append(failure)
            yield from branch_executor._settle()
            ends.append((self.now_ns, own))

        yield self.env.all_of([self.env.process(branch(trace)) for trace in branches])
        breakdown.include(ends[-1][1])
        if failures:
            raise failures[0]

    def _for_branch(self) -> RequestExecutor:
        return RequestExecutor(self.context, self.device, self.metrics, self.info, self._family)

    def _begin(self, step: Begin, streams: Streams) -> None:
        """Run a branch beside what follows."""
        begun = self.begun[step.number] = _Begun(self._for_branch(), self.now_ns)

        def branch() -> Process:
            try:
                yield from begun.executor._execute(step.trace, begun.breakdown, streams)
            except LinkFailureError as failure:
                begun.failure = failure
            begun.owed_until_ns = self.now_ns + begun.executor.owed_ns
            yield from begun.executor._settle()

        begun.process = self.env.process(branch())

    def _join(self, begun: _Begun, breakdown: Breakdown) -> Process:
        """Wait for a branch; what is waited for is the last part of its way, back from its end."""
        assert begun.process is not None
        start_ns = self.now_ns
        if begun.process.is_alive:
            yield begun.process
        wait_ns = self.now_ns - start_ns
        for part, ns in reversed(begun.breakdown.ns.items()):
            share = min(ns, wait_ns)
            breakdown.ns[part] += share
            wait_ns -= share
        if begun.failure is not None:
            raise begun.failure

    def _drop(self, begun: _Begun) -> None:
        """Stop a branch of device work; what it has not got to was neither computed nor paid for."""
        begun.executor.is_dropped = True
        drafted_ns = begun.breakdown.ns["draft_compute"]
        left_ns = max(0, begun.owed_until_ns - self.now_ns)
        if drafted_ns and left_ns:
            metrics, share = self.metrics, min(1.0, left_ns / drafted_ns)
            joules, tokens = begun.executor.drafted
            metrics.draft_ns -= min(left_ns, drafted_ns)
            metrics.draft_tokens -= round(share * tokens)
            metrics.device_joules -= share * joules

    def _emit(self, round_: Round, time_ns: int) -> None:
        metrics = self.metrics
        parts = tuple(metrics.breakdown.ns.values())
        metrics.emitted.append(EmittedRound(round_, time_ns, metrics.uplink_bits, metrics.downlink_bits, parts))

    def _assign(self, record: AssignRecord) -> None:
        if record.uplink_share is not None:
            self.context.link.set_uplink_share(self.device, record.uplink_share)
        if record.verify_batch is not None:
            self.info.verify_batch = record.verify_batch

    def _observe(self) -> Observation:
        report = self.context.link.report(self.device)
        metrics = self.metrics
        return Observation(
            now_s=(self.now_ns + self.owed_ns) / NS_PER_S,
            uplink_bps=report.uplink_bps,
            downlink_bps=report.downlink_bps,
            round_trip_s=report.round_trip_s,
            draft_token_s=metrics.draft_ns / NS_PER_S / metrics.draft_tokens if metrics.draft_tokens else None,
            target_forward_s=metrics.edge_ns / NS_PER_S / metrics.edge_forwards if metrics.edge_forwards else None,
            uplink_bits=metrics.uplink_bits,
            device_energy_j=metrics.device_joules,
            uplink_whole_bps=report.uplink_bps if report.uplink_whole_bps is None else report.uplink_whole_bps,
        )

    def _span(self, name: str, start_ns: int, end_ns: int, args: dict[str, Any]) -> None:
        if self.context.on_span is not None:
            self.context.on_span(self.device, name, start_ns, end_ns, args)


@dataclass(slots=True)
class _Begun:
    """A branch that runs beside its request.

    Attributes:
        executor: Runs it.
        start_ns: When it was begun.
        breakdown: Where its time has gone.
        owed_until_ns: When the device work at its end is done; the start where it has not got there.
        process: Ends with it.
        failure: The link's, raised where it is joined.
    """

    executor: RequestExecutor
    start_ns: int
    breakdown: Breakdown = field(default_factory=Breakdown)
    owed_until_ns: int = 0
    process: simpy.Process | None = None
    failure: LinkFailureError | None = None


@dataclass(slots=True)
class _Family:
    """What the branches of one request share.

    Attributes:
        begun: Branches that run beside it, by number.
        members: Those who execute its branches, where sites may fail.
        is_site_lost: Whether its site has failed and no other goes on with it.
    """

    begun: dict[int, _Begun] = field(default_factory=dict)
    members: list[RequestExecutor] = field(default_factory=list)
    is_site_lost: bool = False
