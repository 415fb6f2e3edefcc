"""The outer loop's start: warmed up before the run, right from the first block on, and reported in the figures."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def first_seconds(direction, warm_up_blocks):
    """Mean error rate of first transmissions and figures: 60 devices, 10 dB, 3 km/h, 10 blocks/s each, two seconds."""
    env = simpy.Environment()
    settings = NrLinkSettings(snr_db=10.0, record_slots=True, max_records=10**5, olla_warm_up_blocks=warm_up_blocks)
    link = NrLink(env, 60, 1, settings)
    for _ in range(20):
        for device in range(60):
            link.send(Packet(device, direction, 480))
        env.run(until=int(env.now) + 103_000_000)
    env.run()
    rates = [block.error_rate for block in link.network.records.blocks if not block.attempt]
    return float(np.mean(rates)), link.summary()


@pytest.mark.parametrize("direction", [DOWN, UP])
def test_the_target_holds_from_the_first_block_on(direction):
    cold, cold_figures = first_seconds(direction, 0)
    warm, warm_figures = first_seconds(direction, 64)
    # 60 devices that each see a few fades in two seconds: a standard error of 1.3 points.
    assert warm == pytest.approx(0.1, abs=0.03)
    assert cold > warm + 0.03
    assert warm_figures[f"{direction}_olla_drift_db"] < cold_figures[f"{direction}_olla_drift_db"]
    assert warm_figures[f"{direction}_olla_offset_mean_db"] < -0.2


def test_the_loop_is_kept_between_requests():
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(snr_db=8.0, speed_kmh=120, csi_period_slots=40))
    for _ in range(30):
        link.send(Packet(0, DOWN, 800))
        env.run()
    before = link.network.adaptations[DOWN].offset_db[0]
    env.run(until=int(env.now) + 10**10)
    assert link.network.adaptations[DOWN].offset_db[0] == before != 0.0


def test_nothing_to_say_without_an_outer_loop():
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(snr_db=8.0, olla_step_db=0))
    link.send(Packet(0, DOWN, 800))
    env.run()
    assert np.isnan(link.summary()["downlink_olla_drift_db"])
