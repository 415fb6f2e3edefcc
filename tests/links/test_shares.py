"""Shares of a band by weights: against the fluid computed by hand, and by schedulers of a cell."""

from __future__ import annotations

import pytest

from sim.core.kernel import Environment
from sim.decoding.cohorts import equal_finish
from sim.links.base import Direction, Packet
from sim.links.nr.link import NrLink
from sim.links.nr.settings import NrLinkSettings
from sim.links.shannon import ShannonLink, ShannonLinkSettings


def shannon(num_devices: int, snr_db: list[float] | float = 10.0) -> tuple[Environment, ShannonLink]:
    env = Environment()
    settings = ShannonLinkSettings(
        uplink_bandwidth_mhz=1, snr_db=snr_db, fading="none", header_bits=0, one_way_delay_s=0, efficiency=1
    )
    return env, ShannonLink(env, num_devices, 1, settings)


def send(env: Environment, link, bits: dict[int, int], ends: dict[int, float]) -> None:
    """Uploads that begin now; their ends in seconds are put down as they come."""
    for device, size in bits.items():
        event = link.send(Packet(device, Direction.UPLINK, size))
        event.callbacks.append(lambda _, device=device: ends.__setitem__(device, env.now * 1e-9))


def test_devices_get_rates_in_proportion_to_their_weights():
    """Weights 3 and 1 on 1 Mbit each: the first ends at 4/3 of its time alone, the second at twice."""
    env, link = shannon(2)
    alone_s = 1e6 / link.report(0).uplink_whole_bps
    ends: dict[int, float] = {}
    link.set_uplink_share(0, 3.0)
    send(env, link, {0: 10**6, 1: 10**6}, ends)
    env.run()
    assert ends == pytest.approx({0: 4 / 3 * alone_s, 1: 2 * alone_s}, rel=1e-6)


def test_a_weight_that_is_set_under_way_counts_from_then_on():
    """Half of each is sent at equal shares; then 3 to 1: the rest of the first takes 2/3, of the second 1."""
    env, link = shannon(2)
    alone_s = 1e6 / link.report(0).uplink_whole_bps
    ends: dict[int, float] = {}
    send(env, link, {0: 10**6, 1: 10**6}, ends)
    env.run(until=round(alone_s * 1e9))
    link.set_uplink_share(0, 3.0)
    env.run()
    assert ends == pytest.approx({0: (1 + 2 / 3) * alone_s, 1: 2 * alone_s}, rel=1e-5)


def test_shares_of_the_closed_form_let_uploads_end_together():
    env, link = shannon(3, [20.0, 10.0, 3.0])
    rates = [link.report(device).uplink_whole_bps for device in range(3)]
    bits = {0: 900_000, 1: 300_000, 2: 100_000}
    shares, end_s = equal_finish(list(bits.values()), rates, 1.0)
    for device, share in enumerate(shares):
        link.set_uplink_share(device, share)
    ends: dict[int, float] = {}
    send(env, link, bits, ends)
    env.run()
    assert list(ends.values()) == pytest.approx([end_s] * 3, rel=1e-6)


def cell(scheduler: str) -> tuple[Environment, NrLink]:
    """An ideal cell of 20 MHz, uplink and downlink alike."""
    env = Environment()
    keys = {"channel": "ideal", "mcs": 10, "block_error_rate": 0.0, "scheduler": scheduler, "tdd_pattern": "F"}
    return env, NrLink(env, 3, 1, NrLinkSettings.model_validate(keys))


def test_the_scheduler_equal_finish_lets_uploads_of_a_cell_end_together():
    bits = {0: 1_600_000, 1: 800_000, 2: 400_000}
    spread: dict[str, float] = {}
    for scheduler in ("equal_finish", "round_robin"):
        env, link = cell(scheduler)
        ends: dict[int, float] = {}
        send(env, link, bits, ends)
        env.run()
        spread[scheduler] = max(ends.values()) - min(ends.values())
    assert spread["equal_finish"] <= 0.003  # a few slots of 0.5 ms: reports lag behind what was sent
    assert spread["round_robin"] > 10 * spread["equal_finish"]


def test_weights_divide_the_prbs_of_a_cell():
    env, link = cell("qos")
    link.set_uplink_share(0, 4.0)
    ends: dict[int, float] = {}
    send(env, link, dict.fromkeys(range(3), 1_000_000), ends)
    env.run()
    assert ends[0] < 0.75 * min(ends[1], ends[2])
