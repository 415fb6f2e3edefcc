"""Reports: which slot they are of, what a CQI keeps of an SINR, and interference as it was measured."""

from __future__ import annotations

import numpy as np
import pytest

from channels.nr.mcs import cqi_efficiency
from sim.links.base import Direction
from sim.links.nr import NrLinkSettings
from sim.links.nr.mac.csi import CqiReports, MeasurementTimes
from sim.links.nr.phy.carrier import Carrier
from tests.links.nr.traffic import run

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def times(direction, num_devices=6, **keys):
    settings = NrLinkSettings(**keys)
    return MeasurementTimes(settings, Carrier(settings), direction, num_devices)


def test_all_devices_at_once_by_default():
    known = times(DOWN)
    assert known.offset is None
    assert [known.newest(np.arange(6), slot) for slot in (3, 4, 13, 14, 24)] == [-10, 0, 0, 10, 20]


def test_each_device_has_a_slot_of_its_own():
    """In DDDSU, sounding is in slots 4 and 9 of ten; CSI-RS in the eight that carry downlink data."""
    up, down = (times(direction, 10, csi_offsets="spread") for direction in (UP, DOWN))
    assert up.offset.tolist() == [4, 9] * 5
    assert down.offset.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 0, 1]
    # Four slots of delay: in slot 8 those of slot 4 are known, in slot 12 still, in 13 those of slot 9.
    assert up.newest(np.array([0, 1]), 8).tolist() == [4, -1]
    assert up.newest(np.array([0, 1]), 12).tolist() == [4, -1]
    assert up.newest(np.array([0, 1]), 13).tolist() == [4, 9]


def test_sounding_has_a_period_of_its_own():
    assert (times(UP, srs_period_slots=40).period, times(DOWN, srs_period_slots=40).period) == (40, 10)
    with pytest.raises(ValueError, match="srs_period_slots: got 30; valid: 1, 2, 4, 5"):
        NrLinkSettings(srs_period_slots=30)


def reports(num_groups=4, table=1):
    shares = np.full(num_groups, 1 / num_groups)
    return CqiReports(table, shares, 0.75)


@pytest.mark.parametrize("table", [1, 2, 3])
def test_a_flat_channel_is_told_to_the_cqi_below(table):
    """The reading is the largest SINR of the table that is not above the channel; CQI 0 is below all."""
    coder = reports(table=table)
    edges = 2 ** (cqi_efficiency(table) / 0.75) - 1
    sinr = np.geomspace(edges[0] * 1.0001, edges[-1] * 10, 400)
    read = coder.quantised(np.repeat(sinr[:, None], 4, axis=1))
    expected = np.array([edges[edges <= value].max() for value in sinr])
    assert np.allclose(read, expected[:, None], rtol=1e-9)
    assert np.all(coder.quantised(np.full((1, 4), edges[0] / 2)) < edges[0])
    assert coder.top_sinr == pytest.approx(edges[-1])


def test_groups_are_told_by_two_bits():
    """Offsets of -3, 0, 1 and 5 from the wideband CQI are read as -1, 0, 1 and 2 (TS 38.214 Table 5.2.2.1-1)."""
    coder = reports()
    efficiency = cqi_efficiency(1)
    # By enumeration of all CQIs, against the table written out.
    level = {-1: -1, 0: 0, 1: 1, 2: 2}
    draws = np.random.default_rng(0).integers(1, 16, (200, 4))
    sinr = 2 ** ((efficiency[draws - 1] + 1e-9) / 0.75) - 1
    wideband, by_group = coder.indices(sinr)
    for row, wide, told in zip(draws, wideband, by_group, strict=True):
        mean = efficiency[row - 1].mean()
        assert wide == sum(value <= mean + 1e-8 for value in efficiency)
        assert told.tolist() == [min(15, wide + level[min(2, max(-1, int(own - wide)))]) for own in row]
    assert coder.num_bits == 12


def test_quantised_reports_cost_something_and_not_much():
    """Six busy devices: CQIs lose part of the frequency-selective gain; the outer loop holds the rest."""
    rates = {}
    for kind in ("gains", "cqi"):
        ran = run(6, 6, mean_bytes=20_000, gap_s=0.01, directions=(DOWN,), snr_db=12.0, csi_report=kind)
        rates[kind] = np.mean([one.delivery.total_ns for one in ran.sent])
        bler = ran.link.summary()["downlink_first_transmission_bler"]
        assert bler < 0.25
    assert 1.0 < rates["cqi"] / rates["gains"] < 1.6


def test_measured_interference_is_that_of_the_slot():
    """Two cells of which one is silent: what a report holds is zero after silence, and the full load after a block."""
    keys = {"num_sites": 7, "interference": "explicit", "inter_site_distance_m": 200, "num_devices": 14}
    found = {}
    for kind in ("mean", "measured"):
        ran = run(per_device=6, mean_bytes=3000, csi_interference=kind, **keys)
        adaptation = ran.link.network.adaptations[DOWN]
        found[kind] = adaptation
        assert len(ran.sent) == 2 * 14 * 6
    assert found["mean"]._reported_interference is None
    interference, reported = found["measured"]._interference, found["measured"]._reported_interference
    assert np.all(reported >= 0) and (reported > 0).any()
    slot, load = next(reversed(interference._kept.items()))
    devices = np.arange(14)
    channel = interference._channel
    gains = 10 ** ((channel.gain_db + channel.gnb_psd_dbm) / 10) / channel.noise_mw[DOWN]
    gains[devices, channel.serving] = 0.0
    assert interference.measured_over_noise(slot, devices) == pytest.approx(gains @ load)
    assert not interference.measured_over_noise(slot + 5000, devices).any()
    assert len(interference._kept) <= 10 + 4 + 10 + 1


def test_spread_offsets_change_outcomes_and_not_the_rate():
    """The same cell with other report slots: other outcomes, about the same delays."""
    means = []
    for offsets in ("common", "spread"):
        ran = run(6, 6, mean_bytes=8000, gap_s=0.01, snr_db=10.0, speed_kmh=30, csi_offsets=offsets)
        means.append(np.mean([one.delivery.total_ns for one in ran.sent]))
    assert means[0] != means[1]
    assert means[0] == pytest.approx(means[1], rel=0.15)
