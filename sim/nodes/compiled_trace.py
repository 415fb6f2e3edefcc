"""Compiled traces: recorded requests priced once, so that a replay costs little more than its messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sim.compute.base import ComputeModel, WorkSize
from sim.core.clock import to_ns
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ComputeRecord, Record, StartRecord, TogetherRecord

# Steps that are kept, so that points over the same recording do not compile them again; 0.2 kB each.
MAX_STEPS = 400_000


@dataclass(frozen=True, slots=True)
class DraftSegment:
    """Forward passes of one model that a device runs one after the other, in private.

    Attributes:
        model: Role of the model.
        ns: How long they take together.
        each: Nanoseconds, joules and new tokens of each.
    """

    model: str
    ns: int
    each: tuple[tuple[int, float, int], ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Traces that run at the same time."""

    traces: tuple[Iterable[TraceStep], ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A trace that runs beside what follows, until it is joined or dropped.

    Attributes:
        number: By which it is.
        trace: What it does.
    """

    number: int
    trace: Iterable[TraceStep]


TraceStep: TypeAlias = DraftSegment | Parallel | Begin | Record


class CompiledTrace(tuple[TraceStep, ...]):
    """Records of a request in order, the device's forward passes priced and merged."""

    __slots__ = ()


class TraceCompiler:
    """Compiles recorded steps for a cost model, and caches the result for further replays of the request.

    Args:
        cost_models: Compute model of the devices by model role.
        max_steps: Steps cached at most.
    """

    def __init__(self, cost_models: Mapping[str, ComputeModel], max_steps: int = MAX_STEPS) -> None:
        self._cost_models = cost_models
        self._costs: dict[tuple[str, int, int, int], tuple[int, float, int]] = {}
        self._forwards: dict[tuple[str, tuple[tuple[int, float, int], ...]], DraftSegment] = {}
        self._kept: OrderedDict[str, CompiledTrace] = OrderedDict()
        self._num_kept = 0
        self._max_kept = max_steps

    def get(self, key: str) -> CompiledTrace | None:
        """The trace that was cached under a key, or None."""
        return self._kept.get(key)

    def keep(self, key: str, trace: CompiledTrace) -> None:
        """Cache a trace; the oldest are evicted when they are too many."""
        self._kept[key] = trace
        self._num_kept += len(trace)
        while self._num_kept > self._max_kept:
            self._num_kept -= len(self._kept.popitem(last=False)[1])

    def of(self, records: Sequence[Record]) -> CompiledTrace:
        """Compile these records."""
        steps: list[TraceStep] = []
        model = ""
        each: list[tuple[int, float, int]] = []
        for record in records:
            if isinstance(record, ComputeRecord) and record.site is Location.DEVICE:
                if record.model != model and each:
                    steps.append(self._together(model, each))
                    each = []
                model = record.model
                each.append(self._price(record))
                continue
            if each:
                steps.append(self._together(model, each))
                each = []
            steps.append(self._other(record))
        if each:
            steps.append(self._together(model, each))
        return CompiledTrace(steps)

    def _other(self, record: Record) -> TraceStep:
        if isinstance(record, TogetherRecord):
            return Parallel(tuple([self.of(branch) for branch in record.branches]))
        return Begin(record.number, self.of(record.branch)) if isinstance(record, StartRecord) else record

    def _price(self, record: ComputeRecord) -> tuple[int, float, int]:
        size = (record.model, record.new_tokens, record.context_tokens, record.num_rows)
        known = self._costs.get(size)
        if known is None:
            price = self._cost_models[record.model].price([WorkSize(*size[1:])])
            known = self._costs[size] = (to_ns(price.seconds), price.joules, record.new_tokens)
        return known

    def _together(self, model: str, each: Sequence[tuple[int, float, int]]) -> DraftSegment:
        """Segments of equal sizes are one object: what is walked again and again should fit into a cache."""
        key = (model, tuple(each))
        known = self._forwards.get(key)
        if known is None:
            known = self._forwards[key] = DraftSegment(model, sum([ns for ns, _, _ in each]), key[1])
        return known
