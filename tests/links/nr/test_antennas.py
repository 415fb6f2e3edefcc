"""Antennas in the link: diversity and layers against closed forms, interference rejection and beams by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from channels.codebook import type_one_precoders
from channels.eesm import eesm_betas, effective_sinr
from channels.mimo import layer_sinr
from channels.theory import ergodic_mimo_bps_hz, mrc_outage
from sim.links.base import Direction
from sim.links.nr import NrLinkSettings
from sim.links.nr.full_buffer import run_full_buffer
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.codewords import Codewords
from sim.links.nr.phy.interference import Interference, SentBlocks
from sim.links.nr.phy.spatial import RankLimits
from tests.links.nr.traffic import two_interfering_devices

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK
NARROW = {"bandwidth_mhz": 5, "tdd_pattern": "F"}


def channel_of(num_devices=3, **keys):
    settings = NrLinkSettings(**keys)
    return RadioChannel(Carrier(settings), settings, num_devices, 1)


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("num_rx", [1, 2, 4])
def test_receive_antennas_meet_the_closed_forms(direction, num_rx):
    """Recorded SINR of flat Rayleigh blocks at 10 dB: outage at 2 bit/s/Hz and mean rate of maximum-ratio combining.

    Outage .2592, .03694, 2.658e-4, four standard errors; rates 2.9065, 4.0586, 5.1811 bit/s/Hz within 2 %.
    """
    settings = NrLinkSettings(
        snr_db=10.0, fading="rayleigh", speed_kmh=400, num_rx=num_rx, mcs=0, harq_combining="none", record_slots=True,
        scheduler="round_robin", **NARROW,
    )  # fmt: skip
    ran = run_full_buffer(settings, 40, 1500, (direction,), warm_up_slots=1)
    records = [record for record in ran.link.network.records.blocks if not record.attempt]
    rates = np.log2(1 + 10 ** (np.array([record.sinr_db for record in records]) / 10))
    expected = float(mrc_outage(2.0, 10.0, num_rx))
    assert np.mean(rates < 2) == pytest.approx(expected, abs=5 * np.sqrt(expected / len(rates)) + 2e-4)
    assert rates.mean() == pytest.approx(float(ergodic_mimo_bps_hz(1, num_rx, 10.0)), rel=0.025)


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_open_loop_layers_meet_the_ergodic_rate(direction):
    """log2 det of 4x4 with the link's own channels and precoders: 10.938 bit/s/Hz at 10 dB within 1.5 %."""
    channel = channel_of(
        2500, snr_db=10.0, fading="rayleigh", num_rx=4, num_tx=4, uplink_num_tx=4, mimo="open_loop", bandwidth_mhz=5
    )
    rows = np.arange(2500)
    layers = channel.spatial.layers(direction, 3, rows, 4, np.zeros(2500, dtype=int))
    assert layers.shape == (2500, channel.carrier.num_groups, 4, 4)
    gram = 10 * layers[:, 0] @ layers[:, 0].conj().swapaxes(-1, -2)
    rates = np.linalg.slogdet(np.eye(4) + gram)[1] / np.log(2)
    assert rates.mean() == pytest.approx(10.938, rel=0.015)


def codewords_of(channel):
    """What codewords carry, at most 3 dB above what the highest MCS needs."""
    errors = BlockErrors(channel.carrier, "specran", 0.1)
    return Codewords(channel.carrier, errors, 2 * (2**errors.top_capacity - 1)), errors


def report_of(channel, direction, slot, rows, snr):
    """Report without outer loops."""
    num_prb = np.full(len(rows), channel.carrier.num_prb)
    limits = RankLimits(num_prb, np.ones((4, len(rows))))
    return channel.spatial.report(direction, slot, rows, snr, codewords_of(channel)[0], limits)


def reports(count=400, **keys):
    channel = channel_of(count, **{"fading": "rayleigh", "num_rx": 4, "num_tx": 4, "snr_db": 0.0, **NARROW, **keys})
    direction = keys.pop("direction", DOWN)
    snr = np.full((count, channel.carrier.num_groups), 10 ** (channel.settings.snr_db / 10))
    return report_of(channel, direction, 5, np.arange(count), snr), snr


def test_rank_rises_with_snr_and_falls_with_correlation():
    ranks = [reports(snr_db=snr_db)[0].num_layers.mean() for snr_db in (-10.0, 5.0, 15.0, 35.0)]
    assert ranks[0] < 1.2
    assert np.all(np.diff(ranks) > 0)
    assert ranks[-1] > 3.9
    by_level = [
        reports(snr_db=15.0, antenna_correlation=level)[0].num_layers.mean() for level in ("low", "medium", "high")
    ]
    assert by_level[0] > by_level[1] > by_level[2]


def test_rank_stays_within_its_limits():
    assert reports(snr_db=40.0, max_layers=2)[0].num_layers.max() == 2
    up = channel_of(50, fading="rayleigh", num_rx=4, num_tx=4, snr_db=40.0, **NARROW)
    snr = np.full((50, up.carrier.num_groups), 1e4)
    assert up.small_scale.num_tx[UP] == 2
    assert report_of(up, UP, 5, np.arange(50), snr).num_layers.max() == 2
    # Fewer receive than transmit antennas.
    assert reports(snr_db=40.0, num_rx=2)[0].num_layers.max() == 2


def test_a_report_is_worth_its_bits():
    """Closed loop carries more than open loop, most at low SNR, where a beam of four antennas gains up to 6 dB."""
    gain = []
    for snr_db in (-5.0, 20.0):
        rate = {}
        for mimo in ("closed_loop", "open_loop"):
            report, snr = reports(snr_db=snr_db, mimo=mimo)
            per_layer = np.minimum(np.log2(1 + report.gains * snr), 7.4).mean(axis=1)
            rate[mimo] = float(np.mean(report.num_layers * per_layer))
        gain.append(rate["closed_loop"] / rate["open_loop"])
    assert gain[0] > 1.25
    assert 1.0 < gain[1] < gain[0]


def test_in_line_of_sight_crossed_polarisations_carry_two_layers():
    for polarisation, layers in (("single", 1), ("cross", 2)):
        report, _ = reports(
            fading="rician", rician_k_db=40.0, los="los", snr_db=10.0, num_rx=2, num_tx=2, polarisation=polarisation
        )
        assert np.all(report.num_layers == layers)


def test_reported_gains_are_those_of_the_transmission():
    """What a report promises is what a block in the same slot is received with: SINR of each group, to rounding."""
    channel = channel_of(30, fading="tdl_a", num_rx=2, num_tx=2, snr_db=12.0, **NARROW)
    rows = np.arange(30)
    snr = np.full((30, channel.carrier.num_groups), 10**1.2)
    report = report_of(channel, DOWN, 9, rows, snr)
    for rank in (1, 2):
        chosen = np.flatnonzero(report.num_layers == rank)
        layers = channel.spatial.layers(DOWN, 9, chosen, rank, report.precoder[chosen]) * np.sqrt(10**1.2)
        white = np.broadcast_to(np.eye(2, dtype=complex), (*layers.shape[:2], 2, 2))
        sinr = layer_sinr(layers.astype(complex), white, "mmse_irc")
        np.testing.assert_allclose(report.layer_gains[chosen, :, :rank] * snr[chosen, :, None], sinr, rtol=1e-4)
        assert np.all(np.isinf(report.layer_gains[chosen, :, rank:]))
        by_group = effective_sinr(sinr, eesm_betas(1)[report.mcs[chosen]][:, None])
        np.testing.assert_allclose(report.gains[chosen] * snr[chosen], by_group, rtol=1e-4)


def test_codewords_are_chosen_by_their_effective_sinr():
    """Two layers at 30 and 5 dB over one group: EESM of each MCS, to 1e-12, and the highest MCS that it carries."""
    channel = channel_of(1, num_rx=2, num_tx=2, **NARROW)
    codewords, errors = codewords_of(channel)
    sinr = 10 ** (np.array([[[30.0, 5.0], [12.0, 3.0]]]) / 10)
    weights, num_prb = np.array([[11.0, 0.0]]), np.array([11])
    found = codewords.effective_sinr(sinr, weights)
    expected = [effective_sinr(sinr[0, 0], beta) for beta in eesm_betas(1)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    needed_db = errors.thresholds_db(13, 2)[:, 11]
    for offset_db in (0.0, -2.0):
        reached = 10 * np.log10(expected) + offset_db >= needed_db
        place, is_met = codewords.choose(found, np.array([10 ** (offset_db / 10)]), num_prb, 13, 2)
        assert place == np.flatnonzero(reached).max()
        assert is_met.all()
    # By the mean capacity of its layers the block would look 8 dB better than 16QAM is decoded.
    mean_db = 10 * np.log10(2 ** np.log2(1 + sinr[0, 0]).mean() - 1)
    assert mean_db == pytest.approx(18.03, abs=0.01)
    assert 10 * np.log10(found[0, 14]) == pytest.approx(8.50, abs=0.01)


def test_ranks_are_those_of_most_goodput():
    """Against all ranks one by one, with the plain EESM: bytes of the codeword that each carries with its offset."""
    count = 40
    channel = channel_of(count, fading="tdl_a", num_rx=4, num_tx=4, snr_db=18.0, antenna_correlation="medium", **NARROW)
    codewords, errors = codewords_of(channel)
    carrier, rows = channel.carrier, np.arange(count)
    snr = np.full((count, carrier.num_groups), 10**1.8)
    offsets = 10 ** (np.array([0.0, -1.0, -2.0, 1.0])[:, None] / 10) * np.ones(count)
    num_prb = np.full(count, carrier.num_prb)
    report = channel.spatial.report(DOWN, 3, rows, snr, codewords, RankLimits(num_prb, offsets))
    matrices = channel.small_scale.matrices(DOWN, 3, rows)
    most, ranks = np.zeros(count), np.ones(count, dtype=int)
    for rank, _, sinr in channel.spatial.rank_candidates(DOWN, matrices, snr):
        needed = 10 ** (errors.thresholds_db(carrier.symbols, rank)[:, -1] / 10)
        sizes = carrier.block_bytes(carrier.symbols, rank)[:, -1]
        for device in rows:
            weights = np.repeat(carrier.group_sizes, rank)
            effective = np.array([effective_sinr(sinr[device].ravel(), beta, weights) for beta in eesm_betas(1)])
            carried = np.flatnonzero(effective * offsets[rank - 1, device] >= needed)
            if len(carried) and sizes[carried[-1]] > most[device]:
                most[device], ranks[device] = sizes[carried[-1]], rank
    assert len(set(ranks)) > 1
    np.testing.assert_array_equal(report.num_layers, ranks)


@pytest.mark.parametrize(("num_tx", "rank"), [(2, 1), (2, 2), (4, 2), (4, 3), (4, 4)])
def test_precoders_are_those_that_a_linear_receiver_gets_most_of(num_tx, rank):
    """Against all of the codebook by the SINR of its layers; rounding of a channel by 1e-13 changes none of them.

    With as many layers as antennas all precoders have the same determinant, so that rounding would choose by that.
    """
    count = 60
    channel = channel_of(count, fading="rayleigh", num_rx=4, num_tx=num_tx, snr_db=10.0, **NARROW)
    rows, snr = np.arange(count), np.full((count, channel.carrier.num_groups), 10.0)
    matrices = channel.small_scale.matrices(DOWN, 5, rows)
    noise = 1 + 1e-13 * np.random.default_rng(1).standard_normal(matrices.shape)

    def chosen(matrices):
        return next(index for one, index, _ in channel.spatial.rank_candidates(DOWN, matrices, snr) if one == rank)

    found = chosen(matrices.astype(complex))
    book = type_one_precoders(num_tx, rank)
    # One channel for the whole band, so that its mean is what each group has.
    worth = [
        np.log2(1 + channel.spatial.layer_sinr(DOWN, matrices, rank, np.full(count, one), snr)).mean(axis=1).sum(axis=1)
        for one in range(len(book))
    ]
    np.testing.assert_allclose(np.max(worth, axis=0), np.array(worth)[found, rows], rtol=1e-5)
    assert len(set(found)) > 1
    np.testing.assert_array_equal(chosen(matrices * noise), found)


@pytest.mark.parametrize(
    ("direction", "keys"),
    [
        (UP, {"num_rx": 8, "num_tx": 2, "uplink_num_tx": 2, "antenna_correlation": "medium"}),
        (DOWN, {"num_rx": 4, "num_tx": 4, "antenna_correlation": "high"}),
        (DOWN, {"num_rx": 4, "num_tx": 4, "antenna_correlation": "medium"}),
    ],
)
def test_layers_that_are_allowed_cost_nothing(direction, keys):
    """Of correlated antennas at 20 dB: with all layers allowed at least 97 % of the rate of one layer.

    Ranks by the layers' mean capacity and one offset for all of them lose 38 % in the first case and 30 % in the
    second. In the last, at least a tenth more is carried.
    """
    rate = {}
    for most in (1, 4):
        limits = {"max_layers": most, "uplink_max_layers": min(most, 2)}
        settings = NrLinkSettings(snr_db=20.0, tdd_pattern="F", **keys, **limits)
        ran = run_full_buffer(settings, 4, 400, (direction,), warm_up_slots=100)
        rate[most] = ran.link.summary()[f"{direction}_mac_throughput_bps"]
    assert rate[4] > 0.97 * rate[1]
    if direction == DOWN and keys["antenna_correlation"] == "medium":
        assert rate[4] > 1.1 * rate[1]


def test_blocks_of_one_layer_have_the_reported_precoder():
    """Four by four antennas at -5 dB, where ranks are one anyway: as much with one layer allowed as with four.

    Without its precoder a block would lose up to 6 dB, and carry .57 of it.
    """
    rate = {}
    for most in (1, 4):
        settings = NrLinkSettings(snr_db=-5.0, num_rx=4, num_tx=4, max_layers=most, tdd_pattern="F")
        summary = run_full_buffer(settings, 4, 300, (DOWN,), warm_up_slots=50).link.summary()
        rate[most] = summary["downlink_mac_throughput_bps"]
        assert summary["downlink_first_transmission_bler"] == pytest.approx(0.1, abs=0.06)
    assert rate[1] == pytest.approx(rate[4], rel=0.05)


def test_layers_multiply_the_block():
    """At 60 dB every rank is full: four layers carry four times as much, two twice, within the rounding of sizes."""
    rates = {}
    for antennas in (1, 2, 4):
        settings = NrLinkSettings(snr_db=60.0, fading="rayleigh", num_rx=antennas, num_tx=antennas, **NARROW)
        ran = run_full_buffer(settings, 2, 120, (DOWN,), warm_up_slots=30)
        rates[antennas] = ran.link.summary()["downlink_mac_throughput_bps"]
    assert rates[2] / rates[1] == pytest.approx(2, rel=0.02)
    assert rates[4] / rates[1] == pytest.approx(4, rel=0.04)


def test_antennas_raise_throughput_and_the_outer_loop_still_holds():
    rates = {}
    for antennas in (1, 2, 4):
        settings = NrLinkSettings(
            snr_db=14.0, num_rx=antennas, num_tx=antennas, olla_step_db=0.5, speed_kmh=10, csi_period_slots=5, **NARROW
        )
        summary = run_full_buffer(settings, 2, 700, (DOWN,), warm_up_slots=300).link.summary()
        rates[antennas] = summary["downlink_mac_throughput_bps"]
        assert summary["downlink_first_transmission_bler"] == pytest.approx(0.1, abs=0.03)
    assert rates[2] > 1.4 * rates[1]
    assert rates[4] > 1.5 * rates[2]


# -- interference ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("receiver", ["mrc", "mmse_irc"])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_two_antennas_against_one_interferer_by_hand(direction, receiver):
    """SINR of device 0's blocks from its channel, the interferer's channel and the noise, both receivers."""
    channel, records = two_interfering_devices(
        direction, 60_000, num_rx=2, receiver=receiver, fading="tdl_a", power_reduction=False, bandwidth_mhz=5
    )
    by_slot = {slot: [r for r in records if r.slot == slot] for slot in {r.slot for r in records}}
    both = [pair for pair in by_slot.values() if len(pair) == 2 and not any(r.attempt for r in pair)]
    assert len(both) > 3
    for pair in both:
        mine, other = sorted(pair, key=lambda record: record.device)
        rows, slot = np.array([0, 1]), mine.slot
        own = channel.small_scale.matrices(direction, slot, rows[:1])[0, :, :, 0].astype(complex)
        snr = channel.snr(direction, rows, np.array([mine.num_prb, other.num_prb]))
        if direction == UP:
            hit = channel.small_scale.cross_vectors(direction, slot, rows[1:], np.array([0]))[0, :, :, 0]
            level = snr[1] * 10 ** ((channel.gain_db[1, 0] - channel.gain_db[1, 1]) / 10)
        else:
            hit = channel.small_scale.cross_vectors(direction, slot, rows[:1], np.array([1]))[0, :, :, 0]
            level = 10 ** ((channel.gain_db[0, 1] + channel.gnb_psd_dbm) / 10) / channel.noise_mw[direction]
        overlap = np.array(other.prbs_per_group) / channel.carrier.group_sizes
        outer = hit[:, :, None] * hit[:, None, :].conj()
        covariance = np.eye(2) + (level * overlap)[:, None, None] * outer
        sinr = layer_sinr(own[:, :, None] * np.sqrt(snr[0]), covariance, receiver)[:, 0]
        expected = effective_sinr(sinr, eesm_betas(1)[5], np.array(mine.prbs_per_group))
        assert mine.sinr_db == pytest.approx(10 * np.log10(float(expected)), abs=0.01)


def test_rejection_helps_where_interference_is_and_nowhere_else():
    """Seven busy cells, four receive antennas: rejection beats combining by 5 % and more; without neighbours, not."""
    rates = {}
    for interference in ("explicit", "none"):
        for receiver in ("mrc", "mmse_irc"):
            settings = NrLinkSettings(
                num_sites=7, interference=interference, num_rx=4, receiver=receiver, fading="tdl", **NARROW
            )
            ran = run_full_buffer(settings, 7, 150, (DOWN,), warm_up_slots=30)
            rates[interference, receiver] = ran.link.network.downlink.kpis.received_bits.sum()
    assert rates["explicit", "mmse_irc"] > 1.05 * rates["explicit", "mrc"]
    assert rates["none", "mmse_irc"] == rates["none", "mrc"]


def test_weak_neighbours_count_with_their_mean():
    """Interference of 57 cells, the strong links fading and the weak ones not: its mean is that without fading."""
    channel = channel_of(
        200, num_sites=19, sectors_per_site=3, interference="explicit", fading="rayleigh", los="nlos", **NARROW
    )
    groups = channel.carrier.num_groups
    first = np.array([np.flatnonzero(channel.serving == cell)[0] for cell in np.unique(channel.serving)])
    count = len(first)
    blocks = SentBlocks(
        channel.serving[first], first, np.full(count, 11), np.ones(count, dtype=int), np.zeros(count, dtype=int),
        np.ones((count, groups)),
    )  # fmt: skip
    for direction in (UP, DOWN):
        interference = Interference(channel, direction)
        faded = np.mean([interference.over_noise(slot, blocks) for slot in range(0, 40_000, 200)], axis=0).mean(axis=1)
        plain = channel_of(
            200, num_sites=19, sectors_per_site=3, interference="explicit", fading="none", los="nlos", **NARROW
        )
        mean = Interference(plain, direction).over_noise(0, blocks).mean(axis=1)
        assert np.median(np.abs(faded / mean - 1)) < 0.12


def test_layers_of_an_interferer_share_its_power():
    """The trace of the covariance is noise plus interference, whatever the number of the interferer's layers."""
    channel = channel_of(
        2, num_sites=7, wrap_around=False, interference="explicit", shadowing=False, los="nlos", fading="rayleigh",
        positions_m=[(60.0, 0.0), (180.0, 0.0)], num_rx=4, num_tx=4, **NARROW,
    )  # fmt: skip
    groups = channel.carrier.num_groups
    expected = 10 ** ((channel.gain_db[0, 1] + channel.gnb_psd_dbm) / 10) / channel.noise_mw[DOWN]
    for layers in (1, 2, 4):
        blocks = SentBlocks(
            np.array([0, 1]), np.array([0, 1]), np.full(2, 11), np.full(2, layers), np.zeros(2, dtype=int),
            np.ones((2, groups)),
        )  # fmt: skip
        interference = Interference(channel, DOWN)
        first = np.zeros(1, dtype=int)
        found = [interference.covariance(slot, blocks, first, first)[0] for slot in range(0, 200_000, 500)]
        traces = [np.trace(one).real / 4 - 1 for one in found]
        assert np.mean(traces) == pytest.approx(expected, rel=0.15)
        assert np.linalg.matrix_rank(found[0] - np.eye(4), tol=1e-3) == min(layers, 4)


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_columns_and_tilt_shape_the_gains():
    """A device on boresight at zenith z: gain of the column there, over that of one element."""
    place = {"positions_m": [(100 * np.cos(np.pi / 6), 50.0)], "los": "nlos", "shadowing": False, "sectors_per_site": 3}
    one = channel_of(1, **place)
    column = channel_of(1, **place, column_elements=10, tilt_deg=95.0)
    zenith = 90 + np.rad2deg(np.arctan(8.5 / 100))
    phases = 0.5 * (np.cos(np.deg2rad(zenith)) - np.cos(np.deg2rad(95.0)))
    factor = abs(np.exp(2j * np.pi * phases * np.arange(10)).sum()) ** 2 / 10
    assert column.gain_db[0, 0] - one.gain_db[0, 0] == pytest.approx(10 * np.log10(factor), abs=1e-6)


@pytest.mark.parametrize(("ports", "peak_db"), [(32, 12.04), (64, 15.05)])
def test_beams_bring_the_array_gain_in_both_directions(ports, peak_db):
    keys = {"sectors_per_site": 3, "shadowing": False, "column_elements": 3, "tilt_deg": 96.0, "fading": "none"}
    plain = channel_of(60, **keys, los="nlos", p0_dbm=20.0)
    beams = channel_of(60, **keys, los="nlos", p0_dbm=20.0, beam_ports=ports)
    rows, width = np.arange(60), np.full(60, 51)
    for direction in (UP, DOWN):
        gain_db = 10 * np.log10(beams.snr(direction, rows, width) / plain.snr(direction, rows, width))
        assert gain_db.max() < peak_db
        # Azimuth spread of 23 degrees takes 4 to 6 dB of the peak out of sight.
        assert peak_db - 8 < np.median(gain_db) < peak_db - 2
    seen = channel_of(60, **keys, los="los", beam_ports=ports)
    gain_db = 10 * np.log10(seen.snr(DOWN, rows, width) / channel_of(60, **keys, los="los").snr(DOWN, rows, width))
    assert np.median(gain_db) > peak_db - 3


def test_beams_lower_what_others_hear():
    """Interference with beams that point elsewhere: less in the median than with broad antennas of the same power."""
    keys = {
        "num_sites": 7, "sectors_per_site": 3, "interference": "explicit", "fading": "none", "los": "nlos",
        "column_elements": 3, "tilt_deg": 96.0, **NARROW,
    }  # fmt: skip
    level = {}
    for ports in (0, 64):
        channel = channel_of(210, **keys, beam_ports=ports)
        cells = np.unique(channel.serving)
        first = np.array([np.flatnonzero(channel.serving == cell)[0] for cell in cells])
        count = len(first)
        blocks = SentBlocks(
            cells, first, np.full(count, 11), np.ones(count, dtype=int), np.zeros(count, dtype=int),
            np.ones((count, channel.carrier.num_groups)),
        )  # fmt: skip
        snr = channel.snr(DOWN, first, blocks.num_prb)
        over_noise = Interference(channel, DOWN).over_noise(0, blocks).mean(axis=1)
        level[ports] = snr / (1 + over_noise)
    assert np.median(10 * np.log10(level[64])) > np.median(10 * np.log10(level[0])) + 6


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"beam_ports": 64, "num_tx": 4}, "beam_ports 64: a beam has two polarisations"),
        ({"num_rx": 2, "fading": "independent"}, "fading 'independent' has one antenna"),
        ({"num_rx": 2, "fading_trace": "a.npz"}, "a fading_trace has one antenna"),
        ({"num_rx": 3}, "1, 2, 4 or 8"),
        ({"uplink_max_layers": 3}, "less than or equal to 2"),
        ({"floors": [6, 4]}, "floors: got 6 to 4"),
    ],
)
def test_what_antennas_cannot_be(keys, says):
    with pytest.raises(ValidationError, match=says):
        NrLinkSettings(**keys)
