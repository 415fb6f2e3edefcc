"""Live traces: the steps of a request that is decoded while it is simulated, in the form of a compiled trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sim.compute.base import ComputeModel, WorkSize
from sim.core.clock import to_ns
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import (
    ComputeRecord,
    PendingStep,
    ProtocolRun,
    StartRecord,
    TogetherRecord,
)
from sim.models.interface import ForwardPass, LanguageModel
from sim.nodes.compiled_trace import Begin, DraftSegment, Parallel, TraceStep
from sim.nodes.lengthened import Lengthening
from sim.nodes.model_server import run_batch


class LiveTrace:
    """Steps of a protocol run, made one by one as they are executed.

    Forward passes at the device are run here, since nothing else in the simulation takes part in them.

    Args:
        protocol_run: The request's protocol, live.
        cost_models: Compute model of the devices by model role.
        models: Language models by role.
        lengthening: Makes sizes those of the request that this one stands for, if it is larger.

    Attributes:
        work: The forward pass behind the step that was returned last, None if it has none.
        result: Reply to that step, which the executor sets before it asks for the next one.
    """

    def __init__(
        self,
        protocol_run: ProtocolRun,
        cost_models: Mapping[str, ComputeModel],
        models: Mapping[str, LanguageModel],
        lengthening: Lengthening | None = None,
    ) -> None:
        self.protocol_run = protocol_run
        self.work: ForwardPass | None = None
        self.result: Any = None
        self._cost_models = cost_models
        self._models = models
        self._lengthening = None if lengthening is None or lengthening.changes_nothing else lengthening

    def __iter__(self) -> Iterator[TraceStep]:
        return self

    def __next__(self) -> TraceStep:
        pending = self.protocol_run.advance(self.result)
        self.work = self.result = None
        if pending is None:
            raise StopIteration
        record = pending.record
        assert record is not None
        if self._lengthening is not None and not isinstance(record, TogetherRecord | StartRecord):
            record = self._lengthening.of(record)
        if isinstance(record, ComputeRecord):
            if record.site is Location.DEVICE:
                return self._run_at_device(record, pending)
            self.work = pending.work
        elif isinstance(record, TogetherRecord):
            return Parallel(tuple([self._branch(branch) for branch in pending.branches]))
        elif isinstance(record, StartRecord):
            return Begin(record.number, self._branch(pending.branches[0]))
        return record

    def _branch(self, protocol_run: ProtocolRun) -> LiveTrace:
        return LiveTrace(protocol_run, self._cost_models, self._models, self._lengthening)

    def _run_at_device(self, record: ComputeRecord, pending: PendingStep) -> DraftSegment:
        size = WorkSize(record.new_tokens, record.context_tokens, record.num_rows)
        model, cost_model = self._models.get(record.model), self._cost_models[record.model]
        (self.result,), cost = run_batch([pending.work], model, cost_model, [size])
        ns = to_ns(cost.seconds)
        return DraftSegment(record.model, ns, ((ns, cost.joules, record.new_tokens),))
