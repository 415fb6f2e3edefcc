"""The outer loop's start: warmed up before the run, right from the first block on, and reported in the figures."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.full_buffer import run_full_buffer

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def first_seconds(direction, warm_up_blocks, **keys):
    """Mean error rate of first transmissions and figures: 60 devices, 10 dB, 3 km/h, 10 blocks/s each, two seconds."""
    env = simpy.Environment()
    settings = {"snr_db": 10.0, "record_slots": True, "max_records": 10**5, **keys}
    link = NrLink(env, 60, 1, NrLinkSettings(**settings, olla_warm_up_blocks=warm_up_blocks))
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


@pytest.mark.parametrize("offsets", ["common", "spread"])
def test_reports_that_round_down_meet_the_target_from_the_first_block_on(offsets):
    """CQIs leave out up to a step, which first offsets make up for; found with exact reports, .04 to .05 would fail."""
    warm, _ = first_seconds(DOWN, 64, csi_report="cqi", csi_offsets=offsets)
    # As with gains: a standard error of 1.3 points.
    assert warm == pytest.approx(0.1, abs=0.03)


def test_first_offsets_rise_no_further_than_to_the_highest_mcs():
    """At 40 dB the highest CQI leads to the highest MCS or the one below: 5 dB would say more than blocks can."""
    _, figures = first_seconds(DOWN, 64, csi_report="cqi", snr_db=40.0)
    assert -0.1 <= figures["downlink_olla_offset_mean_db"] < 1.0


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


def test_successes_with_the_highest_mcs_do_not_wind_the_loop_up():
    """At 50 dB every block has the highest MCS and gets through: 600 blocks leave the first offset where it was.

    They would raise it by 600 times .022 dB = 13 dB, and then take 67 failures to undo at a cell's edge.
    """
    env = simpy.Environment()
    link = NrLink(env, 1, 1, NrLinkSettings(snr_db=50.0, tdd_pattern="F", record_slots=True, max_records=10**4))
    link.send(Packet(0, DOWN, 480))
    env.run()
    first = link.network.adaptations[DOWN].offset_db[0]
    for _ in range(600):
        link.send(Packet(0, DOWN, 480))
        env.run()
    records = link.network.records.blocks
    assert len(records) > 590
    assert {block.mcs for block in records} == {28}
    assert link.network.adaptations[DOWN].offset_db[0] == first


def test_the_reserve_of_the_highest_mcs_by_hand():
    """Of 100 successes five failures' worth is kept; the sixth lowers the offset by .2 dB, as with a lower MCS.

    Target .1: a success counts a ninth of a failure, so nine successes pay for one failure, and eight do not.
    """
    env = simpy.Environment()
    loops = NrLink(env, 2, 1, NrLinkSettings(snr_db=8.0, olla_step_db=0.2)).network.adaptations[DOWN].loops
    moved_db = []
    for received in [True] * 100 + [False] * 6 + [True] * 8 + [False] + [True] * 9 + [False]:
        loops.learn(0, received, is_highest=True)
        moved_db.append(float(10 * np.log10(loops.offset[0])))
    assert moved_db[104] == 0.0
    assert moved_db[105:113] == pytest.approx([-0.2] * 8, abs=1e-12)
    # Eight successes are not enough; with nine more the reserve is full of one.
    assert moved_db[114] == pytest.approx(-0.4, abs=1e-12)
    assert moved_db[-1] == pytest.approx(-0.4, abs=1e-12)
    # Lower MCSs: a success raises by a ninth of a step, a failure lowers by a whole one, whatever the reserve.
    loops.learn(1, True, is_highest=True)
    loops.learn(1, True)
    loops.learn(1, False)
    assert 10 * np.log10(loops.offset[1]) == pytest.approx(0.2 / 9 - 0.2, abs=1e-12)


def test_failures_with_the_lowest_mcs_by_hand():
    """They lower no offset, and up to five are made up for by later successes, nine for each, at a target of .1."""
    loops = (
        NrLink(simpy.Environment(), 1, 1, NrLinkSettings(snr_db=8.0, olla_step_db=0.2)).network.adaptations[UP].loops
    )
    for received in [False] * 10 + [True] * 45:
        loops.learn(0, received, is_lowest=True)
        assert loops.offset[0] == 1.0
    loops.learn(0, True, is_lowest=True)
    assert 10 * np.log10(loops.offset[0]) == pytest.approx(0.2 / 9, abs=1e-12)
    # With another MCS a failure lowers it, whatever there is to make up for.
    loops.learn(0, False, is_lowest=True)
    loops.learn(0, False)
    assert 10 * np.log10(loops.offset[0]) == pytest.approx(0.2 / 9 - 0.2, abs=1e-12)


@pytest.mark.parametrize("antennas", [{}, {"num_rx": 2, "uplink_num_tx": 2}])
def test_power_that_is_spread_too_thin_says_nothing_about_reports(antennas):
    """At 500 m in UMa NLoS the lowest MCS misses the target on the whole carrier: fewer PRBs are tried.

    First offsets went down to the last, -28 dB, and 1,270 successes would have had to raise them again.
    """
    keys = {"scenario": "uma", "los": "nlos", "shadowing": False, "tdd_pattern": "F", "fading": "tdl_a"}
    settings = NrLinkSettings(distances_m=[500.0] * 2, **keys, **antennas)
    ran = run_full_buffer(settings, 2, 300)
    assert ran.link.network.adaptations[UP].loops.warm_up.offset(0, 51, 14) > 10**-0.6
    assert np.abs(ran.link.network.adaptations[UP].offset_db).max() < 5
    assert ran.link.summary()["uplink_first_transmission_bler"] == pytest.approx(0.1, abs=0.05)


def test_where_the_lowest_mcs_fails_on_any_width_the_offset_ends_with_it():
    """At -12 dB nothing meets the target; below the offset at which all blocks have MCS 0, nothing changes any more."""
    link = NrLink(simpy.Environment(), 1, 1, NrLinkSettings(snr_db=-12.0, tdd_pattern="F"))
    offset_db = 10 * np.log10(link.network.adaptations[UP].loops.warm_up.offset(0, 51, 14))
    assert -6 < offset_db <= 0


def test_each_rank_has_an_offset_of_its_own():
    """A failure with two layers lowers their offset and leaves that of one layer; the one in use is the rank's."""
    env = simpy.Environment()
    settings = NrLinkSettings(snr_db=8.0, num_rx=2, num_tx=2, olla_step_db=0.5)
    loops = NrLink(env, 3, 1, settings).network.adaptations[DOWN].loops
    loops.learn(1, received=False, num_layers=2)
    np.testing.assert_allclose(10 * np.log10(loops.by_rank), [[0, 0, 0], [0, -0.5, 0]], atol=1e-12)
    assert loops.offset[1] == 1.0
    loops.use_ranks(np.array([1, 2]), np.array([2, 2]))
    np.testing.assert_allclose(10 * np.log10(loops.offset), [0, -0.5, 0], atol=1e-12)
    loops.learn(1, received=False, num_layers=2)
    assert 10 * np.log10(loops.offset[1]) == pytest.approx(-1.0, abs=1e-12)
    loops.use_ranks(np.array([1]), np.array([1]))
    assert loops.offset[1] == 1.0
    # Blocks of both ranks count in the figures, none of the other devices': 0 is left out, as it has no block.
    assert loops.figures()["olla_offset_mean_db"] == pytest.approx(-1.0, abs=1e-12)


def test_layers_meet_the_target_from_the_first_block_on():
    """Two by two antennas at 12 dB and 10 km/h, where reports are old enough to cost some 3.6 dB."""
    keys = {"snr_db": 12.0, "num_rx": 2, "num_tx": 2, "speed_kmh": 10.0}
    cold, _ = first_seconds(DOWN, 0, **keys)
    warm, figures = first_seconds(DOWN, 64, **keys)
    # A standard error of a point: 60 devices, each with a dozen fades in two seconds.
    assert warm == pytest.approx(0.1, abs=0.03)
    assert cold > 0.4
    assert figures["downlink_olla_drift_db"] < 0.4
