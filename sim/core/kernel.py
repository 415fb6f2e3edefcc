"""The event kernel: SimPy's environment with its loop in one piece, and events that cost little to make.

Order and meaning are SimPy's; whatever runs here runs in ``simpy.Environment`` with the same result, only slower.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.core import StopSimulation
from simpy.events import NORMAL, URGENT

_NOBODY: Any = ()
LAST = 2
"""Priority behind SimPy's own (0 urgent, 1 normal): after everything else of the same instant."""


class Environment(simpy.Environment):
    """``simpy.Environment`` whose ``run`` does not call a method per event."""

    def run(self, until: Any = None) -> Any:
        """Run until nothing is scheduled any more, or until a time or an event, as SimPy does."""
        if isinstance(until, simpy.Event):
            return super().run(until)
        if until is not None:
            if until <= self._now:
                raise ValueError(f"until ({until}) must be greater than the current simulation time ({self._now})")
            FastTimeout(self, until - self._now, StopSimulation.callback, priority=URGENT)
        queue = self._queue
        try:
            while queue:
                now, _, _, event = heappop(queue)
                callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
                if callbacks is _NOBODY:
                    continue
                self._now = now
                for callback in callbacks:
                    callback(event)
                if not event._ok and not event.defused:
                    raise event._value
        except StopSimulation as stop:
            return stop.args[0]
        return None


class FastTimeout(simpy.Event):
    """An event that is sure to happen after a delay: a timeout, made in one step.

    Args:
        env: Any SimPy environment.
        delay: How long from now, not negative.
        callback: Called when it happens, if given.
        value: What those who wait for it get.
        priority: Place within its instant, such as ``LAST``.
    """

    def __init__(
        self,
        env: simpy.Environment,
        delay: int,
        callback: Callable[[Any], None] | None = None,
        value: Any = None,
        priority: int = NORMAL,
    ) -> None:
        self.env = env
        self.callbacks = [] if callback is None else [callback]
        self._ok = True
        self._value = value
        heappush(env._queue, (env._now + delay, priority, next(env._eid), self))  # type: ignore[misc]

    def cancel(self) -> None:
        """Not happen after all: time does not go on to it if nothing else is scheduled."""
        if self.callbacks is not None:
            self.callbacks = _NOBODY


class Pending(simpy.Event):
    """An event whose moment and value become known later, once."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.callbacks = []
        self._ok = True
        self._value = simpy.events.PENDING

    def succeed_later(self, value: Any, delay: int = 0) -> None:
        """Happen after a delay with this value: one entry in the event queue, as a timeout is."""
        env = self.env
        self._value = value
        heappush(env._queue, (env._now + delay, NORMAL, next(env._eid), self))


def start(env: simpy.Environment, process: Generator[simpy.Event, Any, Any]) -> None:
    """Run a process that nobody waits for: what ``env.process`` does, without an event of its own for the end."""

    def resume(event: simpy.Event) -> None:
        try:
            while True:
                if event._ok:
                    event = process.send(event._value)
                else:
                    event.defused = True
                    event = process.throw(event._value)
                if event.callbacks is not None:
                    event.callbacks.append(resume)
                    return
        except StopIteration:
            pass

    FastTimeout(env, 0, resume, priority=URGENT)
