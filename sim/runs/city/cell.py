"""One cell of a city as a world of its own: neighbours are what they have sent in the round before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import process_time
from typing import Any, ClassVar

import simpy
from typing_extensions import override

from sim.core.errors import InputError
from sim.inputs.requests import RequestSource
from sim.inputs.workload import PlannedRequest
from sim.links.base import ChannelReport, Direction, Link, LinkMeter, Packet
from sim.links.nr.link import NrLink
from sim.links.nr.phy.outside import Activity, ActivityLog, Outside
from sim.results.summary import SummaryBuilder
from sim.results.tables import RunTables
from sim.runs.city.layout import Cell, dropped
from sim.runs.inputs import SimulationInputs
from sim.runs.world import World
from sim.scenario.schema import Scenario


@dataclass(frozen=True)
class CellResult:
    """What became of a cell in one round.

    Attributes:
        cell: The cell, its devices placed.
        summary: Figures over its requests, by column name.
        e2e_s: End-to-end latency of each request of the window that ended, by device and number.
        sent: By direction, what others get of it: downlink [slots, 1, groups], uplink [slots, cells, groups].
        cpu_s: Processor time.
    """

    cell: Cell
    summary: dict[str, Any]
    e2e_s: list[float]
    sent: dict[Direction, Activity] = field(repr=False)
    cpu_s: float = 0.0


class ShiftedLink(Link):
    """A link whose devices are numbered from another number than 0.

    Args:
        link: The link.
        first_device: Number of its device 0.
    """

    has_modems: ClassVar[bool] = True

    def __init__(self, link: Link, first_device: int) -> None:
        super().__init__(link.env, link.num_devices, link.seed)
        self.link, self._first = link, first_device
        self.has_background = link.has_background

    @override
    def send(self, packet: Packet) -> simpy.Event:
        return self.link.send(packet._replace(device=packet.device - self._first))

    @override
    def report(self, device: int) -> ChannelReport:
        return self.link.report(device - self._first)

    @override
    def meter(self, device: int) -> LinkMeter:
        return self.link.meter(device - self._first)

    @override
    def summary(self) -> dict[str, float]:
        return self.link.summary()


class CityRequests(RequestSource):
    """Requests of all devices of a city; those of one cell are asked for one by one.

    Args:
        source: That of the whole city.
    """

    def __init__(self, source: RequestSource) -> None:
        self._source = source

    @override
    def request(self, device: int, index: int, number: int) -> PlannedRequest | None:
        return self._source.request(device, index, number)

    @property
    @override
    def turns(self) -> int:
        return self._source.turns

    @override
    def answered(self, planned: PlannedRequest, answer: Sequence[int]) -> None:
        self._source.answered(planned, answer)

    @override
    def think_time_s(self, planned: PlannedRequest) -> float | None:
        return self._source.think_time_s(planned)

    @override
    def recordings(self) -> list[PlannedRequest]:
        return self._source.recordings()


def simulate_cell(
    scenario: Scenario, cell: Cell, inputs: SimulationInputs, outside: Mapping[Direction, Activity] | None
) -> CellResult:
    """Simulate a cell.

    Args:
        scenario: That of a cell.
        cell: Which.
        inputs: Requests of the whole city, prices and tape.
        outside: What arrives from other cells, by direction; None for nothing.
    """
    began = process_time()
    settings: Any = scenario.link.settings
    if cell.positions_m is None:
        cell = replace(cell, positions_m=tuple(dropped(settings, cell.count, cell.link_seed)))
    assert cell.positions_m is not None and inputs.source is not None
    own = scenario.replace("devices.count", cell.count).replace("link.positions_m", [list(p) for p in cell.positions_m])
    builder, latencies = SummaryBuilder(), {}

    def on_request(row: dict[str, Any], rounds: Any, met: Any, recording: int | None) -> None:
        builder.add(row, rounds, met, recording)
        if not row["given_up"]:
            latencies[row["device"], row["request"]] = row["e2e_s"]

    links: list[NrLink] = []

    def shifted(link: Link) -> Link:
        assert isinstance(link, NrLink)
        links.append(link)
        return ShiftedLink(link, cell.first_device)

    world = World(
        own,
        replace(inputs, source=CityRequests(inputs.source)),
        RunTables(None, on_request, keep="summary"),
        wrap_link=shifted,
        first_device=cell.first_device,
        link_seed=cell.link_seed,
    )
    logs = _couple(links[0], outside)
    summary = builder.summary(world.run())
    for direction in Direction:
        summary[f"{direction}_prb_utilisation"] *= links[0].num_cells  # the others' PRBs are not this world's
    return CellResult(
        cell,
        summary,
        [latencies[place] for place in sorted(latencies)],
        _sent(links[0], cell, logs),
        process_time() - began,
    )


def _couple(link: NrLink, outside: Mapping[Direction, Activity] | None) -> dict[Direction, ActivityLog]:
    """Let a link hear other cells, and keep what it sends."""
    interference, channel = link.network.interference, link.network.channel
    assert interference is not None and channel is not None
    if channel.antennas.has_beams:
        raise InputError("beams of other cells are not known in a city; valid: antennas without beams", ("link",))
    logs = {}
    for direction, one in interference.items():
        if outside is not None:
            one.outside = Outside(outside[direction])
        logs[direction] = one.log = ActivityLog()
    return logs


def _sent(link: NrLink, cell: Cell, logs: Mapping[Direction, ActivityLog]) -> dict[Direction, Activity]:
    network = link.network
    shape = (network.num_cells, network.carrier.num_groups)
    up, down = (logs[direction].activity(shape) for direction in (Direction.UPLINK, Direction.DOWNLINK))
    own = slice(cell.own, cell.own + 1)
    return {Direction.UPLINK: up, Direction.DOWNLINK: Activity(down.slots, down.values[:, own].copy())}
