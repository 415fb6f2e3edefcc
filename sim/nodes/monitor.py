"""Counts of what a queue and a server do: time averages over any stretch, and rows by second.

Little's law holds of every queue over every stretch: the time integral of the number inside is the sum of the times
that each spent inside (J. Little, "A proof for the queuing formula L = lambda W", Operations Research 9, 1961). A
monitor keeps the one side, those inside know the other, and ``check`` compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from sim.core.clock import NS_PER_S
from sim.core.errors import RunError
from sim.serving.base import EngineState


@dataclass(slots=True)
class QueueCounts:
    """What a queue has done up to a moment.

    Attributes:
        arrivals: Who came; ``departures`` likewise who left.
        given_up: Of those who left the ones without what they came for.
        area_ns: Time integral of the number inside.
    """

    arrivals: int = 0
    departures: int = 0
    given_up: int = 0
    area_ns: int = 0


class QueueMonitor:
    """Watches a queue.

    Args:
        name: What messages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = QueueCounts()
        self._last_ns = 0

    @property
    def num_inside(self) -> int:
        """How many are inside now."""
        return self.counts.arrivals - self.counts.departures

    def advance(self, now_ns: int) -> None:
        """Bring the time integral up to now."""
        if now_ns != self._last_ns:
            self.counts.area_ns += self.num_inside * (now_ns - self._last_ns)
            self._last_ns = now_ns

    def enter(self, now_ns: int) -> None:
        """Count an arrival."""
        self.advance(now_ns)
        self.counts.arrivals += 1

    def leave(self, now_ns: int, given_up: bool = False) -> None:
        """Count a departure."""
        self.advance(now_ns)
        self.counts.departures += 1
        self.counts.given_up += given_up

    def check(self, now_ns: int, spent_ns: int) -> None:
        """Little's law up to now, to the nanosecond.

        Args:
            now_ns: Now.
            spent_ns: Times that each has spent inside so far, added up by the jobs themselves, not by this monitor.

        Raises:
            RunError: It does not hold: an arrival was lost or counted twice.
        """
        self.advance(now_ns)
        area_ns = self.counts.area_ns
        if area_ns != spent_ns:
            raise RunError(
                f"Little's law does not hold of {self.name}: the number inside adds up to {area_ns} ns and the times "
                f"spent inside to {spent_ns} ns"
            )


@dataclass(slots=True)
class ServerCounts:
    """What a server has done up to a moment; time integrals are over nanoseconds.

    Attributes:
        busy_ns: Time in which it computed.
        running_area: Time integral of the requests in the running set; the others likewise.
        waiting_area: Of the waiting jobs.
        kv_area: Of the share of key-value memory held.
        kv_max: Largest share held.
        steps: Steps.
        jobs: Parts of jobs in them, one per job and step.
        new_tokens: Tokens computed.
        finished: Jobs that have ended.
        queue_ns: Times that these have waited.
        preemptions: Requests that lost their memory.
        prefix_queries: Prompt tokens looked up in the prefix cache.
        prefix_hits: Of these the ones found.
        joules: Energy above idle.
        unattributed_joules: Of it what no job was charged for.
    """

    busy_ns: int = 0
    running_area: int = 0
    waiting_area: int = 0
    kv_area: float = 0.0
    kv_max: float = 0.0
    steps: int = 0
    jobs: int = 0
    new_tokens: int = 0
    finished: int = 0
    queue_ns: int = 0
    preemptions: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    joules: float = 0.0
    unattributed_joules: float = 0.0

    def since(self, before: ServerCounts) -> ServerCounts:
        """The difference to an earlier moment; the largest share is that of all time."""
        names = [field.name for field in fields(self)]
        counts = ServerCounts(**{name: getattr(self, name) - getattr(before, name) for name in names})
        counts.kv_max = self.kv_max
        return counts

    def plus(self, other: ServerCounts) -> ServerCounts:
        """The sum of two servers' counts, and the larger of their largest shares."""
        names = [field.name for field in fields(self)]
        counts = ServerCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})
        counts.kv_max = max(self.kv_max, other.kv_max)
        return counts

    def copy(self) -> ServerCounts:
        """These counts, to be kept."""
        return ServerCounts(*[getattr(self, field.name) for field in fields(self)])


@dataclass(slots=True)
class ServerMonitor:
    """Watches a server.

    Attributes:
        name: Which, such as ``edge`` or ``edge-1``.
        on_second: Takes a row for every full second, or None.
        counts: Up to the last change.
        running: Requests in the running set since then; likewise ``waiting``, ``kv_share`` and ``is_busy``.
    """

    name: str
    on_second: Callable[[dict[str, Any]], None] | None = None
    counts: ServerCounts = field(default_factory=ServerCounts)
    running: int = 0
    waiting: int = 0
    kv_share: float = 0.0
    is_busy: bool = False
    _last_ns: int = 0
    _second: ServerCounts = field(default_factory=ServerCounts)
    _second_ends_ns: int = NS_PER_S

    def note(self, now_ns: int, state: EngineState, unattributed_joules: float) -> None:
        """The engine holds this from now on.

        Args:
            now_ns: Now.
            state: What it holds.
            unattributed_joules: Energy so far that no job was charged for.
        """
        if now_ns != self._last_ns:
            self.advance(now_ns)
        self.running, self.waiting, self.kv_share = state.running, state.waiting, state.kv_share
        counts = self.counts
        counts.preemptions, counts.prefix_queries = state.preemptions, state.prefix_queries
        counts.prefix_hits, counts.unattributed_joules = state.prefix_hits, unattributed_joules
        counts.kv_max = max(counts.kv_max, state.kv_share)

    def advance(self, now_ns: int) -> None:
        """Bring the time integrals up to now, closing every second that has passed."""
        while self.on_second is not None and now_ns >= self._second_ends_ns:
            self._close_second(self._second_ends_ns)
            self._second_ends_ns += NS_PER_S
        self._integrate(now_ns)

    def finish(self, now_ns: int) -> None:
        """The run has ended: close what is left of a second."""
        self.advance(now_ns)
        if self.on_second is not None and now_ns > self._second_ends_ns - NS_PER_S:
            self._close_second(now_ns)

    def _close_second(self, end_ns: int) -> None:
        self._integrate(end_ns)
        assert self.on_second is not None
        start_ns = self._second_ends_ns - NS_PER_S
        self.on_second(second_row(self.name, start_ns, end_ns - start_ns, self.counts.since(self._second)))
        self._second = self.counts.copy()

    def _integrate(self, now_ns: int) -> None:
        passed = now_ns - self._last_ns
        if passed:
            counts = self.counts
            counts.busy_ns += passed * self.is_busy
            counts.running_area += passed * self.running
            counts.waiting_area += passed * self.waiting
            counts.kv_area += passed * self.kv_share
            self._last_ns = now_ns


def second_row(server: str, start_ns: int, duration_ns: int, counts: ServerCounts) -> dict[str, Any]:
    """One row of ``servers``: means over a second, or what is left of one, and what was done in it."""
    queries = counts.prefix_queries
    return {
        "server": server,
        "time_s": start_ns // NS_PER_S,
        "running": counts.running_area / duration_ns,
        "waiting": counts.waiting_area / duration_ns,
        "kv_share": counts.kv_area / duration_ns,
        "utilisation": counts.busy_ns / duration_ns,
        "steps": counts.steps,
        "new_tokens": counts.new_tokens,
        "preemptions": counts.preemptions,
        "prefix_hit_share": counts.prefix_hits / queries if queries else float("nan"),
        "energy_j": counts.joules,
    }
