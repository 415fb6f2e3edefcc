"""The radio under the MAC: error rates, the outer loop, power limits, interference, throughput at full buffers."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import simpy

from channels.bler import BlerTable
from channels.eesm import eesm_betas, effective_sinr
from channels.nr import mcs_table, peak_rate_bps, segment, transport_block_bits
from channels.power import UplinkPowerControl
from channels.theory import jakes_autocorrelation
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.full_buffer import loaded_cell, run_full_buffer
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from tests.links.nr.traffic import run, two_interfering_devices

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def air_of(num_devices=3, **keys):
    settings = NrLinkSettings(**keys)
    return RadioChannel(Carrier(settings), settings, num_devices, 1)


@pytest.mark.parametrize("table_name", ["specran", "sionna"])
@pytest.mark.parametrize("table_index", [1, 2])
def test_error_rates_are_those_of_the_code_blocks(table_name, table_index):
    carrier = Carrier(NrLinkSettings(mcs_table=table_index, bandwidth_mhz=100))
    errors = BlockErrors(carrier, table_name, 0.1)
    draw = np.random.Generator(np.random.Philox(2))
    mcs = draw.choice(errors.available, 200)
    num_prb = draw.integers(1, 274, 200)
    symbols = draw.choice([9, 13, 14], 200)
    snr_db = draw.uniform(-5, 28, 200)
    table = mcs_table(table_index)
    expected = []
    for m, n, s, x in zip(mcs, num_prb, symbols, snr_db, strict=True):
        bits = transport_block_bits(n, s, 24, 0, table.modulation_order[m], table.code_rate[m])
        cut = segment(bits, table.code_rate[m])
        bler = BlerTable.load(table_name).transport_block_bler(
            table_index, m, cut.code_block_bits, cut.num_code_blocks, x
        )
        expected.append(float(bler))
    got = np.vectorize(errors.error_rate)(mcs, num_prb, symbols, snr_db)
    assert got == pytest.approx(np.array(expected), abs=1e-9)


def test_the_chosen_mcs_is_the_highest_that_meets_the_target():
    carrier = Carrier(NrLinkSettings())
    errors = BlockErrors(carrier, "specran", 0.1)
    for snr_db in np.arange(-4.0, 24.0, 0.37):
        for num_prb in (1, 7, 51):
            chosen = errors.choose([np.log2(1 + 10 ** (snr_db / 10))], [num_prb], 14)[0]
            rates = [errors.error_rate(m, num_prb, 14, snr_db) for m in range(29)]
            good = [m for m, rate in enumerate(rates) if rate <= 0.1 + 1e-9]
            assert chosen == max(good, default=0)


@pytest.mark.parametrize(("target", "table_name"), [(0.1, "specran"), (0.3, "specran"), (0.1, "sionna")])
def test_the_outer_loop_holds_its_target(target, table_name):
    """First-transmission error rate within 0.5 points of the target.

    Over T blocks the mean of the steps is the drift of the offset over T, so that with steps of 0.5 dB and offsets that
    stay within a few dB the rate is the target to about 1/T whatever the channel; the middle of the MCS range is
    needed, where there is an MCS to go to.
    """
    settings = NrLinkSettings(
        snr_db=11.0, tdd_pattern="F", olla_step_db=0.5, target_bler=target, speed_kmh=30, bler_table=table_name
    )
    ran = run_full_buffer(settings, 4, 2500, (DOWN,), warm_up_slots=400)
    assert ran.link.summary()["downlink_first_transmission_bler"] == pytest.approx(target, abs=0.005)


def test_without_the_outer_loop_stale_reports_miss_the_target():
    rates = []
    for step in (0.0, 0.5):
        settings = NrLinkSettings(snr_db=11.0, tdd_pattern="F", olla_step_db=step, speed_kmh=60, csi_period_slots=20)
        ran = run_full_buffer(settings, 3, 1200, (DOWN,), warm_up_slots=300)
        rates.append(ran.link.summary()["downlink_first_transmission_bler"])
    assert rates[0] > 0.2
    assert rates[1] == pytest.approx(0.1, abs=0.02)


def test_uplink_power_is_that_of_the_clause():
    air = air_of(distances_m=[30.0, 120.0, 500.0], los="nlos", shadowing=False, p0_dbm=-80.0, alpha=0.8)
    control = UplinkPowerControl(-80.0, 0.8, 23.0, scs_khz=30)
    rows = np.arange(3)
    gains = air.gain_db[:, 0]
    for num_prb in (1, 10, 51):
        power_dbm = control.transmit_power_dbm(num_prb, -gains)
        expected = power_dbm + gains - 10 * np.log10(num_prb) - 10 * np.log10(air.noise_mw[UP])
        got = 10 * np.log10(air.snr(UP, rows, np.full(3, num_prb)))
        assert got == pytest.approx(expected, abs=1e-9)
    # The worked link budget: 129.92 dB (UMa NLoS, 500 m), 23 dBm, 8 dBi, NF 5: 51 PRBs -2.55 dB, 1 PRB 14.52 dB.
    far = air_of(1, distances_m=[500.0], scenario="uma", los="nlos", shadowing=False)
    for num_prb, snr_db in ((51, -2.55), (10, 4.52), (1, 14.52)):
        assert 10 * np.log10(far.snr(UP, rows[:1], np.array([num_prb])))[0] == pytest.approx(snr_db, abs=0.01)


def test_more_bandwidth_helps_a_near_device_and_not_a_power_limited_one():
    """Shannon says 14.0 against 11.7 Mbit/s for 273 and 51 PRBs at 500 m: a factor of 1.2, where PRBs grow by 5.4."""
    gain = {}
    for distance in (40.0, 500.0):
        rates = []
        for width in (20, 100):
            settings = NrLinkSettings(
                distances_m=[distance], los="nlos", shadowing=False, fading="none", bandwidth_mhz=width, tdd_pattern="F"
            )
            kpis = run_full_buffer(settings, 1, 400, (UP,)).link.network.uplink.kpis
            rates.append(kpis.received_bits.sum() / (400 * 0.5e-3))
        gain[distance] = rates[1] / rates[0]
        if distance == 500.0:
            assert 3e6 < rates[0] < 11.7e6
            assert rates[1] < 14.0e6
    assert gain[40.0] > 4.5
    assert gain[500.0] < 1.3


@pytest.mark.parametrize(("speed_kmh", "lag_slots"), [(30, 2), (30, 10), (120, 2)])
def test_fading_follows_jakes_over_slots(speed_kmh, lag_slots):
    count = 3000
    air = air_of(count, fading="rayleigh", speed_kmh=speed_kmh, snr_db=10.0)
    rows = np.arange(count)
    now, later = (air.power_gains(UP, slot, rows)[:, 0] for slot in (40, 40 + lag_slots))
    # Power correlation of Rayleigh fading is J0^2; its standard error is about 2 / sqrt(3000).
    doppler_hz = speed_kmh / 3.6 * 3.5e9 / 299_792_458
    expected = float(jakes_autocorrelation(doppler_hz, lag_slots * 0.5e-3)) ** 2
    assert np.corrcoef(now, later)[0, 1] == pytest.approx(expected, abs=0.08)
    assert now.mean() == pytest.approx(1, abs=0.08)


def test_tdd_is_reciprocal_and_fdd_is_not():
    rows = np.arange(3)
    for pattern, same in (("DDDSU", True), ("F", False)):
        air = air_of(tdd_pattern=pattern)
        assert np.array_equal(air.power_gains(UP, 9, rows), air.power_gains(DOWN, 9, rows)) is same


def test_recorded_sinr_is_the_effective_one_of_the_slot():
    settings = NrLinkSettings(snr_db=12.0, fading="tdl_c", record_slots=True, mcs=12)
    ran = run_full_buffer(settings, 2, 60, (DOWN,), warm_up_slots=1)
    network = ran.link.network
    assert network.channel is not None
    records = [record for record in network.records.blocks if not record.attempt]
    assert len(records) > 40
    for record in records[:20]:
        gains = network.channel.power_gains(DOWN, record.slot, np.array([record.device]))[0]
        expected = effective_sinr(10**1.2 * gains, eesm_betas(1)[12], np.array(record.prbs_per_group))
        assert record.sinr_db == pytest.approx(10 * np.log10(float(expected)), abs=1e-4)
    spans = ran.link.timeline()
    assert len(spans) == len(network.records.blocks)
    assert all(span["end_ns"] - span["start_ns"] == 500_000 for span in spans)


def test_records_are_bounded():
    settings = NrLinkSettings(snr_db=12.0, fading="none", record_slots=True, max_records=50)
    ran = run_full_buffer(settings, 2, 200, (DOWN,), warm_up_slots=1)
    assert len(ran.link.network.records.blocks) == 50


@pytest.mark.parametrize(("bandwidth_mhz", "block_bytes"), [(20, 5122), (100, 27_141)])
def test_full_buffers_reach_the_rate_of_the_block_sizes_and_not_the_peak(bandwidth_mhz, block_bytes):
    """MCS 28, no errors: one block per slot in FDD, one in five in DDDSU: 81.95 and 16.39, 434.3 and 86.85 Mbit/s."""
    for pattern, slots in (("F", 1), ("DDDSU", 5)):
        settings = NrLinkSettings(channel="ideal", mcs=28, tdd_pattern=pattern, bandwidth_mhz=bandwidth_mhz)
        summary = run_full_buffer(settings, 1, 500, (UP,), warm_up_slots=20).link.summary()
        rate_bps = block_bytes * 8 / (slots * 0.5e-3)
        assert summary["uplink_mac_throughput_bps"] == pytest.approx(rate_bps)
        assert summary["uplink_prb_utilisation"] == 1.0
        assert rate_bps < peak_rate_bps(bandwidth_mhz, 30, 6, 1, "ul")


def test_a_rise_over_thermal_costs_its_decibels():
    rows = np.arange(3)
    keys = {"distances_m": [50.0, 100.0, 200.0], "los": "nlos", "shadowing": False}
    calm, noisy = air_of(**keys), air_of(**keys, interference="rise_over_thermal", rise_db=6.0)
    for direction in (UP, DOWN):
        ratio = calm.snr(direction, rows, np.full(3, 10)) / noisy.snr(direction, rows, np.full(3, 10))
        assert 10 * np.log10(ratio) == pytest.approx(np.full(3, 6.0))


def test_neighbours_interfere_only_when_they_send():
    """Two cells' devices: SINR of a block falls by what the other cell's block of the same slot and PRBs adds."""
    # A device of site 0 halfway to site 1, one right at site 1.
    settings = NrLinkSettings(
        num_sites=7, wrap_around=False, interference="explicit", fading="none", shadowing=False, los="nlos", mcs=5,
        positions_m=[(60.0, 0.0), (180.0, 0.0)], record_slots=True, tdd_pattern="F",
    )  # fmt: skip
    env = simpy.Environment()
    link = NrLink(env, 2, 1, settings)
    network = link.network
    air = network.channel
    assert air is not None
    assert air.serving.tolist() == [0, 1]
    link.send(Packet(0, DOWN, 80_000))
    env.run()
    alone = [record.sinr_db for record in network.records.blocks]
    assert alone == pytest.approx([air.mean_snr_db(DOWN)[0]] * len(alone))
    network.records.blocks.clear()
    link.send(Packet(0, DOWN, 80_000))
    link.send(Packet(1, DOWN, 80_000))
    env.run()
    first = next(record for record in network.records.blocks if record.device == 0)
    assert [record.device for record in network.records.blocks if record.slot == first.slot] == [0, 1]
    noise = air.noise_mw[DOWN]
    power = 10 ** ((air.gain_db[0] + air.gnb_psd_dbm) / 10)
    assert first.sinr_db == pytest.approx(10 * np.log10(power[0] / (power[1] + noise)), abs=1e-6)


def cross_gains(channel, direction, slot, devices):
    """|H|^2 of devices to all cells at the start of a slot. [num_devices, num_cells, num_groups]"""
    num_sites = channel.settings.num_sites
    rows, sites = np.repeat(devices, num_sites), np.tile(np.arange(num_sites), len(devices))
    gains = channel.small_scale.cross_powers(direction, slot, rows, sites).reshape(len(devices), num_sites, -1)
    return gains.take(channel.antennas.cell_site, axis=1)


@pytest.mark.parametrize("fading", ["tdl_a", "rayleigh"])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_interfering_links_fade(direction, fading):
    """SINR of a slot's blocks by hand: |H|^2 of the own and of the interfering link, each at the same slot."""
    air, records = two_interfering_devices(direction, 160_000, fading=fading)
    by_slot = {slot: [r for r in records if r.slot == slot] for slot in {r.slot for r in records}}
    both = [pair for pair in by_slot.values() if len(pair) == 2 and not any(r.attempt for r in pair)]
    assert len(both) > 3
    for pair in both:
        mine, other = sorted(pair, key=lambda record: record.device)
        rows, slot = np.array([0, 1]), mine.slot
        cross = cross_gains(air, direction, slot, rows)
        np.testing.assert_array_equal(cross[rows, air.serving], air.power_gains(direction, slot, rows))
        snr = air.snr(direction, rows, np.array([mine.num_prb, other.num_prb]))
        overlap = np.array(other.prbs_per_group) / air.carrier.group_sizes
        noise = air.noise_mw[direction]
        if direction == UP:
            # What device 1 brings to the cell of device 0: its own received power, less the difference of the gains.
            at_cell = snr[1] * 10 ** ((air.gain_db[1, 0] - air.gain_db[1, 1]) / 10) * cross[1, 0]
        else:
            at_cell = 10 ** ((air.gain_db[0, 1] + air.gnb_psd_dbm) / 10) / noise * cross[0, 1]
        sinr = snr[0] * cross[0, 0] / (1 + at_cell * overlap)
        expected = effective_sinr(sinr, eesm_betas(1)[5], np.array(mine.prbs_per_group))
        assert mine.sinr_db == pytest.approx(10 * np.log10(float(expected)), abs=1e-4)


def test_links_to_sites_fade_apart():
    """|H|^2 towards different sites: mean 1 and uncorrelated; sectors of one site share theirs."""
    count = 2000
    air = air_of(count, num_sites=7, sectors_per_site=3, fading="rayleigh", shadowing=False, interference="explicit")
    gains = cross_gains(air, DOWN, 30, np.arange(count))[:, :, 0]
    assert gains.shape == (count, 21)
    np.testing.assert_array_equal(gains[:, ::3], gains[:, 2::3])
    assert gains.mean(axis=0) == pytest.approx(np.ones(21), abs=0.1)
    correlation = np.corrcoef(gains[:, ::3].T) - np.eye(7)
    assert np.max(np.abs(correlation)) < 4.5 / np.sqrt(count)
    none = air_of(3, num_sites=7, fading="none", interference="explicit")
    np.testing.assert_array_equal(cross_gains(none, UP, 5, np.arange(3)), np.ones((3, 7, none.carrier.num_groups)))


def test_interference_costs_throughput():
    totals = []
    for kind in ("none", "explicit"):
        settings = NrLinkSettings(num_sites=7, interference=kind, tdd_pattern="F", fading="none")
        totals.append(run_full_buffer(settings, 14, 150, (DOWN,)).link.network.downlink.kpis.received_bits.sum())
    assert totals[1] < 0.8 * totals[0]


def test_a_moving_device_changes_its_cell():
    settings = NrLinkSettings(
        num_sites=7, wrap_around=False, shadowing=False, los="nlos", mobility="linear", speed_kmh=360.0, fading="none",
        positions_m=[(0.0, 10.0)], large_scale_period_s=0.05,
    )  # fmt: skip
    env = simpy.Environment()
    link = NrLink(env, 1, 1, settings)
    for _ in range(30):
        link.send(Packet(0, UP, 8_000))
        env.run(until=int(env.now) + 10**8)
    air = link.network.channel
    assert air is not None
    assert air.serving[0] != 0 or np.linalg.norm(air.positions_m(6000)[0]) > 250
    assert link.summary()["uplink_messages"] == 30


def test_speed_hurts_when_reports_are_old():
    means = [
        run(
            2, 12, snr_db=12.0, mean_bytes=8000, directions=(UP,), speed_kmh=speed, csi_period_slots=40, olla_step_db=0
        ).link.summary()["uplink_first_transmission_bler"]
        for speed in (0.0, 120.0)
    ]
    assert means[1] > means[0]


def test_memory_does_not_grow_with_slots():
    settings = NrLinkSettings(snr_db=12.0, tdd_pattern="F", fading="none")
    held = []
    for num_slots in (200, 1400):
        ran = run_full_buffer(settings, 4, num_slots, (UP, DOWN), warm_up_slots=50, message_bits=8 * 20_000)
        gc.collect()
        held.append(len(gc.get_objects()))
        del ran
    # Twelve hundred slots more leave no more objects than what is in flight at the end.
    assert held[1] - held[0] < 600


def test_full_buffer_bench_runs_and_is_not_absurd():
    # A guard against a slip of an order of magnitude; the bench proper states the figure.
    assert loaded_cell(100, 150).slots_per_cpu_s > 60


@pytest.mark.parametrize("snr_db", [0.0, 8.0, 16.0])
def test_throughput_stays_below_shannon_by_the_overheads(snr_db):
    settings = NrLinkSettings(snr_db=snr_db, fading="none", tdd_pattern="F")
    summary = run_full_buffer(settings, 1, 300, (DOWN,), message_bits=8 * 20_000).link.summary()
    shannon_bps = 51 * 12 * 30e3 * np.log2(1 + 10 ** (snr_db / 10))
    # Cyclic prefix 14/15, control 13/14, DMRS 144/168 and ten per cent errors leave 0.67; the code's gap is 1 to 2 dB.
    assert 0.4 * shannon_bps < summary["downlink_mac_throughput_bps"] < 0.67 * shannon_bps
    assert summary["downlink_throughput_bps"] < summary["downlink_mac_throughput_bps"]
