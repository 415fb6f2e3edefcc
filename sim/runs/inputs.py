"""What a world is built from besides its scenario: requests, model metadata, cost models, models or a tape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sim.compute.base import ComputeModel
from sim.inputs.prompts import OF_FILE
from sim.inputs.requests import RequestSource
from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.models.interface import LanguageModel
from sim.nodes.compiled_trace import TraceCompiler
from sim.tape.store import TapeStore


@dataclass
class SimulationInputs:
    """What a world is built from besides its scenario.

    Attributes:
        planned: Requests that are known before the run, or the recordings that stand for all of them.
        models_info: Model metadata by role.
        cost_models: Compute model by site and role.
        models: Loaded models by role; empty when everything is replayed.
        tape: Recorded requests, or None to decode live.
        record_to: Where a live run puts on tape what it decodes, or None.
        source: Gives devices their requests; None if ``planned`` are all of them.
        others: The same for each further kind of devices; all of the above is the first kind's.
        traces: What was replayed so far, priced; shared by all runs from the same inputs.
    """

    planned: list[PlannedRequest]
    models_info: dict[str, ModelInfo]
    cost_models: dict[str, dict[str, ComputeModel]]
    models: Mapping[str, LanguageModel] = field(default_factory=dict)
    tape: TapeStore | None = None
    record_to: TapeStore | None = None
    source: RequestSource | None = None
    others: list[SimulationInputs] = field(default_factory=list)
    traces: TraceCompiler = field(init=False)

    def __post_init__(self) -> None:
        self.traces = TraceCompiler(self.cost_models["device"])

    @property
    def kinds(self) -> list[SimulationInputs]:
        """One for each kind of devices."""
        return [self, *self.others]

    @property
    def parts(self) -> list[tuple[dict[str, ModelInfo], dict[str, dict[str, ComputeModel]]]]:
        """Model metadata and cost models of each kind of devices."""
        return [(one.models_info, one.cost_models) for one in self.kinds]

    @property
    def notes(self) -> list[str]:
        """What of the workload was left out or cut, a sentence each; once for a file that several kinds have."""
        notes: list[str] = []
        for note in (note for one in self.kinds if one.source is not None for note in one.source.notes):
            if note not in notes or not note.startswith(OF_FILE):
                notes.append(note)
        return notes

    def with_tape(self, tape: TapeStore | None) -> SimulationInputs:
        """These inputs, replayed from a tape."""
        return replace(self, tape=tape, others=[one.with_tape(tape) for one in self.others])

    def with_models(
        self, models: Sequence[Mapping[str, LanguageModel]], record_to: Sequence[TapeStore | None] = ()
    ) -> SimulationInputs:
        """These inputs, decoded while simulating.

        Args:
            models: Those of each kind.
            record_to: Where each kind's requests are put on tape, or None; nowhere if left out.
        """
        stores = record_to or [None] * len(models)
        first, *others = (
            replace(one, models=own, record_to=store)
            for one, own, store in zip(self.kinds, models, stores, strict=True)
        )
        return replace(first, others=others)

    def all_models(self) -> list[LanguageModel]:
        """Loaded models of all kinds, each once."""
        found = {id(model): model for one in self.kinds for model in one.models.values()}
        return list(found.values())
