"""A device: issues its requests in a closed or open loop, one at a time, and notes what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sim.core.clock import to_ns
from sim.inputs.workload import PlannedRequest
from sim.nodes.compiled_trace import Step
from sim.nodes.engine.base import RequestInfo
from sim.nodes.executor import Process, RequestExecutor, RequestMetrics, SimulationContext


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request that has ended.

    Attributes:
        planned: The request.
        issued_ns: When it was asked for; its end-to-end time starts here.
        started_ns: When the device began with it.
        ended_ns: When its last token was at the device.
        metrics: Where the time went, and what was sent.
    """

    planned: PlannedRequest
    issued_ns: int
    started_ns: int
    ended_ns: int
    metrics: RequestMetrics


class Device:
    """One device and its queue of requests.

    Args:
        context: The simulation around it.
        index: Its number.
        requests: Its requests in order.
        trace_of: Makes a request's trace, live or compiled from its recording, when its turn comes.
        on_outcome: Takes each ended request.
    """

    def __init__(
        self,
        context: SimulationContext,
        index: int,
        requests: Sequence[PlannedRequest],
        trace_of: Callable[[PlannedRequest], Iterable[Step]],
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.context = context
        self.env = context.env
        self.index = index
        self.requests = requests
        self.trace_of = trace_of
        self.on_outcome = on_outcome

    def closed_loop(self, think_times_s: Sequence[float]) -> Process:
        """Think, ask, wait for the answer, and again."""
        for planned, think_s in zip(self.requests, think_times_s, strict=True):
            yield self.env.timeout(to_ns(think_s))
            yield from self._serve(planned, int(self.env.now))

    def open_loop(self, arrivals_s: Sequence[float]) -> Process:
        """Requests arrive whether or not the device is busy, and queue at it."""
        for planned, arrival_s in zip(self.requests, arrivals_s, strict=True):
            issued_ns = to_ns(arrival_s)
            if issued_ns > self.env.now:
                yield self.env.timeout(issued_ns - int(self.env.now))
            yield from self._serve(planned, issued_ns)

    def _serve(self, planned: PlannedRequest, issued_ns: int) -> Process:
        started_ns = int(self.env.now)
        metrics = RequestMetrics()
        metrics.breakdown.add("device_queue", started_ns - issued_ns)
        info = RequestInfo(planned.id, planned.prompt, issued_ns=issued_ns)
        yield from RequestExecutor(self.context, self.index, metrics, info).run(self.trace_of(planned))

        def text() -> list[int]:
            return [*planned.prompt, *(token for emitted in metrics.emitted for token in emitted.round.tokens)]

        for site in self.context.sites.values():
            site.release(info, text)
        self.on_outcome(Outcome(planned, issued_ns, started_ns, int(self.env.now), metrics))
