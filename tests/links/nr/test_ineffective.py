"""Keys that others leave without effect: what is noted really changes nothing, and contradictions are refused."""

from __future__ import annotations

import pytest
import simpy
from pydantic import ValidationError

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.ineffective import _AIR, _GEOMETRY
from tests.invariants.nr_keys import VALUES

_OTHERS = {
    "scenario": "uma",
    "los": "los",
    "num_sites": 7,
    "sectors_per_site": 3,
    "inter_site_distance_m": 500.0,
    "building": "high",
    "car_windows": "metallised",
    "column_elements": 8,
    "fading": "none",
    "interference": "rise_over_thermal",
    "num_tx": 2,
    "uplink_num_tx": 2,
    "mimo": "open_loop",
    "receiver": "mrc",
    "antenna_correlation": "high",
    "polarisation": "cross",
    "mobility": "linear",
}


def _other(key: str):
    """A value that is not the default."""
    default = NrLinkSettings.model_fields[key].default
    value = VALUES.get(key, _OTHERS.get(key))
    if key in _OTHERS:
        value = _OTHERS[key]
    elif value is None:
        value = not default if isinstance(default, bool) else (20.0 if default is None else default + 3)
    assert value != default
    return value


def _outcome(**keys):
    """Deliveries and figures of a second of small messages and files of three devices."""
    env = simpy.Environment()
    link = NrLink(env, 3, 1, NrLinkSettings(bandwidth_mhz=5, **keys))
    events = [
        link.send(Packet(device, direction, bits))
        for device in range(3)
        for direction in Direction
        for bits in (480, 40_000)
    ]
    env.run(until=300_000_000)
    figures = {name: repr(value) for name, value in link.summary().items()}
    return [event.value if event.triggered else None for event in events], figures


@pytest.fixture(scope="module")
def plain():
    kinds = {"ideal": {"channel": "ideal", "mcs": 5}, "snr": {"snr_db": 5.0}}
    return {name: (keys, _outcome(**keys)) for name, keys in kinds.items()}


@pytest.mark.parametrize(
    ("kind", "key"), [*(("ideal", key) for key in _AIR if key != "fading_trace"), *(("snr", key) for key in _GEOMETRY)]
)
def test_what_is_noted_changes_nothing(plain, kind, key):
    keys, expected = plain[kind]
    changed = {**keys, key: _other(key)}
    assert _outcome(**changed) == expected
    assert any(f"link.{key} " in f"{note} " for note in NrLinkSettings(bandwidth_mhz=5, **changed).notes())


_SITE = {"distances_m": [60.0, 120.0, 180.0]}


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        ({}, "l3_filter_k", 4),
        ({"mobility": "linear", "speed_kmh": 30}, "time_to_trigger_s", 0.1),
        ({}, "wrap_around", False),
        ({}, "csi_interference", "measured"),
        ({"interference": "explicit", "num_sites": 7}, "rise_db", 9.0),
        ({}, "building", "high"),
        ({}, "floors", (2, 3)),
        ({}, "car_windows", "metallised"),
        ({"indoor_share": 1.0}, "car_share", 0.5),
        (_SITE, "min_distance_m", 35.0),
        (_SITE, "inter_site_distance_m", 700.0),
        ({"fading": "none"}, "delay_spread_ns", 100.0),
        ({"fading": "none"}, "rician_k_db", 3.0),
        ({}, "drx_on_s", 0.02),
        ({}, "drx_inactivity_s", 0.2),
        ({"mcs": 5}, "olla_step_db", 0.5),
        ({"mcs": 5}, "olla_warm_up_blocks", 0),
        ({"tdd_pattern": "F"}, "special_symbols", (6, 4, 4)),
        ({"tdd_pattern": "F"}, "special_carries_pdsch", False),
        ({"rlc_feedback": "status"}, "rlc_status_delay_s", 0.02),
    ],
)
def test_what_other_keys_leave_without_effect_is_noted(keys, key, value):
    expected = _outcome(**keys)
    assert _outcome(**keys, **{key: value}) == expected
    noted = [f"{note} " for note in NrLinkSettings(**keys, **{key: value}).notes()]
    assert any(f"link.{key} " in note for note in noted), noted
    assert not any("link." in note for note in NrLinkSettings(**keys).notes())


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({"tilt_deg": 102}, "link.tilt_deg changes nothing with link.column_elements 1"),
        ({"polarisation": "cross"}, "link.polarisation changes nothing with one antenna at either end"),
        ({"channel": "ideal", "mcs": 5, "num_rx": 2}, "link.num_rx (2) changes nothing over channel 'ideal'"),
        ({"channel": "ideal", "mcs": 5, "num_rx": 4}, "link.num_rx (4) counts for the modem's energy only"),
        ({"snr_db": 5, "num_sites": 7, "p0_dbm": -80}, "link.num_sites, link.p0_dbm change nothing with link.snr_db"),
        ({"tilt_deg": 102, "column_elements": 10}, None),
        ({"polarisation": "cross", "num_rx": 2}, None),
        ({"num_sites": 7, "interference": "explicit"}, None),
        ({"snr_db": 5, "speed_kmh": 30}, None),
        ({}, None),
    ],
)
def test_notes(keys, note):
    found = NrLinkSettings(**keys).notes()
    assert [one[: len(note)] for one in found] == [note] if note else not found


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"snr_db": 5, "num_sites": 7, "interference": "explicit"}, "'explicit' has no neighbours with snr_db"),
        (
            {"kpm_period_s": 0.1, "xapp": "even_out"},
            "scheduler 'proportional_fair' does not look at; valid: with",
        ),
    ],
)
def test_contradictions_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        NrLinkSettings(**keys)


def test_what_a_note_is_about_has_an_effect_elsewhere():
    """A column of elements is pointed by its tilt, and crossed antennas share the power."""
    keys = {"distances_m": [150.0] * 3, "fading": "none", "shadowing": False, "gnb_power_dbm": 20.0}
    assert _outcome(**keys) == _outcome(**keys, tilt_deg=102)
    assert _outcome(**keys, column_elements=8) != _outcome(**keys, column_elements=8, tilt_deg=102)
