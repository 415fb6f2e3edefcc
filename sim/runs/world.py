"""The world of one run: builds link, sites and devices from a scenario, runs them, and collects the tables' rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sim.compute.base import idle_power_w
from sim.compute.shares import on_share
from sim.core.clock import NS_PER_S, to_ns
from sim.core.errors import InputError, RunError
from sim.core.kernel import Environment
from sim.decoding.core.steps import Location
from sim.decoding.protocols.registry import sites_of
from sim.links.base import Link
from sim.nodes.executor import SimulationContext
from sim.nodes.model_server import ModelServer
from sim.nodes.monitor import QueueMonitor, ServerMonitor
from sim.nodes.server_group import ServerGroup
from sim.nodes.sites.edge_sites import EdgeSites
from sim.results.output import RunOutput
from sim.results.tables import RunTables
from sim.runs.completion import Completion
from sim.runs.device_group import DeviceGroup, Watchers
from sim.runs.draft_alone import RecordMore
from sim.runs.inputs import SimulationInputs
from sim.runs.window import Window
from sim.scenario.schema import Kind, Scenario
from sim.serving.base import Engine, EngineMemory, engine_memory
from sim.serving.handover.registry import HANDOVERS
from sim.serving.ran_sharing.counts import GpuCounts
from sim.serving.ran_sharing.gpu import SharedGpu
from sim.serving.ran_sharing.orchestration import Orchestration
from sim.serving.ran_sharing.receiver import SharedReceiver
from sim.serving.ran_sharing.site_gpus import SiteGpus
from sim.serving.routing.registry import ROUTINGS

PATIENCE_NS = 10 * NS_PER_S
"""Background traffic that keeps all messages waiting for so long will not let go of the cell."""


class World:
    """One scenario, ready to run.

    Args:
        scenario: What to simulate.
        inputs: Requests, models, prices, tape.
        tables: Take the rows as requests end; by default they are kept in memory.
        record: Decodes requests that no recording was foreseen for, or None.
        wrap_link: Makes what devices send over from the scenario's link, or None for that link itself.
        outside: Whether the caller moves the shares of a GPU instead of an orchestrator.
        first_device: Number of the first device, by which its requests are drawn.
        link_seed: Keys the random numbers of the link; the scenario's seed if left out.

    Raises:
        InputError: Kinds of devices ask for different models at one server.
    """

    def __init__(
        self,
        scenario: Scenario,
        inputs: SimulationInputs,
        tables: RunTables | None = None,
        record: RecordMore | None = None,
        wrap_link: Callable[[Link], Link] | None = None,
        outside: bool = False,
        first_device: int = 0,
        link_seed: int | None = None,
    ) -> None:
        self.scenario = scenario
        self.inputs = inputs
        self.tables = tables if tables is not None else RunTables()
        self.env = Environment()
        devices = scenario.devices
        seed = scenario.seed if link_seed is None else link_seed
        link: Link = scenario.link.entry.make(self.env, devices.count, seed, scenario.placed_link())
        self.link = link if wrap_link is None else wrap_link(link)
        self.gpus = self._shared_gpus(link)
        kinds = [replace(kind, first=kind.first + first_device) for kind in scenario.by_kind()]
        self.sites = self._all_servers(link, kinds)
        edge = self.sites[Location.EDGE]
        self.edge_sites = edge if isinstance(edge, EdgeSites) else None
        self.window = Window(to_ns(devices.warmup_s), None if devices.end_s is None else to_ns(devices.end_s))
        self.requests, self.queue = QueueMonitor("requests"), QueueMonitor("requests at their devices")
        self.completion = Completion(self.env, self.requests)
        self.orchestrations = self._orchestrated(self.sites[Location.EDGE], outside)
        on_request = self._report_to_orchestration if self.orchestrations else None
        self._watchers = watchers = Watchers(
            self.window, self.tables, self.requests, self.queue, self.completion, on_request=on_request
        )
        self.groups = [
            DeviceGroup(kind, own, self._context(kind, own), watchers, record)
            for kind, own in zip(kinds, inputs.kinds, strict=True)
        ]
        for group in self.groups:
            group.start()

    def _context(self, kind: Kind, inputs: SimulationInputs) -> SimulationContext:
        scenario = kind.scenario
        return SimulationContext(
            self.env,
            self.link,
            self.sites,
            inputs.models,
            _placed(scenario),
            *_backhaul(scenario),
            0.0 if self.link.has_modems else scenario.devices.tx_power_w,
            0.0 if self.link.has_modems else scenario.devices.rx_power_w,
            edge_sites=self.edge_sites,
        )

    def _all_servers(self, link: Link, kinds: list[Kind]) -> dict[Location, ServerGroup]:
        """The servers of the cloud, and of the edge: of its one site, or of all of them."""
        cloud = self._servers(Location.CLOUD, kinds, "cloud")
        sites = self.scenario.edge_sites
        if sites is None:
            return {Location.EDGE: self._servers(Location.EDGE, kinds, "edge"), Location.CLOUD: cloud}
        num_sites = sites.num_sites(link.num_cells)
        groups = [self._servers(Location.EDGE, kinds, f"edge-{site}", site) for site in range(num_sites)]
        cost_models = groups[0].replicas[0].cost_models
        if HANDOVERS.find(sites.handover).make().may_carry and num_sites > 1:
            unknown = [role for role, model in cost_models.items() if model.kv_bytes_per_token is None]
            if unknown:
                raise InputError(
                    f"handover {sites.handover!r} needs the size of keys and values, which compute.edge does not tell "
                    f"of the {' and '.join(unknown)} model; valid: compute.edge kind roofline, or kind table with "
                    "kv_bytes_per_token",
                    "edge.sites.handover",
                )
        routing = ROUTINGS.find(self.scenario.edge.settings.routing).make()  # type: ignore[attr-defined]
        idle_w = idle_power_w(cost_models.values())
        edge = EdgeSites(self.env, sites, groups, routing, idle_w, cloud, link, cost_models, _backhaul(self.scenario))
        return {Location.EDGE: edge, Location.CLOUD: cloud}

    def _servers(self, location: Location, kinds: list[Kind], name: str, number: int = 0) -> ServerGroup:
        """The replicas of a site, each with an engine and a memory of its own."""
        site = location.value
        cost_models: dict[str, Any] = {}
        models: dict[str, Any] = {}
        by_role: dict[str, tuple[str, str]] = {}
        for kind, own in zip(kinds, self.inputs.kinds, strict=True):
            for role in [role for role, where in kind.scenario.placed().items() if location in where]:
                fingerprint = own.models_info[role].fingerprint
                known, first = by_role.setdefault(role, (fingerprint, kind.name))
                if known != fingerprint:
                    message = f"{first} and {kind.name} run different {role} models at the {site}; valid: one for all"
                    raise InputError(message, "devices")
                cost_models.setdefault(role, own.cost_models[site][role])
                if role in own.models:
                    models.setdefault(role, own.models[role])
        gpu = self.gpus.gpus[number] if self.gpus is not None and location is Location.EDGE else None
        choice = self.scenario.servers[site]
        sliced = [on_share(model, *gpu.min_shares) if gpu else model for model in cost_models.values()]
        memory = engine_memory(sliced, choice.trait("memory_share"))
        settings: Any = choice.settings
        count = settings.replicas
        on_second = self.tables.add_server_second if cost_models else None
        replicas = [
            ModelServer(
                self.env,
                self._engine(site, memory),
                cost_models,
                models,
                ServerMonitor(name if count == 1 else f"{name}-{index}", on_second),
                gpu,
            )
            for index in range(count)
        ]
        idle_w = idle_power_w(cost_models.values())
        return ServerGroup(replicas, ROUTINGS.find(settings.routing).make(), idle_w)

    def _engine(self, site: str, memory: EngineMemory) -> Engine:
        """An engine as a site's settings say."""
        choice = self.scenario.servers[site]
        try:
            engine: Engine = choice.entry.make(choice.settings, memory)
            return engine
        except InputError as error:
            raise InputError(error.message, (site, *error.key)) from error

    def _shared_gpus(self, link: Link) -> SiteGpus | None:
        """What layer 1 of the link's cells and the edge's models share at each site, if they do."""
        settings = self.scenario.edge.settings
        sharing = getattr(settings, "ran_sharing", None)
        if sharing is None:
            return None
        from sim.links.nr.link import NrLink

        assert isinstance(link, NrLink)  # the schema has seen to it
        carrier = link.network.carrier
        network, seed = link.network, self.scenario.seed
        sites, on_second = self.scenario.edge_sites, self.tables.add_gpu_second
        of_cell = [0 if sites is None else sites.site_of(cell) for cell in range(network.num_cells)]
        gpus = SiteGpus(
            [
                SharedGpu(self.env, sharing, carrier.slot_ns, seed, of_cell.count(site), on_second, site)
                for site in range(max(of_cell) + 1)
            ],
            of_cell.__getitem__,
        )
        network.wrap_receiver(lambda receiver: SharedReceiver(receiver, gpus, carrier, sharing, network.settings))
        return gpus

    def _orchestrated(self, edge: ServerGroup, outside: bool) -> list[Orchestration]:
        """What moves the shares of each site's GPU, if anything does."""
        if self.gpus is None or not (outside or self.gpus.gpus[0].settings.is_moved):
            return []
        return [
            Orchestration(self.env, gpu, None if outside else gpu.settings.make_orchestrator(), server.num_waiting)
            for gpu, server in zip(self.gpus.gpus, edge.replicas, strict=True)
        ]

    def _report_to_orchestration(self, row: dict[str, Any]) -> None:
        """Report a request that has ended to the orchestration at the site of its device's cell."""
        assert self.gpus is not None
        cell = 0 if self.edge_sites is None else self.edge_sites.link.cell_of(row["device"])
        self.orchestrations[self.gpus.site_of(cell)].on_request(row)

    def run(self, until_s: float | None = None) -> RunOutput:
        """Run until the last request has ended, or until a time; requests under way then are in no table."""
        groups = {site.value: group for site, group in self.sites.items()}
        window = self.window
        if window.start_ns:
            self.env.run(window.start_ns)
        gpu_before = self._gpu_counts()
        window.begin(window.start_ns, self.requests, groups)
        until_ns = window.end_ns if until_s is None else to_ns(until_s)
        if until_ns is None:
            self._run_to_end()
        else:
            for mark_ns in window.marks_ns() if until_s is None else ():
                self.env.run(mark_ns)
                window.mark(self.requests)
            self.env.run(until_ns)
        window.close(int(self.env.now), self.requests, groups)
        gpu_counts = self._gpu_counts().since(gpu_before)
        link_figures = self.link.summary()
        if until_s is None and window.end_ns is not None and self.scenario.devices.in_flight == "drain":
            self._run_to_end()
            self._refuse_losses()
        elif until_ns is None:
            self._refuse_losses()
        self._finish()
        for group in self.groups:
            if group.recorder is not None:
                group.recorder.sync()
        figures = {**window.figures(groups), **self._device_idle_energy(), **self._vocabularies()}
        if self.gpus is not None:
            model_j = figures.get("edge_busy_energy_j", 0.0)
            figures |= self.gpus.figures(gpu_counts, window.duration_ns, model_j, window.tokens)
        if self.edge_sites is not None:
            figures |= self.edge_sites.site_counts.figures()
        return RunOutput(self.tables, link_figures, figures, int(self.env.now) / NS_PER_S)

    def _run_to_end(self) -> None:
        """Run until nothing is left to happen, or all requests have ended where the link itself makes traffic."""
        if self.link.has_background or self.orchestrations or self.edge_sites is not None:
            self.completion.run(PATIENCE_NS, self._refuse_starvation)
        else:
            self.env.run()

    def _gpu_counts(self) -> GpuCounts:
        """What layer 1 and the models have done on their GPUs so far."""
        return GpuCounts() if self.gpus is None else self.gpus.counts(int(self.env.now))

    def _refuse_starvation(self) -> None:
        """Requests go on, or end.

        Raises:
            RunError: Nothing of any message has crossed the link for a while although some wait.
        """
        starving = self.link.starving(int(self.env.now) - PATIENCE_NS)
        if starving and not self.completion.is_over:
            named = ", ".join(map(str, starving[:5])) + (" ..." if len(starving) > 5 else "")
            raise RunError(
                f"background traffic takes the whole cell: messages of device {named} have waited for more than "
                f"{PATIENCE_NS / NS_PER_S:g} s and nothing of them arrives, so that their requests may never end; "
                "lower the load of link.background, give link.prioritised_mbps or a link.five_qi of higher priority, "
                "or measure in a window (devices.duration_s with in_flight: cut)"
            )

    def _device_idle_energy(self) -> dict[str, float]:
        """What the processors of all devices draw at rest in the window [J], where that is known."""
        kinds = zip(self.scenario.by_kind(), self.inputs.kinds, strict=True)
        idle_w = sum(
            kind.scenario.devices.count * idle_power_w(own.cost_models["device"].values()) for kind, own in kinds
        )
        return {"device_idle_energy_j": idle_w * self.window.duration_ns / NS_PER_S} if idle_w > 0 else {}

    def _vocabularies(self) -> dict[str, float]:
        """Tokens of the models' vocabulary and of the one that messages are charged for, the least of all kinds'.

        And to how many entries rows are cut, where all kinds cut them alike.
        """
        kinds = zip(self.scenario.by_kind(), self.inputs.kinds, strict=True)
        sizes = [
            (
                size := min(info.vocab_size for info in own.models_info.values()),
                kind.scenario.models.wire_vocab_size or size,
            )
            for kind, own in kinds
        ]
        cuts = {getattr(kind.scenario.protocol.settings, "top_k", None) for kind in self.scenario.by_kind()}
        return {
            "vocab_size": min(own for own, _ in sizes),
            "wire_vocab_size": min(wire for _, wire in sizes),
            **({"row_top_k": cut} if len(cuts) == 1 and (cut := cuts.pop()) is not None else {}),
        }

    def _finish(self) -> None:
        """Count what is under way, and hold every queue against Little's law.

        Raises:
            RunError: It does not hold.
        """
        ended_ns = int(self.env.now)
        spent_ns = list(self._watchers.spent_ns)
        for group in self.groups:
            for device in group.devices:
                if device.current is not None:
                    self.window.count(device.current)
                for place, own_ns in enumerate(device.spent_ns(ended_ns)):
                    spent_ns[place] += own_ns
        for servers in self.sites.values():
            servers.finish(ended_ns)
        self.requests.check(ended_ns, spent_ns[0])
        self.queue.check(ended_ns, spent_ns[1])
        if self.gpus is not None:
            self.gpus.finish()
        self.tables.close()

    def _refuse_losses(self) -> None:
        """Nothing is left to happen: all requests must have ended.

        Raises:
            RunError: Some have not.
        """
        if self.requests.num_inside:
            raise RunError(f"{self.requests.num_inside} requests never ended: what they wait for does not come")


def _backhaul(scenario: Scenario) -> tuple[int, float]:
    """One-way delay [ns] and rate [bit/s] of the way to the cloud."""
    return to_ns(scenario.cloud.one_way_delay_s), scenario.cloud.backhaul_mbps * 1e6


def _placed(scenario: Scenario) -> dict[Location, list[str]]:
    """Roles of the models that a scenario's protocol runs, by site."""
    placed: dict[Location, list[str]] = {}
    for role, location in sites_of(scenario.protocol.entry, scenario.protocol.settings).items():
        placed.setdefault(location, []).append(role)
    return placed
