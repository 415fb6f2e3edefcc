"""The instant driver: steps take no time. Many requests advance together, and their forward passes are batched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sim.decoding.core.request import Request
from sim.decoding.core.steps import Observation, Protocol
from sim.decoding.drivers.protocol_run import (
    ComputeRecord,
    ObserveRecord,
    PendingStep,
    ProtocolRun,
    StartRecord,
    TogetherRecord,
)
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.on_demand import OnDemandModel, PromisedRows


class InstantDriver:
    """Runs protocols to their end without a clock.

    Args:
        models: Language models by role.
        max_batch: Largest number of forward passes per batch.
        encodes: Whether messages become bytes; else they are only measured.
    """

    def __init__(self, models: Mapping[str, LanguageModel], max_batch: int = 64, encodes: bool = True) -> None:
        self.models = models
        self.max_batch = max_batch
        self.encodes = encodes

    def run(self, protocol: Protocol, request: Request | None = None) -> ProtocolRun:
        """Run one protocol; the run returned holds its records."""
        return self.run_all([protocol], requests=[request])[0]

    def run_all(
        self,
        protocols: Sequence[Protocol],
        on_done: Callable[[int, ProtocolRun], None] | None = None,
        requests: Sequence[Request | None] = (),
    ) -> list[ProtocolRun]:
        """Run protocols side by side, batching the forward passes that wait for the same model.

        Args:
            protocols: Coroutines, all at their start.
            on_done: Called with index and run as each one ends.
            requests: Whose texts they generate, which must be finished when they end; none checks the rounds alone.
        """
        runs = [
            ProtocolRun(protocol, self.models, encodes=self.encodes, request=request)
            for protocol, request in zip(protocols, requests or [None] * len(protocols), strict=True)
        ]
        pool = _Pool(self.models, self.max_batch)
        for index, protocol_run in enumerate(runs):
            pool.start(protocol_run, partial(on_done, index, protocol_run) if on_done else _ignore)
        pool.drain()
        return runs


def _ignore() -> None:
    pass


@dataclass(slots=True)
class _Waiting:
    """A whole forward, or a promised row (``work`` is then that of all its rows), and who goes on with it."""

    work: ForwardPass
    promised: tuple[PromisedRows, int] | None
    go_on: Callable[[Any], None]


class _Pool:
    """Runs that are ready to advance, and what waits for the models.

    Whole forward passes wait for others to share their batch: the longest queue is served next. Where rows are computed
    on demand, the models take turns: a request that is accepted looks at one row of each in turn, so all requests
    advance by a token in each cycle, and nearly all of them share every batch.
    """

    def __init__(self, models: Mapping[str, LanguageModel], max_batch: int) -> None:
        self._models = models
        self._max_batch = max_batch
        self._queues: dict[LanguageModel, list[_Waiting]] = {}  # least recently served first
        self._take_turns = False
        self._joining: dict[ProtocolRun, Callable[[], None]] = {}

    def start(self, protocol_run: ProtocolRun, done: Callable[[], None]) -> None:
        self._go_on(protocol_run, None, done)

    def _go_on(self, protocol_run: ProtocolRun, result: Any, done: Callable[[], None]) -> None:
        while (pending := protocol_run.advance(result)) is not None:
            result = None
            if pending.awaited is not None:
                rows, _ = pending.awaited
                self._take_turns = True
                self._wait(
                    rows.model, _Waiting(rows.work, pending.awaited, lambda _: self._go_on(protocol_run, None, done))
                )
                return
            if isinstance(pending.record, ComputeRecord):
                assert pending.work is not None
                model = self._models[pending.record.model]
                if pending.on_demand and isinstance(model, OnDemandModel) and model.promises:
                    result = model.promise(pending.work)
                    continue
                self._wait(model, _Waiting(pending.work, None, lambda logits: self._go_on(protocol_run, logits, done)))
                return
            if isinstance(pending.record, ObserveRecord):
                result = Observation()
            elif isinstance(pending.record, TogetherRecord):
                if pending.branches:
                    self._fork(pending, lambda: self._go_on(protocol_run, None, done))
                    return
            elif pending.branches:
                (branch,) = pending.branches
                if isinstance(pending.record, StartRecord):
                    self.start(branch, partial(self._branch_ended, branch))
                elif not branch.ended:
                    self._joining[branch] = lambda: self._go_on(protocol_run, None, done)
                    return
        done()

    def _branch_ended(self, branch: ProtocolRun) -> None:
        """A run that waits for a branch goes on; a dropped one is run to its end, so that its records are whole."""
        self._joining.pop(branch, _ignore)()

    def _fork(self, pending: PendingStep, joined: Callable[[], None]) -> None:
        left = len(pending.branches)

        def branch_done() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                joined()

        for branch in pending.branches:
            self.start(branch, branch_done)

    def _wait(self, model: LanguageModel, waiting: _Waiting) -> None:
        self._queues.setdefault(model, []).append(waiting)

    def drain(self) -> None:
        """Serve one queue after the other until nothing waits."""
        while busy := [model for model, queue in self._queues.items() if queue]:
            model = busy[0] if self._take_turns else max(busy, key=lambda model: len(self._queues[model]))
            queue = self._queues.pop(model)
            self._queues[model] = queue[self._max_batch :]
            self._serve(model, queue[: self._max_batch])

    @staticmethod
    def _serve(model: LanguageModel, batch: list[_Waiting]) -> None:
        works = [waiting.work for waiting in batch if waiting.promised is None]
        promised = [waiting.promised for waiting in batch if waiting.promised is not None]
        if promised:
            assert isinstance(model, OnDemandModel)
            logits = iter(model.fulfil(promised, works))
        else:
            logits = iter(model.forward(works))
        for waiting in batch:
            waiting.go_on(next(logits) if waiting.promised is None else None)
