"""9. Every part of a delay is booked under its own name: against the link's and the server's own counters.

The breakdown of requests is compared with what links and servers report of each message and forward pass, and the
links' parts with closed forms that know nothing of the simulator's accounting.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sim.core.clock import NS_PER_S
from sim.decoding.core.steps import Location
from sim.links.base import Delivery, Direction
from sim.links.registry import LINKS as REGISTERED
from sim.nodes.monitor import ServerCounts
from sim.results.columns import BREAKDOWN_COLUMNS
from sim.runs.world import World
from sim.scenario.schema import Scenario
from tests.invariants.links import LINKS
from tests.worlds import FIXED_COMPUTE, inputs, small_scenario


def test_every_registered_link_has_a_setting_here():
    assert sorted(LINKS) == sorted(REGISTERED.names())


class Watched:
    """A world that has run, and what its link and edge server reported of everything they carried."""

    def __init__(self, scenario: Scenario) -> None:
        self.world = World(scenario, inputs(scenario))
        self.deliveries: list[tuple[Direction, int, Delivery]] = []
        self.forwards: list[Any] = []
        self._watch_link()
        self._watch_server()
        self.output = self.world.run()

    def _watch_link(self) -> None:
        link = self.world.link
        send = link.send

        def watched(packet):
            event = send(packet)
            event.callbacks.append(
                lambda done: self.deliveries.append((packet.direction, packet.payload_bits, done.value))
            )
            return event

        link.send = watched  # type: ignore[method-assign]

    def _watch_server(self) -> None:
        server = self.world.sites[Location.EDGE]
        submit = server.submit

        def watched(record, work, request):
            event = submit(record, work, request)
            event.callbacks.append(lambda done: self.forwards.append(done.value))
            return event

        server.submit = watched  # type: ignore[method-assign]

    def edge_counts(self) -> ServerCounts:
        """What the edge server has counted itself."""
        return self.world.sites[Location.EDGE].counts(int(self.world.env.now))

    def total_s(self, column: str) -> float:
        """Sum of a column over all requests."""
        return sum(row[column] for row in self.output.requests)


@pytest.fixture(scope="module", params=sorted(LINKS))
def watched(request):
    devices = {"count": 3, "requests": 2, "think_time_s": 0.01}
    return request.param, Watched(small_scenario(link=LINKS[request.param], devices=devices))


def test_9_air_delays_are_the_links_own(watched):
    _, run = watched
    sums: Counter[str] = Counter()
    for direction, _, delivery in run.deliveries:
        sums[f"{direction}_access_s"] += delivery.access_ns
        sums[f"{direction}_air_s"] += delivery.air_ns
        sums[f"{direction}_retransmission_s"] += delivery.retransmission_ns
        sums["transport_s"] += delivery.transport_ns
    assert sums["uplink_air_s"] > 0 and sums["downlink_air_s"] > 0
    for column, total_ns in sums.items():
        assert run.total_s(column) == pytest.approx(total_ns / NS_PER_S, abs=1e-9), column


def test_9_queue_and_compute_at_the_edge_are_the_servers_own(watched):
    _, run = watched
    assert run.total_s("edge_queue_s") == pytest.approx(sum(f.queue_ns for f in run.forwards) / NS_PER_S, abs=1e-9)
    assert run.total_s("verify_compute_s") == pytest.approx(
        sum(f.compute_ns for f in run.forwards) / NS_PER_S, abs=1e-9
    )


def test_9_bits_are_the_links_own(watched):
    _, run = watched
    for direction in Direction:
        sent = sum(bits for way, bits, _ in run.deliveries if way is direction)
        assert sum(row[f"{direction}_payload_bits"] for row in run.output.requests) == sent


def test_9_access_and_retransmission_occur_where_they_should(watched):
    name, run = watched
    retransmitted = sum(d.retransmission_ns for _, _, d in run.deliveries)
    assert (retransmitted > 0) == (name == "nr")
    # Under processor sharing a message of a device without others is served at once.
    assert (sum(d.access_ns for _, _, d in run.deliveries) > 0) == (name != "shannon")


def test_9_a_fixed_links_air_is_bits_over_rate():
    run = Watched(small_scenario(link=LINKS["fixed"], devices={"count": 1, "requests": 2, "think_time_s": 0.01}))
    header_bits = run.world.scenario.link.settings.header_bits
    for direction, mbps in ((Direction.UPLINK, 0.2), (Direction.DOWNLINK, 1)):
        for way, bits, delivery in run.deliveries:
            if way is direction:
                assert delivery.air_ns == pytest.approx((bits + header_bits) / (mbps * 1e6) * 1e9, abs=1)
                assert delivery.access_ns == 0
                assert delivery.transport_ns == 4_000_000


def test_9_one_at_a_time_the_servers_busy_time_is_the_verification_of_all():
    devices = {"count": 4, "requests": 2, "think_time_s": 0.0}
    run = Watched(small_scenario(devices=devices, edge={"engine": "fcfs", "max_batch": 1}))
    assert run.total_s("verify_compute_s") == pytest.approx(run.edge_counts().busy_ns / NS_PER_S, abs=1e-9)
    assert run.total_s("edge_queue_s") > 0


@pytest.mark.parametrize("per_token_s", [0.0005, 0.5])
def test_9_of_branches_the_one_that_ends_last_is_booked(per_token_s: float):
    """SpecEdge drafts ahead beside a round trip; either may be the longer one, and what is booked adds up."""
    compute = {**FIXED_COMPUTE, "device": {"kind": "fixed", "per_forward_s": 0.002, "per_token_s": per_token_s}}
    devices = {"count": 1, "requests": 2, "think_time_s": 0.01}
    run = Watched(small_scenario(protocol={"name": "specedge", "draft_length": 3}, devices=devices, compute=compute))
    for row in run.output.requests:
        assert sum(row[column] for column in BREAKDOWN_COLUMNS) == pytest.approx(row["e2e_s"], abs=1e-9)
    on_air_s = sum(d.air_ns for _, _, d in run.deliveries) / NS_PER_S
    booked_s = run.total_s("uplink_air_s") + run.total_s("downlink_air_s")
    assert booked_s == pytest.approx(on_air_s, abs=1e-9) if per_token_s < 0.1 else booked_s < 0.9 * on_air_s


def test_9_joules_at_the_edge_are_the_servers_own(watched):
    _, run = watched
    assert run.total_s("edge_energy_j") == pytest.approx(run.edge_counts().joules, rel=1e-9)


def test_9_radio_energy_is_power_times_airtime():
    devices = {"count": 1, "requests": 2, "think_time_s": 0.01, "tx_power_w": 3.0, "rx_power_w": 0.0}
    sending = Watched(small_scenario(devices=devices))
    receiving = Watched(small_scenario(devices={**devices, "tx_power_w": 0.0, "rx_power_w": 3.0}))
    silent = Watched(small_scenario(devices={**devices, "tx_power_w": 0.0, "rx_power_w": 0.0}))
    for run, direction in ((sending, Direction.UPLINK), (receiving, Direction.DOWNLINK)):
        airtime_s = sum(d.airtime_ns for way, _, d in run.deliveries if way is direction) / NS_PER_S
        radio_j = run.total_s("device_energy_j") - silent.total_s("device_energy_j")
        assert radio_j == pytest.approx(3.0 * airtime_s, rel=1e-9)
