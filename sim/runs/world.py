"""The world of one run: builds link, sites and devices from a scenario, runs them, and collects the tables' rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.compute.base import ComputeModel
from sim.core.clock import NS_PER_S, to_ns
from sim.core.errors import RunError
from sim.core.kernel import Environment, start
from sim.decoding.core.controller import Controller
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ProtocolRun
from sim.decoding.protocols.registry import sites_of
from sim.inputs.workload import PlannedRequest, arrival_times_s, make_controller, make_request, rng_for, think_times_s
from sim.links.base import Link
from sim.models.info import ModelInfo
from sim.models.interface import LanguageModel
from sim.nodes.compiled_trace import CompiledTrace, Step, TraceCompiler
from sim.nodes.device import Device, Outcome
from sim.nodes.engine.base import engine_memory
from sim.nodes.executor import SimulationContext
from sim.nodes.live_trace import LiveTrace
from sim.nodes.model_server import ModelServer
from sim.nodes.monitor import ServerMonitor
from sim.nodes.routing.registry import ROUTINGS
from sim.nodes.server_group import ServerGroup
from sim.results.tables import RunTables
from sim.scenario.schema import Scenario
from sim.tape.key import Addresses, describe, needed_models
from sim.tape.store import TapeStore


@dataclass
class SimulationInputs:
    """What a world is built from besides its scenario.

    Attributes:
        planned: All requests.
        models_info: Model facts by role.
        cost_models: Compute model by site and role.
        models: Loaded models by role; empty when everything is replayed.
        tape: Recorded requests, or None to decode live.
        record_to: Where a live run puts on tape what it decodes, or None.
        plans: What was replayed so far, priced; shared by all runs from the same inputs.
    """

    planned: list[PlannedRequest]
    models_info: dict[str, ModelInfo]
    cost_models: dict[str, dict[str, ComputeModel]]
    models: Mapping[str, LanguageModel] = field(default_factory=dict)
    tape: TapeStore | None = None
    record_to: TapeStore | None = None
    traces: TraceCompiler = field(init=False)

    def __post_init__(self) -> None:
        self.traces = TraceCompiler(self.cost_models["device"])


@dataclass
class RunOutput:
    """What a run has produced.

    Attributes:
        tables: One row per request, one per round.
        link: Cell-wide figures of the link.
        sites: Figures of edge and cloud by column name.
        simulated_s: When the last request ended, or the run was stopped.
    """

    tables: RunTables
    link: dict[str, float]
    sites: dict[str, float]
    simulated_s: float

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Rows of ``requests`` in order of device and index, where they were kept in memory."""
        return self.tables.requests.rows

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """Rows of ``rounds``, likewise."""
        return self.tables.rounds.rows


class World:
    """One scenario, ready to run.

    Args:
        scenario: What to simulate.
        inputs: Requests, models, prices, tape.
        tables: Take the rows as requests end; by default they are kept in memory.
    """

    def __init__(
        self,
        scenario: Scenario,
        inputs: SimulationInputs,
        tables: RunTables | None = None,
    ) -> None:
        self.scenario = scenario
        self.inputs = inputs
        self.tables = tables if tables is not None else RunTables()
        self.env = Environment()
        self.link: Link = scenario.link.entry.make(
            self.env, scenario.devices.count, scenario.seed, scenario.link.settings
        )
        placed: dict[Location, list[str]] = {}
        for role, location in sites_of(scenario.protocol.entry, scenario.protocol.settings).items():
            placed.setdefault(location, []).append(role)
        self.sites = {
            location: self._servers(location.value, placed.get(location, []))
            for location in (Location.EDGE, Location.CLOUD)
        }
        self.context = SimulationContext(
            self.env,
            self.link,
            self.sites,
            inputs.cost_models["device"],
            inputs.models,
            placed,
            to_ns(scenario.cloud.one_way_delay_s),
            scenario.cloud.backhaul_mbps * 1e6,
            scenario.devices.tx_power_w,
            scenario.devices.rx_power_w,
        )
        self._first_controller = make_controller(scenario)
        self._controllers: dict[int, Controller] = {}
        self._model_info = needed_models(scenario, inputs.models_info)
        self._addresses = Addresses(scenario, self._model_info)
        self._live: dict[int, ProtocolRun] = {}
        self._start_devices()

    def _servers(self, site: str, roles: list[str]) -> ServerGroup:
        """The replicas of a site, each with an engine and a memory of its own."""
        choice, cost_models = self.scenario.servers[site], self.inputs.cost_models[site]
        memory = engine_memory([cost_models[role] for role in roles], choice.trait("memory_share"))
        settings: Any = choice.settings
        count = settings.replicas
        replicas = [
            ModelServer(
                self.env,
                choice.entry.make(settings, memory),
                cost_models,
                self.inputs.models,
                ServerMonitor(
                    site if count == 1 else f"{site}-{index}", self.tables.add_server_second if roles else None
                ),
            )
            for index in range(count)
        ]
        return ServerGroup(replicas, ROUTINGS.find(settings.routing).make())

    def _start_devices(self) -> None:
        by_device: dict[int, list[PlannedRequest]] = {}
        for planned in self.inputs.planned:
            by_device.setdefault(planned.device, []).append(planned)
        closed = self.scenario.devices.arrivals == "closed"
        arrivals = [] if closed else arrival_times_s(self.scenario)
        for index, requests in sorted(by_device.items()):
            device = Device(self.context, index, requests, self._trace_of, self._keep)
            times = think_times_s(self.scenario, index) if closed else arrivals[index]
            start(self.env, device.closed_loop(times) if closed else device.open_loop(times))

    def _trace_of(self, planned: PlannedRequest) -> Iterable[Step]:
        if self.inputs.tape is not None:
            return self._recorded_trace(planned, self.inputs.tape)
        scenario, models_info = self.scenario, self._model_info
        if planned.device not in self._controllers:
            self._controllers[planned.device] = self._first_controller.for_device()
        controller = self._controllers[planned.device]
        request = make_request(planned, scenario, models_info, controller)
        protocol = scenario.protocol.entry.make(request, scenario.protocol.settings, rng_for(planned, scenario))
        protocol_run = self._live[planned.id] = ProtocolRun(protocol, self.inputs.models, request=request)
        return LiveTrace(protocol_run, self.inputs.cost_models["device"], self.inputs.models)

    def _recorded_trace(self, planned: PlannedRequest, tape: TapeStore) -> CompiledTrace:
        key, traces = self._addresses.of(planned), self.inputs.traces
        trace = traces.get(key)
        if trace is None:
            records = tape.get(key)
            if records is None:
                raise RunError(f"request {planned.index} of device {planned.device} is not on tape, or damaged there")
            trace = traces.of(records)
            traces.keep(key, trace)
        return trace

    def _keep(self, outcome: Outcome) -> None:
        self.tables.add(outcome)
        for model in self.inputs.models.values():
            model.close_request(outcome.planned.id)
        protocol_run = self._live.pop(outcome.planned.id, None)
        store = self.inputs.record_to
        if protocol_run is not None and store is not None:
            key = self._addresses.of(outcome.planned)
            if not store.has(key):
                store.put(key, protocol_run.records, describe(outcome.planned, self.scenario, self._model_info))

    def run(self, until_s: float | None = None) -> RunOutput:
        """Run until the last request has ended, or until a time; requests under way then are in no table."""
        self.env.run(None if until_s is None else to_ns(until_s))
        ended_ns = int(self.env.now)
        for group in self.sites.values():
            group.finish(ended_ns)
        self.tables.close()
        return RunOutput(self.tables, self.link.summary(), self._site_figures(ended_ns), ended_ns / NS_PER_S)

    def _site_figures(self, ended_ns: int) -> dict[str, float]:
        figures: dict[str, float] = {}
        for site, group in self.sites.items():
            figures |= group.figures(site.value, group.counts(ended_ns), ended_ns)
        return figures
