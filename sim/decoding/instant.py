"""The instant driver: steps take no time. Many requests advance together, and their forwards are batched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sim.decoding.on_demand import OnDemandModel, PromisedRows
from sim.decoding.scripts import Action, ComputeRecord, LiveScript, ObserveRecord
from sim.decoding.steps import Observation, Protocol
from sim.models.interface import Forward, LanguageModel


class InstantDriver:
    """Runs protocols to their end without a clock.

    Args:
        models: Language models by role.
        max_batch: Most forwards per batch.
        encodes: Whether messages become bytes; else they are only measured.
    """

    def __init__(self, models: Mapping[str, LanguageModel], max_batch: int = 64, encodes: bool = True) -> None:
        self.models = models
        self.max_batch = max_batch
        self.encodes = encodes

    def run(self, protocol: Protocol) -> LiveScript:
        """Run one protocol; the script returned holds its records."""
        return self.run_all([protocol])[0]

    def run_all(
        self, protocols: Sequence[Protocol], on_done: Callable[[int, LiveScript], None] | None = None
    ) -> list[LiveScript]:
        """Run protocols side by side, batching the forwards that wait for the same model.

        Args:
            protocols: Coroutines, all at their start.
            on_done: Called with index and script as each one ends.
        """
        scripts = [LiveScript(protocol, self.models, encodes=self.encodes) for protocol in protocols]
        pool = _Pool(self.models, self.max_batch)
        for index, script in enumerate(scripts):
            pool.start(script, partial(on_done, index, script) if on_done else _ignore)
        pool.drain()
        return scripts


def _ignore() -> None:
    pass


def _length(item: tuple[Any, Sequence[Any]]) -> int:
    return len(item[1])


class _Pool:
    """Scripts that are ready to advance, and forwards that wait for their model."""

    def __init__(self, models: Mapping[str, LanguageModel], max_batch: int) -> None:
        self._models = models
        self._max_batch = max_batch
        self._waiting: dict[str, list[tuple[Forward, Callable[[Any], None]]]] = {}
        self._awaited: dict[OnDemandModel, list[tuple[PromisedRows, int, Callable[[], None]]]] = {}

    def start(self, script: LiveScript, done: Callable[[], None]) -> None:
        self._go_on(script, None, done)

    def _go_on(self, script: LiveScript, result: Any, done: Callable[[], None]) -> None:
        while (action := script.advance(result)) is not None:
            result = None
            if action.awaited is not None:
                rows, index = action.awaited
                self._awaited.setdefault(rows.model, []).append((rows, index, lambda: self._go_on(script, None, done)))
                return
            if isinstance(action.record, ComputeRecord):
                assert action.work is not None
                model = self._models[action.record.model]
                if action.on_demand and isinstance(model, OnDemandModel) and model.promises:
                    result = model.promise(action.work)
                    continue
                queue = self._waiting.setdefault(action.record.model, [])
                queue.append((action.work, lambda logits: self._go_on(script, logits, done)))
                return
            if isinstance(action.record, ObserveRecord):
                result = Observation()
            elif action.branches:
                self._fork(action, lambda: self._go_on(script, None, done))
                return
        done()

    def _fork(self, action: Action, joined: Callable[[], None]) -> None:
        left = len(action.branches)

        def branch_done() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                joined()

        for branch in action.branches:
            self.start(branch, branch_done)

    def drain(self) -> None:
        """Run the fullest queue's next batch until nothing waits."""
        while any(self._waiting.values()) or any(self._awaited.values()):
            role, waiting = max(self._waiting.items(), key=_length, default=("", []))
            model, awaited = max(self._awaited.items(), key=_length, default=(None, []))
            if model is not None and len(awaited) >= len(waiting):
                self._fulfil(model)
            else:
                self._forward(role)

    def _forward(self, role: str) -> None:
        queue = self._waiting[role]
        batch, self._waiting[role] = queue[: self._max_batch], queue[self._max_batch :]
        logits = self._models[role].forward([work for work, _ in batch])
        for (_, resume), rows in zip(batch, logits, strict=True):
            resume(rows)

    def _fulfil(self, model: OnDemandModel) -> None:
        queue = self._awaited[model]
        batch, self._awaited[model] = queue[: self._max_batch], queue[self._max_batch :]
        model.fulfil([(rows, index) for rows, index, _ in batch])
        for _, _, resume in batch:
            resume()
