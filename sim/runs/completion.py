"""When all requests of a run have ended: where a link makes traffic of its own, that never ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import simpy
from simpy.core import StopSimulation

from sim.core.kernel import LAST, FastTimeout
from sim.nodes.monitor import QueueMonitor

T = TypeVar("T")


class Completion:
    """Counts sources of requests that have not come to their end.

    Args:
        env: The simulation.
        requests: Watches requests from issue to end.
    """

    def __init__(self, env: simpy.Environment, requests: QueueMonitor) -> None:
        self._env, self._requests = env, requests
        self._num_open = 0
        self._stops = False

    @property
    def is_over(self) -> bool:
        """Whether no request is under way and none can come."""
        return not self._num_open and not self._requests.num_inside

    def process(self, source: Generator[simpy.Event, Any, Any]) -> Generator[simpy.Event, Any, Any]:
        """A process that issues requests, its end watched."""
        self._num_open += 1

        def watched() -> Generator[simpy.Event, Any, Any]:
            yield from source
            self._num_open -= 1
            self.check()

        return watched()

    def stream(self, arrivals: Iterator[T]) -> Iterator[T]:
        """A stream of arrivals, its end watched."""
        self._num_open += 1

        def watched() -> Iterator[T]:
            yield from arrivals
            self._num_open -= 1
            self.check()

        return watched()

    def run(self, period_ns: int, inspect: Callable[[], None]) -> None:
        """Run until all requests have ended, and call ``inspect`` every now and then."""
        self._stops = True
        while not self.is_over and self._env.peek() < float("inf"):
            self._env.run(int(self._env.now) + period_ns)
            inspect()

    def check(self) -> None:
        """Stop at the end of this instant if all requests have ended and ``run`` waits for that."""
        if self._stops and self.is_over:
            FastTimeout(self._env, 0, StopSimulation.callback, priority=LAST)
