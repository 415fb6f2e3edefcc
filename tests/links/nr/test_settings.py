"""What a scenario may not say: every refusal names the key and the valid choices; importing stays cheap."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import simpy
from pydantic import ValidationError

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings, idle_uplink_latency_s
from sim.links.nr.mac.schedulers.registry import SCHEDULERS
from sim.links.nr.phy.carrier import Carrier
from sim.links.registry import LINKS


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"sr_period_slots": 3}, "sr_period_slots at 30 kHz: got 3; valid: 1, 2, 4, 8, 10, 16, 20, 40, 80, 160"),
        ({"sr_period_slots": 16, "scs_khz": 120, "bandwidth_mhz": 100, "carrier_ghz": 28}, None),
        ({"sr_period_slots": 10, "scs_khz": 60}, "valid: 1, 2, 4, 8, 16, 20, 40, 80, 160, 320"),
        ({"tdd_pattern": "DDDD"}, "no uplink slot"),
        ({"tdd_pattern": "UUU"}, "no downlink slot"),
        ({"tdd_pattern": "DXU"}, "valid: D, S, U, F"),
        ({"special_symbols": (10, 2, 3)}, "sum to 14"),
        (
            {"tdd_pattern": "SU", "special_symbols": [1, 12, 1]},
            "special_symbols\n  got [1, 12, 1], and no D in",
        ),
        (
            {"tdd_pattern": "SU", "special_carries_pdsch": False},
            "special_carries_pdsch\n  false leaves no downlink",
        ),
        (
            {"special_symbols": [2, 11, 1]},
            "special_symbols\n  got [2, 11, 1]: DMRS fills 1 symbol of PDSCH",
        ),
        ({"special_symbols": [2, 11, 1], "special_carries_pdsch": False}, None),
        (
            {"special_symbols": [10, 3, 1], "special_carries_pusch": True},
            "DMRS fills 1 symbol of PUSCH in a special",
        ),
        ({"special_symbols": [10, 3, 1]}, None),
        ({"special_symbols": [2, 10, 2], "pdcch_symbols": 3}, "got [2, 10, 2]; valid: room for pdcch_symbols, 3"),
        (
            {"special_symbols": [8, 4, 2], "mini_slot_symbols": 7, "pdcch_symbols": 2},
            "in the last mini-slot of its",
        ),
        (
            {"special_symbols": [0, 12, 2], "mini_slot_symbols": 7, "tdd_pattern": "SU", "pdcch_symbols": 0},
            "room for",
        ),
        ({"special_symbols": [9, 3, 2], "mini_slot_symbols": 2, "pdcch_symbols": 0}, "DMRS fills 1 symbol of PDSCH"),
        (
            {"mini_slot_symbols": 2, "pdcch_symbols": 0, "overhead_re_per_prb": 12, "tdd_pattern": "F"},
            "overhead_re_per_prb\n  got 12, which with DMRS fills 2 symbols of PUSCH in a mini-slot; valid: less",
        ),
        (
            {"special_symbols": [14, 0, 0]},
            "special_symbols\n  got [14, 0, 0]; valid: a guard symbol or more",
        ),
        ({"special_symbols": [12, 0, 2], "tdd_pattern": "DDSDU"}, "a guard symbol or more"),
        ({"special_symbols": [14, 0, 0], "tdd_pattern": "DSDDU"}, None),
        ({"special_symbols": [14, 0, 0], "tdd_pattern": "UDDDS"}, "a guard symbol or more"),
        ({"tdd_pattern": "D" * 55 + "U"}, "got 56 slots at 30 kHz; valid: 1, 2, 4, 5, 6, 8, 10, 20, 40 (TS 38.331"),
        ({"tdd_pattern": "DSU"}, "tdd_pattern\n  got 3 slots at 30 kHz"),
        ({"tdd_pattern": "DSU", "scs_khz": 15}, None),
        ({"tdd_pattern": "DDSU" * 10}, None),
        ({"special_symbols": "10:2:2"}, "got '10:2:2'; valid: a list of three, such as [10, 2, 2]"),
        ({"special_symbols": [10, 2]}, "got [10, 2]; valid: a list of three, such as [10, 2, 2]"),
        ({"mcs": 29}, "mcs_index of table 1: got 29; valid: 0 to 28"),
        ({"mcs": 28, "mcs_table": 2}, "valid: 0 to 27"),
        ({"bandwidth_mhz": 22}, "valid: 5, 10, 15, 20"),
        ({"scs_khz": 45}, "15, 30, 60 or 120"),
        ({"k2_slots": 0}, "k2_slots at 30 kHz: got 0; valid: 1 to 32"),
        ({"channel": "ideal"}, "needs a fixed mcs; valid: 0 to 28"),
        ({"alpha": 0.3}, "valid: 0.0, 0.4"),
        ({"interference": "some"}, "'none', 'rise_over_thermal' or 'explicit'"),
        ({"num_sites": 3}, "1, 7 or 19"),
        ({"snr": 3}, "snr"),
        ({"interference": "explicit"}, "needs neighbours: num_sites 7 or 19, or sectors_per_site 3"),
        ({"block_error_rate": 0.1}, "is for channel 'ideal'"),
        ({"configured_grant_prb": 10}, "without configured_grant: true"),
        (
            {"bandwidth_mhz": 5, "mini_slot_symbols": 2, "pdcch_symbols": 0, "tdd_pattern": "F"},
            "bandwidth_mhz\n  got 5, 11 PRBs, on which 2 symbols of PUSCH carry 3 bytes at MCS 0 of table 1",
        ),
        ({"bandwidth_mhz": 5, "mini_slot_symbols": 2, "pdcch_symbols": 0, "tdd_pattern": "F", "mcs": 10}, None),
        ({"bandwidth_mhz": 5, "tdd_pattern": "SU", "special_symbols": [3, 9, 2]}, "2 symbols of PDSCH carry 3 bytes"),
        ({"bandwidth_mhz": 5, "mcs_table": 3}, None),
        ({"configured_grant": True, "configured_grant_prb": 5}, "configured_grant_prb\n  got 5; valid: 6 or more"),
        ({"configured_grant": True, "configured_grant_prb": 6}, None),
        ({"carrier_ghz": 28, "scs_khz": 15}, "scs_khz\n  in FR2 (carrier_ghz 28): got 15; valid: 60, 120"),
        (
            {"carrier_ghz": 28, "scs_khz": 120, "bandwidth_mhz": 5},
            "28): got 5; valid: 50, 100, 200, 400",
        ),
        (
            {"carrier_ghz": 28, "scs_khz": 60, "bandwidth_mhz": 400},
            "28): got 400; valid: 50, 100, 200 [",
        ),
        ({"carrier_ghz": 28, "scs_khz": 60, "bandwidth_mhz": 200}, None),
        ({"scs_khz": 120, "bandwidth_mhz": 400}, "scs_khz\n  in FR1 (carrier_ghz 3.5): got 120; valid: 15, 30, 60"),
        (
            {"scs_khz": 60, "bandwidth_mhz": 200},
            "at 60 kHz in FR1 (carrier_ghz 3.5): got 200; valid: 10, 15, 20, 25",
        ),
        ({"scs_khz": 60, "bandwidth_mhz": 33}, "80, 90, 100 ["),
        ({"scs_khz": 120, "bandwidth_mhz": 400, "channel": "ideal", "mcs": 3}, None),
        (
            {"carrier_ghz": 28, "channel": "ideal", "mcs": 3},
            "scs_khz\n  in FR2 (carrier_ghz 28): got 30; valid: 60, 120",
        ),
        ({"carrier_ghz": 7.124}, None),
        ({"carrier_ghz": 10}, None),
        ({"carrier_ghz": 10, "scs_khz": 120, "bandwidth_mhz": 400}, None),
        ({"ut_height_m": 25}, "ut_height_m\n  got 25; valid in umi: above 1 to 22.5"),
        ({"ut_height_m": 1, "scenario": "uma"}, "ut_height_m\n  got 1; valid in uma: above 1 to 22.5"),
        ({"ut_height_m": 2, "indoor_share": 0.1}, "above 1 to 1.5, as indoor devices are on up to 8 floors (floors)"),
        ({"ut_height_m": 2, "indoor_share": 0.1, "floors": (4, 7)}, None),
        ({"ut_height_m": 12, "scenario": "rma"}, "ut_height_m\n  got 12; valid in rma: 1 to 10"),
        ({"ut_height_m": 10, "scenario": "rma", "indoor_share": 0.5}, None),
        ({"bs_height_m": 5, "scenario": "rma"}, "bs_height_m\n  got 5; valid in rma: 10 to 150"),
        ({"carrier_ghz": 39, "scenario": "rma", "scs_khz": 120, "bandwidth_mhz": 50}, "valid in rma: 0.5 to 30"),
        ({"ut_height_m": 2, "scenario": "inf_sh"}, "got 2; valid in inf_sh: 1 to below 2, or los: los or nlos"),
        ({"ut_height_m": 2, "scenario": "inf_sh", "los": "nlos"}, None),
        (
            {"distances_m": [5, 0], "scenario": "inf_sl"},
            "distances_m\n  got 0, and devices and base stations are",
        ),
        ({"positions_m": [[1, 0], [0, 0]], "scenario": "inf_sl"}, "positions_m\n  one is that of a site"),
        ({"positions_m": [[1, 0], [0, 0]]}, None),
        ({"indoor_share": 0.5, "scenario": "inh"}, "indoor_share\n  got 0.5 in inh, which is indoors; valid: 0, or"),
        ({"ut_height_m": 25, "snr_db": 10}, None),
    ],
)
def test_wrong_keys_are_refused_with_the_valid_choices(keys, message):
    if message is None:
        NrLinkSettings(**keys)
        return
    with pytest.raises(ValidationError, match=re.escape(message)):
        NrLinkSettings(**keys)


def test_an_unknown_scheduler_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match=r"'proportional_fare' \(did you mean 'proportional_fair'"):
        NrLinkSettings(scheduler="proportional_fare")


def test_what_is_registered():
    names = [
        "delay_weighted",
        "earliest_deadline",
        "equal_finish",
        "max_ci",
        "proportional_fair",
        "qos",
        "round_robin",
    ]
    assert SCHEDULERS.names() == names
    assert LINKS.find("nr").make is NrLink
    assert all(entry.summary for entry in SCHEDULERS)


def test_the_latency_function_refuses_likewise():
    with pytest.raises(ValueError, match="no uplink slot"):
        idle_uplink_latency_s("DDDS", 30, 100)
    with pytest.raises(ValueError, match="valid: 0 to 28"):
        idle_uplink_latency_s("F", 30, 100, mcs=31)
    with pytest.raises(ValueError, match="sr_period_slots"):
        idle_uplink_latency_s("F", 30, 100, sr_period_slots=7)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"positions_m": [(0, 10), (5, 5)]}, "positions_m: got 2 values; valid: one per device, 3"),
        ({"snr_db": [1.0, 2.0]}, "snr_db: got 2 values; valid: one per device, 3"),
        ({"distances_m": [50.0]}, "distances_m: got 1 values; valid: one per device, 3"),
    ],
)
def test_lists_must_have_an_entry_per_device(keys, message):
    with pytest.raises(ValueError, match=message):
        NrLink(simpy.Environment(), 3, 1, NrLinkSettings(**keys))


def test_wrong_packets_are_refused():
    link = NrLink(simpy.Environment(), 3, 1, NrLinkSettings(channel="ideal", mcs=5))
    with pytest.raises(ValueError, match="device: got 3; valid: 0 to 2"):
        link.send(Packet(3, Direction.UPLINK, 8))
    with pytest.raises(ValueError, match="payload_bits"):
        link.send(Packet(0, Direction.UPLINK, -8))
    with pytest.raises(ValueError, match="device"):
        link.report(-1)


def test_naming_the_link_imports_neither_scipy_nor_torch_nor_sionna():
    code = (
        "import sys; from sim.links.registry import LINKS; LINKS.find('nr').settings();"
        "print([m for m in ('scipy', 'torch', 'sionna', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "keys",
    [
        {"scenario": "umi", "ut_height_m": 1.01}, {"scenario": "uma", "ut_height_m": 22.5},
        {"scenario": "uma", "indoor_share": 1.0}, {"scenario": "rma", "indoor_share": 1.0, "ut_height_m": 10},
        {"scenario": "rma", "bs_height_m": 150}, {"scenario": "inh", "ut_height_m": 25},
        {"scenario": "inf_sh", "ut_height_m": 1.9}, {"scenario": "inf_dh", "ut_height_m": 5.9},
        {"scenario": "inf_dh", "bs_height_m": 6, "ut_height_m": 8, "los": "los"},
        {"scenario": "inf_hh", "ut_height_m": 8},
        {"scenario": "inf_sl", "distances_m": [0.1, 20, 5, 40]},
    ],
)  # fmt: skip
def test_what_is_valid_can_be_built(keys):
    NrLink(simpy.Environment(), 4, 1, NrLinkSettings(**keys))


def test_widths_are_those_of_the_frequency_range():
    """TS 38.101-1 and -2 Table 5.3.2-1 differ at 60 kHz: 65 and 135 PRBs in FR1, 66 and 132 in FR2."""
    found = [
        Carrier(NrLinkSettings(scs_khz=60, bandwidth_mhz=width, carrier_ghz=carrier)).num_prb
        for carrier in (3.5, 28.0)
        for width in (50, 100)
    ]
    assert found == [65, 135, 66, 132]
