"""The measurement window of a run: what came, what was done and what was held between its beginning and its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field

from sim.core.clock import NS_PER_S
from sim.nodes.device import RequestOutcome
from sim.nodes.executor import RequestMetrics
from sim.nodes.monitor import QueueCounts, QueueMonitor, ServerCounts
from sim.nodes.server_group import ServerGroup
from sim.runs.backlog import NUM_PARTS, Backlog


@dataclass
class _Moment:
    """Counts at a moment."""

    now_ns: int
    requests: QueueCounts
    servers: dict[str, ServerCounts]


@dataclass
class Window:
    """Measures a run between two moments.

    Attributes:
        start_ns: When it begins.
        end_ns: When it ends; None for the end of the run.
        tokens: Tokens that arrived at devices within it.
        backlog: Requests under way at the ends of its parts, if its end is known.
    """

    start_ns: int = 0
    end_ns: int | None = None
    tokens: int = 0
    backlog: Backlog = field(default_factory=Backlog)
    _start: _Moment | None = field(default=None, repr=False)
    _end: _Moment | None = field(default=None, repr=False)

    def contains(self, time_ns: int) -> bool:
        """Whether a moment lies within."""
        return self.start_ns <= time_ns and (self.end_ns is None or time_ns < self.end_ns)

    def count(self, metrics: RequestMetrics) -> None:
        """Count the tokens of a request, ended or under way."""
        for emitted in metrics.emitted:
            if self.contains(emitted.time_ns):
                self.tokens += len(emitted.round.tokens)

    def measures(self, outcome: RequestOutcome) -> bool:
        """Whether a request's latencies count: it was issued within."""
        return self.contains(outcome.issued_ns)

    def begin(self, now_ns: int, requests: QueueMonitor, groups: Mapping[str, ServerGroup]) -> None:
        """The window begins."""
        self.backlog.note(requests.num_inside)
        self._start = _moment(now_ns, requests, groups)

    def marks_ns(self) -> list[int]:
        """The ends of its equal parts but the last; none if its end is not known."""
        if self.end_ns is None:
            return []
        length_ns = self.end_ns - self.start_ns
        marks = {self.start_ns + part * length_ns // NUM_PARTS for part in range(1, NUM_PARTS)}
        return sorted(marks - {self.start_ns})

    def mark(self, requests: QueueMonitor) -> None:
        """The end of a part."""
        self.backlog.note(requests.num_inside)

    def close(self, now_ns: int, requests: QueueMonitor, groups: Mapping[str, ServerGroup]) -> None:
        """It ends."""
        self.backlog.note(requests.num_inside)
        self._end = _moment(now_ns, requests, groups)

    @property
    def duration_ns(self) -> int:
        """Length of a window that has ended."""
        assert self._start is not None and self._end is not None
        return self._end.now_ns - self._start.now_ns

    def figures(self, groups: Mapping[str, ServerGroup]) -> dict[str, float]:
        """Columns of the summary."""
        assert self._start is not None and self._end is not None
        before, after, seconds = self._start.requests, self._end.requests, self.duration_ns / NS_PER_S
        issued, ended = after.arrivals - before.arrivals, after.departures - before.departures
        completed = ended - (after.given_up - before.given_up)
        figures = {
            "window_s": seconds,
            "tokens_per_s": self.tokens / seconds if seconds else math.nan,
            "offered_rps": issued / seconds if seconds else math.nan,
            "completed_rps": completed / seconds if seconds else math.nan,
            "in_flight_mean": (after.area_ns - before.area_ns) / self.duration_ns if seconds else math.nan,
        }
        if self.end_ns is not None:
            figures["in_flight_end"] = after.arrivals - after.departures
            figures["backlog_growth"] = self.backlog.growth
            figures["backlog_growth_chance"] = self.backlog.chance(issued)
            figures["overload"] = float(self.backlog.grows(issued))
        for site, group in groups.items():
            counts = self._end.servers[site].since(self._start.servers[site])
            figures |= group.figures(site, counts, self.duration_ns)
        return figures


def _moment(now_ns: int, requests: QueueMonitor, groups: Mapping[str, ServerGroup]) -> _Moment:
    requests.advance(now_ns)
    return _Moment(now_ns, copy(requests.counts), {site: group.counts(now_ns) for site, group in groups.items()})
