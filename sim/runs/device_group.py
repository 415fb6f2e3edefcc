"""Devices of one kind in a world: what requests they issue, what decodes or replays these, and what comes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sim.core.errors import InputError, RunError
from sim.core.kernel import start
from sim.decoding.core.controller import Controller
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ProtocolRun
from sim.inputs.arrivals import Arrivals, think_times_s
from sim.inputs.identity import needed_models
from sim.inputs.requests import DrawnRequests, ListedRequests
from sim.inputs.workload import PlannedRequest, make_controller, make_request, rng_for
from sim.nodes.compiled_trace import CompiledTrace, TraceStep
from sim.nodes.device import Device, DeviceHooks, RequestOutcome, feed
from sim.nodes.executor import SimulationContext
from sim.nodes.lengthened import Lengthening
from sim.nodes.live_trace import LiveTrace
from sim.nodes.monitor import QueueMonitor
from sim.results.tables import RunTables
from sim.runs.completion import Completion
from sim.runs.draft_alone import DraftAlone, RecordMore
from sim.runs.inputs import SimulationInputs
from sim.runs.window import Window
from sim.scenario.schema import Kind
from sim.serving.base import engine_memory
from sim.tape.key import Addresses
from sim.tape.live_recorder import LiveRecorder
from sim.tape.store import TapeStore

# Requests of each device that are decoded at once, where no recording was foreseen.
_AHEAD = 4


@dataclass(frozen=True)
class Watchers:
    """What all devices of a world report to.

    Attributes:
        window: Measures tokens.
        tables: Take ended requests.
        requests: Watches all requests from issue to end.
        queue: Watches those that wait at their devices.
        completion: Knows when all requests have ended.
        spent_ns: Times that ended requests have taken in all, and of these waited at their devices.
        on_request: Takes the row of each ended request, or None.
    """

    window: Window
    tables: RunTables
    requests: QueueMonitor
    queue: QueueMonitor
    completion: Completion
    spent_ns: list[int] = field(default_factory=lambda: [0, 0])
    on_request: Callable[[dict[str, Any]], None] | None = None


class DeviceGroup:
    """The devices of one kind.

    Args:
        kind: How many, and their scenario.
        inputs: Requests, models, prices and tape of theirs.
        context: The simulation around them.
        watchers: What they report to.
        record: Decodes requests that no recording was foreseen for, or None.

    Attributes:
        recorder: Puts on tape what is decoded while simulating, or None.
    """

    def __init__(
        self,
        kind: Kind,
        inputs: SimulationInputs,
        context: SimulationContext,
        watchers: Watchers,
        record: RecordMore | None = None,
    ) -> None:
        self.kind = kind
        self.scenario = kind.scenario
        self.inputs = inputs
        self.context = context
        self._watchers = watchers
        self._record = record
        self._first_controller = make_controller(self.scenario)
        self._controllers: dict[int, Controller] = {}
        self._model_info = needed_models(self.scenario, inputs.models_info)
        self._addresses = Addresses(self.scenario, self._model_info)
        self.recorder: LiveRecorder | None = None
        if inputs.record_to is not None:
            self.recorder = LiveRecorder(inputs.record_to, self.scenario, self._model_info, self._addresses)
        self._live: dict[int, ProtocolRun] = {}
        self._room_tokens = self._memory_tokens()
        self._alone: DraftAlone | None = None
        self.source = inputs.source if inputs.source is not None else ListedRequests(inputs.planned)
        hooks = DeviceHooks(
            self.source,
            self._trace_of,
            self._keep,
            watchers.requests,
            watchers.queue,
            watchers.window.end_ns,
            self.scenario.slo,
            kind.name,
            self.scenario.devices.priority,
            watchers.completion.process,
            self._draft_alone,
        )
        self.devices = [Device(context, kind.first + index, hooks) for index in range(self.scenario.devices.count)]

    def start(self) -> None:
        """Let requests come."""
        scenario, env = self.scenario, self.context.env
        self.source.begin()
        if scenario.devices.is_closed_loop:
            for device in self.devices:
                loop = device.closed_loop(think_times_s(scenario.devices, scenario.seed, device.index))
                start(env, self._watchers.completion.process(loop))
            return
        arrivals = self.source.arrivals if isinstance(self.source, DrawnRequests) else None
        if arrivals is None:
            arrivals = Arrivals(scenario.devices, scenario.seed, first_device=self.kind.first)
        by_index = {device.index: device for device in self.devices}
        for stream in arrivals.streams():
            feed(env, by_index, self._watchers.completion.stream(stream))

    def _memory_tokens(self) -> float:
        """Tokens whose keys and values a device's memory holds beside weights and operating system.

        Raises:
            InputError: It does not even hold the weights.
        """
        roles = self.context.placed.get(Location.DEVICE, ())
        models = [self.inputs.cost_models["device"][role] for role in roles]
        share = 1.0
        if models and (stated := self.scenario.devices.os_memory_share) is not None:
            share = (1 - stated) / (1 - models[0].system_memory_share)  # models of a device share its hardware
        memory = engine_memory(models, share)
        if memory.kv_bytes is None or memory.bytes_per_token <= 0:
            return math.inf
        if memory.kv_bytes < 0:
            raise InputError(
                f"the memory of a device does not hold the weights of {' and '.join(roles)} beside the operating "
                "system: use hardware with more memory, fewer bytes per weight or smaller models",
                "devices.os_memory_share",
            )
        return memory.kv_bytes // memory.bytes_per_token

    def _trace_of(self, planned: PlannedRequest) -> Iterable[TraceStep]:
        extent = planned.num_prompt_tokens + (planned.max_new_tokens or self.scenario.workload.max_new_tokens)
        if extent > self._room_tokens:
            raise InputError(
                f"a text of {extent} tokens does not fit a device, whose memory has room for the keys and values of "
                f"{self._room_tokens:.0f}: use hardware with more memory, or shorter prompts",
                "devices.os_memory_share",
            )
        if self.inputs.tape is not None:
            return self._recorded_trace(planned, self.inputs.tape)
        scenario, models_info = self.scenario, self._model_info
        if planned.device not in self._controllers:
            self._controllers[planned.device] = self._first_controller.for_device()
        controller = self._controllers[planned.device]
        request = make_request(planned, scenario, models_info, controller)
        protocol = scenario.protocol.entry.make(request, scenario.protocol.settings, rng_for(planned, scenario))
        models = self.inputs.models
        protocol_run = self._live[planned.unique_id] = ProtocolRun(protocol, models, request=request)
        return LiveTrace(protocol_run, self.inputs.cost_models["device"], models, Lengthening(planned))

    def _draft_alone(self, planned: PlannedRequest, answer: list[int]) -> Iterable[TraceStep]:
        """How a device goes on by itself with a request whose site has failed."""
        if self._alone is None:
            self._alone = DraftAlone(self.scenario, self.inputs, self._record)
        self._live.pop(planned.unique_id, None)  # what was decoded of it is not the whole request
        return self._alone.trace(planned, answer)

    def _recorded_trace(self, planned: PlannedRequest, tape: TapeStore) -> CompiledTrace:
        traces, address = self.inputs.traces, self._addresses.of(planned)
        beside = planned.extra_prompt_tokens, planned.uplink_bytes, planned.downlink_bytes
        key = f"{address}+{beside}" if any(beside) else address
        trace = traces.get(key)
        if trace is None:
            records = tape.get(address)
            if records is None and self._record is not None:
                self._record(self.scenario, self._like(planned))
                records = tape.get(address)
            if records is None:
                raise RunError(f"request {planned.index} of device {planned.device} is not on tape, or damaged there")
            trace = traces.of(Lengthening(planned).all_of(records))
            traces.keep(key, trace)
        return trace

    def _like(self, planned: PlannedRequest) -> list[PlannedRequest]:
        """A request that nobody foresaw, and those that other devices are to issue at about the same time."""
        if self.source.turns > 1:
            return [planned]
        places = ((device.index, planned.index + ahead) for device in self.devices for ahead in range(_AHEAD))
        found = [self.source.request(device, index, 0) for device, index in places]
        return [planned, *(one for one in found if one is not None)]

    def _keep(self, outcome: RequestOutcome) -> None:
        window, planned = self._watchers.window, outcome.planned
        window.count(outcome.metrics)
        self._watchers.spent_ns[0] += outcome.ended_ns - outcome.issued_ns
        self._watchers.spent_ns[1] += outcome.started_ns - outcome.issued_ns
        row = self._watchers.tables.add(outcome, window.measures(outcome))
        if self._watchers.on_request is not None:
            self._watchers.on_request(row)
        for model in self.inputs.models.values():
            model.close_request(planned.unique_id)
        protocol_run = self._live.pop(planned.unique_id, None)
        if protocol_run is not None and self.recorder is not None and not outcome.metrics.given_up:
            self.recorder.keep(planned, protocol_run.records)
        self._watchers.completion.check()
