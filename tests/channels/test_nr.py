"""NR arithmetic: PRB table, peak rates, time base, MCS tables, BSR levels, headers, TDD patterns."""

import numpy as np
import pytest

from channels import nr
from channels.nr.tdd import tdd_period_slots


def test_prb_table():
    """TS 38.101-1 and -2, Table 5.3.2-1, rows in full."""
    widths = [5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100]
    assert [nr.num_prb(w, 15) for w in widths[:8]] == [25, 52, 79, 106, 133, 160, 216, 270]
    assert [nr.num_prb(w, 30) for w in widths] == [11, 24, 38, 51, 65, 78, 106, 133, 162, 189, 217, 245, 273]
    assert [nr.num_prb(w, 60) for w in widths[1:]] == [11, 18, 24, 31, 38, 51, 65, 79, 93, 107, 121, 135]
    assert [[nr.num_prb(w, scs) for w in (35, 45)] for scs in (15, 30, 60)] == [[188, 242], [92, 119], [44, 58]]
    assert [nr.num_prb(w, 120) for w in (50, 100, 200, 400)] == [32, 66, 132, 264]
    assert [nr.num_prb(w, 60, "fr2") for w in (50, 100, 200)] == [66, 132, 264]
    with pytest.raises(ValueError, match="5, 10, 15"):
        nr.num_prb(7, 30)


@pytest.mark.parametrize(
    ("args", "mbps"),
    [
        ((100, 30, 8, 4, "dl"), 2337.0),
        ((100, 30, 6, 1, "ul"), 468.76),
        ((100, 30, 8, 1, "ul"), 625.01),
        ((100, 30, 8, 2, "ul"), 1250.02),
        ((20, 30, 8, 4, "dl"), 436.58),
        ((20, 30, 6, 1, "ul"), 87.57),
        ((20, 15, 8, 4, "dl"), 453.70),
        ((20, 15, 6, 1, "ul"), 91.00),
        ((50, 15, 8, 4, "dl"), 1155.66),
        ((400, 120, 6, 2, "dl", "fr2"), 3232.26),
    ],
)
def test_peak_rates(args, mbps):
    """TS 38.306 4.1.2; the figures are given to two decimals."""
    assert nr.peak_rate_bps(*args) / 1e6 == pytest.approx(mbps, abs=0.0051)


def test_processing_times_and_smallest_k2():
    """TS 38.214 5.3 and 6.4, capability 1, no additional terms; j of Table 6.1.2.1.1-4."""
    spacings = (15, 30, 60, 120)
    t1 = [nr.pdsch_processing_time_s(s) * 1e3 for s in spacings]
    t2 = [nr.pusch_preparation_time_s(s) * 1e3 for s in spacings]
    np.testing.assert_allclose(t1, [0.5708, 0.3568, 0.3033, 0.1784], atol=6e-5)
    np.testing.assert_allclose(t2, [0.7135, 0.4281, 0.4103, 0.3211], atol=6e-5)
    assert [nr.min_k2(s) for s in spacings] == [1, 1, 2, 3]
    assert nr.default_k2_rows(30) == (1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 1, 4, 4)
    assert [nr.processing_symbols("n2", s, 2) for s in (15, 30, 60)] == [5, 5.5, 11]
    with pytest.raises(ValueError, match="valid: 15, 30, 60"):
        nr.processing_symbols("n1", 120, 2)


def test_time_base():
    assert [nr.slot_duration_s(s) for s in (15, 30, 60, 120)] == [1e-3, 0.5e-3, 0.25e-3, 0.125e-3]
    assert nr.slots_per_frame(30) == 20
    with pytest.raises(ValueError, match="scs_khz: got 45; valid: 15, 30, 60, 120"):
        nr.slot_duration_s(45)


def test_sr_periods():
    """TS 38.331 SchedulingRequestResourceConfig; 16 ms at 30 kHz (32 slots) is not legal."""
    assert nr.sr_periods_slots(30) == (1, 2, 4, 8, 10, 16, 20, 40, 80, 160)
    assert nr.check_sr_period(20, 30) == 20
    with pytest.raises(ValueError, match="got 32; valid: 1, 2, 4, 8, 10, 16, 20, 40, 80, 160"):
        nr.check_sr_period(32, 30)


def test_mcs_tables():
    """TS 38.214 Tables 5.1.3.1-1..3: sizes, corner entries, known efficiencies, refusal outside."""
    assert [len(nr.mcs_table(t)) for t in (1, 2, 3)] == [29, 28, 29]
    assert nr.modulation_and_rate(20, 1) == (6, 567 / 1024)
    assert nr.modulation_and_rate(27, 2) == (8, 948 / 1024)
    assert nr.modulation_and_rate(0, 3) == (2, 30 / 1024)
    # Printed spectral efficiencies of the tables.
    for table, index, printed in ((1, 0, 0.2344), (1, 28, 5.5547), (2, 20, 5.3320), (2, 27, 7.4063), (3, 0, 0.0586)):
        assert nr.mcs_table(table).spectral_efficiency[index] == pytest.approx(printed, abs=5e-5)
    for table in (2, 3):
        assert np.all(np.diff(nr.mcs_table(table).spectral_efficiency) > 0)
    # Table 1 steps down by 0.002 from MCS 16 (16QAM 658) to 17 (64QAM 438), as printed.
    assert np.flatnonzero(np.diff(nr.mcs_table(1).spectral_efficiency) <= 0).tolist() == [16]
    with pytest.raises(ValueError, match="mcs_index of table 2: got 28; valid: 0 to 27"):
        nr.modulation_and_rate(28, 2)
    with pytest.raises(ValueError, match="valid: 1, 2, 3"):
        nr.mcs_table(4)


def test_cqi_map():
    """The MCS of a CQI never promises more than that CQI's next level; CQI 0 has none."""
    np.testing.assert_array_equal(nr.cqi_to_mcs([0, 1, 15], 1), [-1, 0, 28])
    np.testing.assert_array_equal(nr.cqi_to_mcs([0, 4, 15], 2), [-1, 5, 27])
    for table in (1, 2, 3):
        efficiency = nr.cqi_efficiency(table)
        assert np.all(np.diff(efficiency) > 0)
        np.testing.assert_array_equal(nr.efficiency_to_cqi(efficiency, table), np.arange(1, 16))
        mcs = nr.cqi_to_mcs(np.arange(1, 16), table)
        assert np.all(np.diff(mcs) >= 0)
        np.testing.assert_allclose(nr.mcs_table(table).spectral_efficiency[mcs[2:]], efficiency[2:], rtol=0.13)
    assert int(nr.efficiency_to_cqi(0.01)) == 0


def test_bsr_levels():
    """TS 38.321 Tables 6.1.3.1-1 and -2."""
    assert len(nr.bsr_levels_bytes("short")) == 31
    assert len(nr.bsr_levels_bytes("long")) == 254
    np.testing.assert_array_equal(nr.bsr_index([12, 400, 5400, 500_000, 0, 10]), [2, 13, 20, 31, 0, 1])
    np.testing.assert_array_equal(nr.bsr_reported_bytes([12, 400, 5400, 67_201]), [14, 535, 5446, 77_284])
    assert int(nr.bsr_reported_bytes(67_201, "long")) == 70_990
    # Over-allocation of the two formats for 67 201 bytes: 15.0 % and 5.6 %.
    assert nr.bsr_reported_bytes(67_201) / 67_201 - 1 == pytest.approx(0.150, abs=5e-4)
    assert nr.bsr_reported_bytes(67_201, "long") / 67_201 - 1 == pytest.approx(0.0564, abs=5e-4)
    long = nr.bsr_levels_bytes("long")
    np.testing.assert_allclose(long[101:] / long[100:-1], 1.0649, atol=4e-4)
    assert long[-1] == 81_338_368


def test_header_bytes():
    """100 B of UDP payload are 136 B at the MAC, 1472 B are 1509 B; 64 KiB are 45 datagrams and 67 201 B."""
    headers = nr.HeaderModel()
    assert [headers.layer2_bytes(n) for n in (100, 1472, 65_536)] == [136, 1509, 67_201]
    assert len(headers.datagram_payloads_bytes(65_536)) == 45
    assert sum(headers.datagram_payloads_bytes(65_536)) == 65_536
    assert nr.HeaderModel(ip_version=6).layer2_bytes(100) == 156
    um = nr.HeaderModel(rlc_mode="um", rlc_sn_bits=6)
    assert [um.rlc_header_bytes(s) for s in ("complete", "first", "later")] == [1, 1, 3]
    assert nr.HeaderModel(rlc_sn_bits=18).rlc_header_bytes("later") == 5
    with pytest.raises(ValueError, match="rlc_sn_bits of am: got 6; valid: 12, 18"):
        nr.HeaderModel(rlc_sn_bits=6)


def test_tdd_pattern():
    pattern = nr.TddPattern("DDDSU")
    assert [pattern.uplink_data_symbols(s) for s in range(5)] == [0, 0, 0, 0, 14]
    assert [pattern.downlink_data_symbols(s) for s in range(5)] == [14, 14, 14, 10, 0]
    assert pattern.uplink_fraction == pytest.approx(0.2)
    assert (pattern.next_uplink(5), pattern.next_downlink(4), pattern.next_uplink_control(3)) == (9, 5, 4)
    assert pattern.smallest_k2(6, 1) == 3
    assert pattern.smallest_k2(6, 4) == 8
    fdd = nr.TddPattern("F")
    assert fdd.is_fdd
    assert fdd.uplink_fraction == fdd.downlink_fraction == 1.0
    assert fdd.smallest_k2(2, 1) == 1
    assert nr.TddPattern("DSU", (6, 4, 4), special_carries_pusch=True).uplink_data_symbols(1) == 4


@pytest.mark.parametrize("min_k2", [1, 2, 3, 4])
@pytest.mark.parametrize("letters", ["DDDSU", "DDSU", "DDDDDDDSUU", "DSUUDDSUUD", "F"])
def test_every_k2_lands_on_an_uplink_slot(letters, min_k2):
    pattern = nr.TddPattern(letters)
    for slot in range(pattern.period_slots):
        k2 = pattern.smallest_k2(slot, min_k2)
        assert k2 >= min_k2
        assert pattern.uplink_data_symbols(slot + k2) == 14
        assert all(pattern.uplink_data_symbols(slot + k) == 0 for k in range(min_k2, k2))


@pytest.mark.parametrize(
    ("letters", "words"),
    [("DDDD", "no uplink"), ("UU", "no downlink"), ("DXU", "valid: D, S, U, F"), ("", "e.g. DDDSU"), ("FDU", "mixed")],
)
def test_illegal_patterns_are_refused(letters, words):
    with pytest.raises(ValueError, match=words):
        nr.TddPattern(letters)


@pytest.mark.parametrize(
    ("scs_khz", "slots"),
    [
        (15, (1, 2, 3, 4, 5, 10, 20)),
        (30, (1, 2, 4, 5, 6, 8, 10, 20, 40)),
        (60, (2, 4, 5, 8, 10, 12, 16, 20, 40, 80)),
        (120, (4, 5, 8, 10, 16, 20, 24, 32, 40, 80, 160)),
    ],
)
def test_lengths_of_tdd_patterns(scs_khz, slots):
    """TS 38.213 11.1: 0.625 ms at 120 kHz only, 1.25 at 60 and 120, 2.5 from 30 on; pairs divide 20 ms."""
    assert tdd_period_slots(scs_khz) == slots


def test_special_symbols_must_fill_the_slot():
    with pytest.raises(ValueError, match="sum to 14"):
        nr.TddPattern("DSU", (10, 2, 1))


def test_dmrs_overhead():
    """TS 38.211 6.4.1.1.3: two full symbols take 24 RE, one CDM group of type 1 takes 6, of type 2 takes 4."""
    assert [nr.dmrs_re_per_prb(2), nr.dmrs_re_per_prb(3), nr.dmrs_re_per_prb(1, 1)] == [24, 36, 6]
    assert nr.dmrs_re_per_prb(1, 1, configuration_type=2) == 4
    with pytest.raises(ValueError, match="cdm_groups_without_data: got 3; valid: 1, 2"):
        nr.dmrs_re_per_prb(2, 3)


def test_transport_block_error_law():
    """TBLER = 1 - (1 - CBLER)^C, accurate for tiny errors."""
    np.testing.assert_allclose(nr.transport_block_error(0.1, [1, 2, 3]), [0.1, 0.19, 0.271], rtol=1e-14)
    np.testing.assert_allclose(nr.transport_block_error(1e-18, 10), 1e-17, rtol=1e-12)
    assert nr.transport_block_error(1.0, 5) == 1.0
    assert nr.transport_block_error(1.0, 1) == 1.0


def test_prb_groups_tile_the_carrier():
    sizes = nr.prb_group_sizes(51, 4)
    assert sizes.sum() == 51
    assert len(sizes) == 13
    assert sizes[-1] == 3
    centres = nr.prb_group_centres_hz(51, 4, 30)
    assert np.sum(sizes * centres) == pytest.approx(0.0, abs=1e-3)
    assert np.diff(centres)[0] == pytest.approx(4 * 360e3)
