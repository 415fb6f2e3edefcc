"""A device: its requests queue up and are served one at a time; the outcome of each is reported."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import simpy

from sim.core.clock import to_ns
from sim.core.kernel import FastTimeout, start
from sim.inputs.arrivals import Arrival
from sim.inputs.requests import RequestSource
from sim.inputs.workload import PlannedRequest
from sim.links.base import LinkFailureError
from sim.nodes.compiled_trace import TraceStep
from sim.nodes.executor import Process, RequestExecutor, RequestMetrics, SimulationContext
from sim.nodes.monitor import QueueMonitor
from sim.scenario.slo import SloSettings
from sim.serving.base import RequestInfo


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """One request that has ended.

    Attributes:
        planned: The request.
        issued_ns: When it was asked for; its end-to-end time starts here.
        started_ns: When the device began with it.
        ended_ns: When its last token was at the device, or the device was done with it after giving it up.
        metrics: Where the time went, and what was sent.
        slo: What its latencies are held against.
        kind: Kind of its device; empty where all are alike.
    """

    planned: PlannedRequest
    issued_ns: int
    started_ns: int
    ended_ns: int
    metrics: RequestMetrics
    slo: SloSettings = field(default_factory=SloSettings)
    kind: str = ""


@dataclass(slots=True)
class DeviceHooks:
    """What devices share.

    Attributes:
        source: Gives each device its requests.
        trace_of: Makes a request's trace, live or compiled from its recording, when its turn comes.
        on_outcome: Takes each ended request.
        requests: Watches all requests from issue to end.
        queue: Watches those that wait at their devices.
        end_ns: When the last request is issued; None if their number ends the run.
        slo: What latencies are held against.
        kind: What tables call these devices; empty where all are alike.
        priority: Of their requests at servers.
        watched: Keeps a run open for as long as a process goes on that will issue a request.
        draft_alone: Makes the trace by which a device goes on alone with a request after tokens of its answer; called
            where the edge's sites fail (``fallback: draft``).
    """

    source: RequestSource
    trace_of: Callable[[PlannedRequest], Iterable[TraceStep]]
    on_outcome: Callable[[RequestOutcome], None]
    requests: QueueMonitor
    queue: QueueMonitor
    end_ns: int | None = None
    slo: SloSettings = field(default_factory=SloSettings)
    kind: str = ""
    priority: int = 0
    watched: Callable[[Process], Process] = field(default=lambda process: process)
    draft_alone: Callable[[PlannedRequest, list[int]], Iterable[TraceStep]] | None = None


class Device:
    """One device and its queue of requests.

    Args:
        context: The simulation around it.
        index: Its number.
        hooks: What it shares with all others.

    Attributes:
        current: What becomes of the request under way; None if there is none.
        started_ns: When that was begun.
    """

    def __init__(self, context: SimulationContext, index: int, hooks: DeviceHooks) -> None:
        self.context = context
        self.env = context.env
        self.index = index
        self.hooks = hooks
        self.current: RequestMetrics | None = None
        self.started_ns = 0
        self._issued_ns = 0
        self._num_issued = 0  # chats are counted once in an open loop
        self._waiting: deque[tuple[PlannedRequest, int]] = deque()

    def closed_loop(self, think_times_s: Iterator[float]) -> Process:
        """Think, ask, wait for the answer, and again."""
        for think_s in think_times_s:
            yield self.env.timeout(to_ns(think_s))
            now_ns = int(self.env.now)
            if self.hooks.end_ns is not None and now_ns >= self.hooks.end_ns:
                return
            planned = self.hooks.source.request(self.index, self._num_issued, self._num_issued)
            if planned is None:
                return
            self._num_issued += 1
            self._issued(now_ns)
            yield from self._serve(planned, now_ns)

    def arrive(self, number: int) -> None:
        """A request of an open loop comes, whether or not the device is busy; of a chat the first one.

        Args:
            number: Its number in the stream of arrivals.
        """
        source = self.hooks.source
        planned = source.request(self.index, self._num_issued * source.turns, number)
        if planned is None:
            return
        self._num_issued += 1
        self._enqueue(planned)

    def _enqueue(self, planned: PlannedRequest) -> None:
        now_ns = int(self.env.now)
        self._issued(now_ns)
        self._waiting.append((planned, now_ns))
        if self.current is None and len(self._waiting) == 1:
            start(self.env, self._serve_all())

    def _next_turn(self, index: int, think_s: float) -> Process:
        """The next request of a chat in an open loop comes, unless the last one has been issued."""
        yield self.env.timeout(to_ns(think_s))
        if self.hooks.end_ns is not None and int(self.env.now) >= self.hooks.end_ns:
            return
        planned = self.hooks.source.request(self.index, index, 0)
        if planned is not None:
            self._enqueue(planned)

    def spent_ns(self, now_ns: int) -> tuple[int, int]:
        """Times that requests which have not ended have spent since their issue, and of these waiting here."""
        waiting = sum(now_ns - issued_ns for _, issued_ns in self._waiting)
        if self.current is None:
            return waiting, waiting
        return waiting + now_ns - self._issued_ns, waiting + self.started_ns - self._issued_ns

    def _issued(self, now_ns: int) -> None:
        self.hooks.requests.enter(now_ns)
        self.hooks.queue.enter(now_ns)

    def _serve_all(self) -> Process:
        while self._waiting:
            yield from self._serve(*self._waiting.popleft())

    def _serve(self, planned: PlannedRequest, issued_ns: int) -> Process:
        self._issued_ns, self.started_ns = issued_ns, int(self.env.now)
        started_ns = self.started_ns
        self.hooks.queue.leave(started_ns)
        metrics = self.current = RequestMetrics()
        metrics.breakdown.add("device_queue", started_ns - issued_ns)
        info = self._info(planned, issued_ns)
        timer = self._deadline(info, metrics)
        before = self.context.link.meter(self.index)
        if not metrics.given_up:
            yield from self._execute(planned, metrics, info)
        after = self.context.link.meter(self.index)
        metrics.has_sites, metrics.served = self.context.edge_sites is not None, info.served
        metrics.handovers = after.handovers - before.handovers
        metrics.device_joules += after.radio_joules - before.radio_joules
        if timer is not None:
            timer.cancel()

        def text() -> list[int]:
            return [*planned.prompt, *(token for emitted in metrics.emitted for token in emitted.round.tokens)]

        for site in self.context.sites.values():
            site.release(info, None if metrics.given_up else text)
        ended_ns = int(self.env.now)
        self.current = None
        hooks = self.hooks
        if hooks.source.turns > 1:
            hooks.source.answered(planned, text()[len(planned.prompt) :])
            think_s = hooks.source.think_time_s(planned)
            if think_s is not None:
                start(self.env, hooks.watched(self._next_turn(planned.index + 1, think_s)))
        hooks.requests.leave(ended_ns, metrics.given_up)
        hooks.on_outcome(RequestOutcome(planned, issued_ns, started_ns, ended_ns, metrics, hooks.slo, hooks.kind))

    def _execute(self, planned: PlannedRequest, metrics: RequestMetrics, info: RequestInfo) -> Process:
        """Run a request; without a radio link for too long, it is given up."""
        try:
            executor = RequestExecutor(self.context, self.index, metrics, info)
            yield from executor.run(self.hooks.trace_of(planned))
            if executor.is_site_lost and not metrics.given_up:
                yield from self._go_on_without_site(planned, metrics, info)
        except LinkFailureError as failure:
            metrics.given_up = True
            waited_ns = int(self.env.now) - info.issued_ns - sum(metrics.breakdown.ns.values())
            metrics.breakdown.add(f"{failure.direction}_access", waited_ns)

    def _go_on_without_site(self, planned: PlannedRequest, metrics: RequestMetrics, info: RequestInfo) -> Process:
        """Finish a request by the draft alone, or give it up."""
        sites = self.context.edge_sites
        assert sites is not None
        if sites.settings.fallback == "none" or self.hooks.draft_alone is None:
            metrics.given_up = True
            return
        answer = [token for emitted in metrics.emitted for token in emitted.round.tokens]
        alone = self.hooks.draft_alone(planned, answer)
        yield from RequestExecutor(self.context, self.index, metrics, info).run(alone)
        metrics.draft_alone_tokens = sum([len(emitted.round.tokens) for emitted in metrics.emitted]) - len(answer)
        sites.site_counts.draft_alone_tokens += metrics.draft_alone_tokens

    def _info(self, planned: PlannedRequest, issued_ns: int) -> RequestInfo:
        slo = self.hooks.slo
        return RequestInfo(
            planned.unique_id,
            planned.prompt,
            planned.num_prompt_tokens,
            planned.shared_tokens,
            planned.session,
            planned.blocks,
            self.hooks.priority,
            issued_ns,
            ttft_ns=_optional_ns(slo.ttft_s),
            tpot_ns=_optional_ns(slo.tpot_s),
            deadline_ns=_optional_ns(slo.deadline_s),
            device=self.index,
        )

    def _deadline(self, info: RequestInfo, metrics: RequestMetrics) -> FastTimeout | None:
        """Give the request up when it is time: at once if it has waited for longer."""
        if info.deadline_ns is None:
            return None
        left_ns = info.issued_ns + info.deadline_ns - int(self.env.now)
        if left_ns <= 0:
            metrics.given_up = True
            return None

        def give_up(_: object) -> None:
            metrics.given_up = True
            for site in self.context.sites.values():
                site.release(info, None)

        return FastTimeout(self.env, left_ns, give_up)


def _optional_ns(seconds: float | None) -> int | None:
    return None if seconds is None else to_ns(seconds)


def feed(env: simpy.Environment, devices: Mapping[int, Device], arrivals: Iterator[Arrival]) -> None:
    """Let requests of an open loop come when it is time; only the next one is ever scheduled."""
    arrival = next(arrivals, None)

    def arrive(_: object) -> None:
        nonlocal arrival
        while arrival is not None:
            ahead_ns = to_ns(arrival.time_s) - int(env.now)
            if ahead_ns > 0:
                FastTimeout(env, ahead_ns, arrive)
                return
            devices[arrival.device].arrive(arrival.number)
            arrival = next(arrivals, None)

    arrive(None)
