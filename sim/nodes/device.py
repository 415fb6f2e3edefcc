"""A device: issues its requests in a closed or open loop, one at a time, and notes what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.clock import to_ns
from sim.decoding.scripts import LiveScript
from sim.nodes.plan import Plan
from sim.nodes.play import Played, Player, Process, Surroundings
from sim.workload import PlannedRequest


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request that has ended.

    Attributes:
        planned: The request.
        issued_ns: When it was asked for; its end-to-end time starts here.
        started_ns: When the device began with it.
        ended_ns: When its last token was at the device.
        played: Where the time went, and what was sent.
    """

    planned: PlannedRequest
    issued_ns: int
    started_ns: int
    ended_ns: int
    played: Played


class Device:
    """One device and its queue of requests.

    Args:
        around: What it plays against.
        index: Its number.
        requests: Its requests in order.
        script_of: Makes a request's script, or its plan if it is on tape, when its turn comes.
        on_outcome: Takes each ended request.
    """

    def __init__(
        self,
        around: Surroundings,
        index: int,
        requests: Sequence[PlannedRequest],
        script_of: Callable[[PlannedRequest], LiveScript | Plan],
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.around = around
        self.env = around.env
        self.index = index
        self.requests = requests
        self.script_of = script_of
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
        played = Played()
        played.breakdown.add("device_queue", started_ns - issued_ns)
        yield from Player(self.around, self.index, played).run(self.script_of(planned))
        self.on_outcome(Outcome(planned, issued_ns, started_ns, int(self.env.now), played))
