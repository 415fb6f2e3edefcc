"""How a device goes on with a request whose edge site has failed: by its draft model alone, from the text so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ComputeRecord, ProtocolRun, Record
from sim.inputs.identity import needed_models
from sim.inputs.workload import PlannedRequest, make_controller, make_request, rng_for
from sim.nodes.compiled_trace import TraceStep
from sim.nodes.live_trace import LiveTrace
from sim.runs.inputs import SimulationInputs
from sim.scenario.overrides import apply_overrides
from sim.scenario.schema import MAX_SEED, Scenario
from sim.tape.key import Addresses

# Random numbers of what is drawn after a failure are others than those before it.
_SEED_STEP = 0x9E3779B97F4A7C15

RecordMore = Callable[[Scenario, list[PlannedRequest]], None]
"""Decodes requests of a scenario that no recording was foreseen for."""


class DraftAlone:
    """Makes the rest of requests: ``device_only`` from prompt and answer so far.

    The text of the rest follows the draft, not the target. The draft has seen the text so far, so that it is not fed
    again.

    Args:
        scenario: As it is while the edge works.
        inputs: Models, prices and tape.
        record: Decodes requests that are not on tape; None if there is no tape.
    """

    def __init__(self, scenario: Scenario, inputs: SimulationInputs, record: RecordMore | None) -> None:
        keys = scenario.dump()
        keys.pop("sweep", None)
        edge = {key: value for key, value in keys["edge"].items() if key != "sites"}
        changes = {"protocol": "device_only", "controller": "fixed", "seed": (scenario.seed + _SEED_STEP) & MAX_SEED}
        self._before, self._inputs, self._record = scenario, inputs, record
        self.scenario = Scenario.from_dict(apply_overrides({**keys, "edge": edge}, changes))
        self._models_info = needed_models(self.scenario, inputs.models_info)
        self._eos_ids = (
            needed_models(scenario, inputs.models_info).get("target", self._models_info["draft"]).eos_ids
            if scenario.workload.stop_at_eos
            else frozenset()
        )
        self._addresses = Addresses(self.scenario, self._models_info)

    def trace(self, planned: PlannedRequest, answer: list[int]) -> Iterable[TraceStep]:
        """The steps that are left of a request after these tokens of its answer; none if it is complete."""
        left = (planned.max_new_tokens or self._before.workload.max_new_tokens) - len(answer)
        if left <= 0 or (answer and answer[-1] in self._eos_ids):
            return ()
        rest = replace(planned, prompt=(*planned.prompt, *answer), max_new_tokens=left, blocks=(), session=None)
        tape = self._inputs.tape
        if tape is None:
            return self._live_trace(rest)
        address = self._addresses.of(rest)
        records = tape.get(address)
        if records is None and self._record is not None:
            self._record(self.scenario, [rest])
            records = tape.get(address)
        assert records is not None
        return self._inputs.traces.of(_without_prompt(records))

    def _live_trace(self, rest: PlannedRequest) -> LiveTrace:
        models = self._inputs.models
        request = make_request(rest, self.scenario, self._models_info, make_controller(self.scenario))
        protocol = self.scenario.protocol.entry.make(
            request, self.scenario.protocol.settings, rng_for(rest, self.scenario)
        )
        run = ProtocolRun(protocol, models, request=request)
        return LiveTrace(run, self._inputs.cost_models["device"], models)


def _without_prompt(records: Iterable[Record]) -> list[Record]:
    """Records whose first forward pass feeds the text's last token only."""
    found = list(records)
    for place, record in enumerate(found):
        if isinstance(record, ComputeRecord) and record.site is Location.DEVICE:
            found[place] = replace(record, new_tokens=1)
            break
    return found
