"""What links fade like: K and delay spread by state, power limits by modulation, base graphs of soft combining."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from channels.harq import incremental_gain_db
from channels.nr import mcs_table
from channels.power import MAX_POWER_REDUCTION_DB
from channels.small_scale import small_scale_parameters
from sim.links.base import Direction
from sim.links.nr import NrLinkSettings
from sim.links.nr.full_buffer import run_full_buffer
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.gains_ahead import GainsAhead, GainsWithNext
from sim.links.nr.phy.power_reduction import PowerReduction
from sim.links.nr.phy.radio_receiver import RadioReceiver

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def channel_of(num_devices=3, **keys):
    settings = NrLinkSettings(**keys)
    return RadioChannel(Carrier(settings), settings, num_devices, 1)


def fourth_moment(gains):
    return float(np.mean(gains**2) / np.mean(gains) ** 2)


@pytest.mark.parametrize(("los", "expected", "bound"), [("los", 1.21, 0.04), ("nlos", 2.0, 0.15)])
def test_devices_in_line_of_sight_fade_less(los, expected, bound):
    """E|h|^4 / E^2 of UMi at the median K of 9 dB: 1.21 in sight, 2 out of it."""
    channel = channel_of(4000, los=los, rician_k_db="median", delay_spread_ns="median")
    gains = channel.power_gains(DOWN, 77, np.arange(4000))[:, ::6]
    assert fourth_moment(gains) == pytest.approx(expected, abs=bound)
    assert gains.mean() == pytest.approx(1.0, abs=0.05)


def test_state_of_each_device_decides_by_default():
    channel = channel_of(4000, inter_site_distance_m=120, indoor_share=0.3, rician_k_db="median")
    gains = channel.power_gains(DOWN, 77, np.arange(4000))[:, ::6]
    states = channel.small_scale._states
    assert states is not None
    in_sight = states.is_los[:, 0]
    assert 0.15 < in_sight.mean() < 0.8
    assert not np.any(in_sight & channel.placement.is_indoor)
    assert fourth_moment(gains[in_sight]) == pytest.approx(1.21, abs=0.07)
    assert fourth_moment(gains[~in_sight]) == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize("scenario", ["umi", "uma"])
def test_coherence_over_frequency_follows_the_delay_spread(scenario):
    """Correlation of |h|^2 over 4.3 MHz: of TDL-A at the scenario's median spread, 103 ns or 364 ns; out of sight."""
    channel = channel_of(5000, scenario=scenario, los="nlos", delay_spread_ns="median")
    gains = channel.power_gains(DOWN, 77, np.arange(5000))
    got = np.corrcoef(gains[:, 3], gains[:, 6])[0, 1]
    law = small_scale_parameters(scenario, "nlos", 3.5)
    from channels.tap_profiles import tdl_profile

    spacing_hz = channel.carrier.group_centres_hz[6] - channel.carrier.group_centres_hz[3]
    profile = tdl_profile("tdl_a", law.median_delay_spread_s)
    expected = float(np.abs(profile.frequency_correlation(spacing_hz)) ** 2)
    assert got == pytest.approx(expected, abs=0.06)


def test_drawn_spreads_differ_between_devices():
    keys = {"los": "nlos", "fading": "tdl"}
    drawn = channel_of(300, **keys)
    drawn.power_gains(DOWN, 1, np.arange(3))
    median = channel_of(300, **keys, delay_spread_ns="median")
    median.power_gains(DOWN, 1, np.arange(3))
    counts = [len(channel.small_scale._profiles.bank.k_linear) for channel in (drawn, median)]
    assert counts[0] > 20
    assert counts[1] <= 2


# -- power reduction ---------------------------------------------------------------------------------------------------


def test_power_reduction_by_modulation_and_place():
    """A device at its limit: QPSK 1.5 dB inside and 3 dB outside, 16QAM 2 and 3, 64QAM 3.5, 256QAM 6.5."""
    far = channel_of(1, distances_m=[500.0], scenario="uma", los="nlos", shadowing=False, mcs_table=2)
    reduction = PowerReduction(far)
    inner, outer = [0] * 13, [0] * 13
    inner[6], outer[0] = 4, 4
    row, width = np.zeros(1, dtype=int), np.array([4])
    orders = mcs_table(2).modulation_order.tolist()
    for rows, column in ((inner, 0), (outer, 1)):
        for mcs, order in enumerate(orders):
            expected = MAX_POWER_REDUCTION_DB[order][column]
            assert reduction.of_blocks(row, width, [mcs], [rows]) == pytest.approx([expected])
        snr = [far.snr(UP, row, width, MAX_POWER_REDUCTION_DB[order][column]) for order in (2, 4, 6, 8)]
        loss_db = 10 * np.log10(far.snr(UP, row, width) / np.array(snr)[:, 0])
        np.testing.assert_allclose(loss_db, [MAX_POWER_REDUCTION_DB[order][column] for order in (2, 4, 6, 8)])


def test_devices_with_power_to_spare_lose_nothing():
    near = channel_of(1, distances_m=[30.0], los="los", shadowing=False)
    row = np.zeros(1, dtype=int)
    assert near.headroom_db(row, np.array([4]))[0] > 6.5
    assert PowerReduction(near).of_blocks(row, np.array([4]), [20], [[0] * 6 + [4] + [0] * 6]) == 0.0
    assert PowerReduction(near).losses_db(row, np.array([4])) is None


def test_the_chosen_mcs_counts_its_own_reduction():
    """At 3.5 dB below its threshold with 64QAM a block is sent with the best MCS that still meets the target."""
    carrier = Carrier(NrLinkSettings())
    errors = BlockErrors(carrier, "specran", 0.1)
    thresholds = errors.thresholds_db(14)[:, 10]
    loss = np.array([MAX_POWER_REDUCTION_DB[order][1] for order in mcs_table(1).modulation_order.tolist()])
    for snr_db in np.arange(0.0, 24.0, 0.7):
        capacity = float(np.log2(1 + 10 ** (snr_db / 10)))
        chosen = errors.choose([capacity], [10], 14, None, loss[None, :])[0]
        good = [mcs for mcs in range(29) if thresholds[mcs] + loss[mcs] <= snr_db + 1e-9]
        assert chosen == max(good, default=0)
        assert chosen <= errors.choose([capacity], [10], 14)[0]


def test_a_power_limited_uplink_is_slower_for_it():
    rates = {}
    for reduces in (True, False):
        settings = NrLinkSettings(
            distances_m=[350.0], scenario="uma", los="nlos", shadowing=False, fading="none", tdd_pattern="F",
            bandwidth_mhz=5, power_reduction=reduces,
        )  # fmt: skip
        rates[reduces] = run_full_buffer(settings, 1, 300, (UP,)).link.summary()["uplink_mac_throughput_bps"]
    # 3 dB of some 5 dB of SNR.
    assert 0.5 * rates[False] < rates[True] < 0.85 * rates[False]


# -- soft combining ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size_bytes", "gain_db"), [(250, 4.16), (2000, 3.26)])
def test_a_second_transmission_gains_by_its_base_graph(size_bytes, gain_db):
    """16QAM 378/1024 (MCS 11) at equal SINR: 4.16 dB for a small block (base graph 2), 3.26 dB for a large one."""
    channel = channel_of(1, snr_db=5.0, fading="none")
    errors = BlockErrors(channel.carrier, "specran", 0.1)
    receiver = RadioReceiver(channel, errors, None, {}, "incremental")
    block = TransportBlock(0, 0, size_bytes, 11, 4, 14, [4] + [0] * 12, 0)
    block.attempt, block.effective, block.combined_re = 1, 10**0.5, 56.0
    read, _, _ = receiver._combined(block, 10**0.5, 56.0)
    assert 10 * np.log10(read) - 5.0 == pytest.approx(gain_db, abs=0.005)
    assert gain_db == pytest.approx(float(incremental_gain_db(4, 378 / 1024, 8 * size_bytes, 2)), abs=0.005)


# -- places ------------------------------------------------------------------------------------------------------------


def test_seven_sites_are_a_torus_and_one_is_not():
    """A device that has driven to (1500, 300) m is 110.24 m from one of seven sites, and far from a lone one."""
    seven = channel_of(1, num_sites=7, positions_m=[(1500.0, 300.0)], los="nlos", shadowing=False)
    assert seven.layout.distances_2d_m([[1500.0, 300.0]]).min() == pytest.approx(110.24, abs=0.005)
    near = channel_of(1, distances_m=[110.2447], los="nlos", shadowing=False)
    assert seven.gain_db.max() == pytest.approx(near.gain_db[0, 0], abs=1e-3)
    alone = channel_of(1, positions_m=[(1500.0, 300.0)], los="nlos", shadowing=False)
    assert alone.gain_db[0, 0] < near.gain_db[0, 0] - 35


def test_indoor_devices_are_on_floors_behind_walls():
    channel = channel_of(400, indoor_share=1.0, building="mixed", inter_site_distance_m=400)
    heights = channel.placement.height_m
    assert set(np.unique(heights)) <= {1.5 + 3 * floor for floor in range(8)}
    assert heights.max() > 13
    ground = channel_of(400, indoor_share=1.0, building="mixed", inter_site_distance_m=400, floors=(1, 1))
    assert np.all(ground.placement.height_m == 1.5)
    np.testing.assert_array_equal(ground.placement.penetration_db, channel.placement.penetration_db)


def test_gains_worked_out_ahead_are_those_worked_out_alone():
    """Bit for bit, slot after slot, for some of the devices or others, with gaps; gains to a cell left are not kept."""
    keys = {"num_sites": 7, "los": "auto", "inter_site_distance_m": 150, "tdd_pattern": "F"}
    ahead, draw = channel_of(40, **keys), np.random.default_rng(3)

    def compare(slot: int, devices: list[int], step: int | None = None) -> None:
        rows = np.array(devices)
        alone = channel_of(40, **keys)
        alone.serving[:] = ahead.serving
        alone.renew_links()
        expected = alone.power_gains(UP, slot, rows)
        np.testing.assert_array_equal(ahead.power_gains(UP, slot, rows, step), expected)

    for slot in (*range(20, 43), 43, 43, 50, 51, 51, 52):
        compare(slot, sorted(draw.choice(6, 3, replace=False).tolist()))
    for slot in range(60, 200, 20):
        compare(slot, [1, 4, 30], step=20)
    # The cell is left in the middle of a block of eight slots.
    for slot in range(300, 318):
        if slot == 310:
            ahead.serving[:] = (ahead.serving + 1) % 7
            ahead.renew_links()
        compare(slot, [0, 1, 2, 3, 4, 5])


def test_the_longer_one_asks_slot_after_slot_the_more_are_worked_out_at_once():
    """Blocks of 1, 2, 4, 8, 8 slots of all devices asked about; where others are asked about instead, shorter ones."""
    asked: list[tuple[int, int]] = []

    def evaluate(slots, devices):
        asked.append((len(set(slots.tolist())), len(set(devices.tolist()))))
        return np.stack([slots, devices], axis=1).astype(np.float64)

    ahead = GainsAhead(evaluate, lambda slot: slot + 5, 9)
    for slot in range(0, 23 * 5, 5):
        devices = np.array([2, 7] if slot % 2 else [2, 4, 7])
        assert ahead.of(slot, devices).tolist() == [[slot, device] for device in devices.tolist()]
    assert asked == [(1, 3), (2, 3), (4, 3), (8, 3), (8, 3)]
    assert ahead.of(110, np.array([3])).tolist() == [[110, 3]]
    for slot in (400, 500, 600):
        ahead.of(slot, np.array([2]))
    assert asked[5:] == [(1, 1), (4, 4), (2, 1), (1, 1)]


def test_gains_worked_out_with_those_before_are_those_worked_out_alone():
    """A hundred devices that take turns: announced ones, others in their place, and what was known of a cell left."""
    keys = {"num_sites": 7, "los": "auto", "inter_site_distance_m": 150, "tdd_pattern": "F"}
    channel, draw = channel_of(100, **keys), np.random.default_rng(5)

    def compare(slot: int, devices: list[int]) -> None:
        alone = channel_of(100, **keys)
        alone.serving[:] = channel.serving
        alone.renew_links()
        rows = np.array(devices)
        np.testing.assert_array_equal(channel.power_gains(UP, slot, rows), alone.power_gains(UP, slot, rows))

    turns = [sorted(draw.choice(100, draw.integers(1, 9), replace=False).tolist()) for _ in range(12)]
    for slot, (own, following) in enumerate(itertools.pairwise(turns), start=20):
        channel.small_scale.expect(UP, slot + 1, following)
        compare(slot, own if slot % 5 else [0, 99])
        if slot % 4 == 0:
            channel.power_gains(UP, slot, np.arange(50), 40)  # reports between blocks
    channel.small_scale.expect(UP, 41, [1, 2, 3])
    compare(40, [7])
    channel.serving[:] = (channel.serving + 1) % 7
    channel.renew_links()
    compare(41, [1, 2, 3])


def test_two_slots_of_devices_that_take_turns_are_worked_out_at_once():
    asked: list[list[tuple[int, int]]] = []

    def evaluate(slots, devices):
        asked.append(list(zip(slots.tolist(), devices.tolist(), strict=True)))
        return np.stack([slots, devices], axis=1).astype(np.float64)

    gains = GainsWithNext(evaluate)
    for slot in (3, 4, 5, 6):
        gains.expect(slot + 1, [slot + 1, 8])
        assert gains.of(slot, np.array([slot, 8])).tolist() == [[slot, slot], [slot, 8]]
    assert asked == [[(3, 3), (3, 8), (4, 4), (4, 8)], [(5, 5), (5, 8), (6, 6), (6, 8)]]
    # Somebody else, in a later slot, and without an announcement.
    gains.expect(8, [1])
    for slot, device in ((7, 1), (8, 2), (9, 1)):
        assert gains.of(slot, np.array([device])).tolist() == [[slot, device]]
    assert asked[2:] == [[(7, 1), (8, 1)], [(8, 2)], [(9, 1)]]
    gains.expect(11, [4])
    for slot in (10, 12):
        assert gains.of(slot, np.array([4])).tolist() == [[slot, 4]]
