"""Under which circumstances each key of the ``nr`` link acts, for the test that every key changes some output.

The cell is narrow and wide apart, so that rows of a few kilobytes keep it busy and the radio matters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from channels.recorded import FadingTrace


def recorded_trace(folder: Path) -> str:
    """A short fading trace on disk, for three devices or more."""
    gains = np.random.default_rng(0).exponential(1.0, (3, 50, 6)).astype(np.float32)
    path = folder / "fading.npz"
    FadingTrace(gains, 0.01, np.linspace(-2e6, 2e6, 6), np.zeros(3), {"tool": "test"}).save(path)
    return str(path)


BASE: dict[str, Any] = {"kind": "nr", "bandwidth_mhz": 5, "inter_site_distance_m": 1500, "scenario": "uma"}
WORKLOAD: dict[str, Any] = {
    "devices.think_time_s": 0,
    "protocol": {"name": "dsd", "values": "fp32", "draft_length": 4},
}

_MOVING = {"mobility": "linear", "speed_kmh": 120}
_SEVEN = {"num_sites": 7, "inter_site_distance_m": 500}
_FAST = {**_MOVING, "speed_kmh": 500, "large_scale_period_s": 0.01, "min_distance_m": 0}
_BETWEEN_CELLS = {**_FAST, **_SEVEN, "inter_site_distance_m": 40, "time_to_trigger_s": 0.02, "l3_filter_k": 4}
_AT_THE_EDGE = {
    **_FAST,
    "rlf_out_db": 8.0,
    "rlf_in_db": 10.0,
    "n310": 2,
    "n311": 2,
    "t310_s": 0.03,
    "outage_timeout_s": 0.3,
}
_ERRORS = {"channel": "ideal", "mcs": 5, "block_error_rate": 0.3}
_LOSSES = {**_ERRORS, "max_harq_retransmissions": 0}
_POLLED = {**_LOSSES, "rlc_feedback": "status"}
_RECORDED = {"record_slots": True}
_NEAR = {"inter_site_distance_m": 300, "record_slots": True}
_FILES = {"kind": "ftp", "users": 0, "direction": "uplink", "five_qi": 7, "rate_hz": 10, "file_bytes": 3000}
_FULL = {"kind": "full_buffer", "users": 0, "direction": "uplink", "five_qi": 5}
_MIMO = {"num_rx": 2, "num_tx": 2, **_NEAR}
_STATES = {"rrc_inactivity_s": 0.02}
_CROWDED = {**_STATES, "num_preambles": 3, "background_preambles_per_s": 200.0, "max_preamble_transmissions": 3}

# Other keys under which a key acts at all: of the link, or dotted ones of the scenario.
BESIDE: dict[str, dict[str, Any]] = {
    "special_carries_pucch": {"tdd_pattern": "DSDDDDDDDU"},
    "processing_capability": {"mini_slot_symbols": 7},
    "bsr_format": {"sr_grant_bytes": 64},
    "configured_grant_prb": {"configured_grant": True},
    "harq_combining": {"mcs": 14, "distances_m": [300.0, 500.0, 600.0]},
    "max_harq_retransmissions": _ERRORS,
    "rlc_status_delay_s": _LOSSES,
    **dict.fromkeys(
        ("rlc_feedback", "t_reassembly_s", "t_status_prohibit_s", "t_poll_retransmit_s"),
        _POLLED,
    ),
    **dict.fromkeys(("srs_period_slots", "csi_offsets", "csi_report"), _RECORDED),
    "csi_interference": {**_SEVEN, "interference": "explicit", "record_slots": True},
    "max_rlc_retransmissions": {**_LOSSES, "block_error_rate": 0.5},
    "average_window_slots": {"multiplexing": "tdma", "devices.count": 8, "devices.requests": 4},
    "multiplexing": {"devices.count": 8, "devices.requests": 4},
    "delay_budget_s": {"scheduler": "qos", "five_qi": 85, "multiplexing": "tdma", "channel": "ideal", "mcs": 0},
    "harq_processes": {"tdd_pattern": "F"},
    "wrap_around": {**_SEVEN, "interference": "explicit"},
    "interference": _SEVEN,
    "max_grants_per_slot": {"pdcch_symbols": 0},
    "prb_placement": {**_SEVEN, "record_slots": True},
    "rise_db": {"interference": "rise_over_thermal"},
    "mobility": {"speed_kmh": 120},
    "large_scale_period_s": _MOVING,
    **dict.fromkeys(
        (
            "handover_offset_db",
            "handover_hysteresis_db",
            "time_to_trigger_s",
            "l3_filter_k",
            "handover_interruption_s",
        ),
        _BETWEEN_CELLS,
    ),
    **dict.fromkeys(
        ("rlf_out_db", "rlf_in_db", "n310", "t310_s", "reestablishment_s", "outage_timeout_s"), _AT_THE_EDGE
    ),
    "n311": {**_AT_THE_EDGE, "n310": 1, "rlf_in_db": 8.0, "t310_s": 0.06},
    "drx_on_s": {"drx_cycle_s": 0.08, "drx_inactivity_s": 0.001},
    "drx_inactivity_s": {"drx_cycle_s": 0.08},
    "channel": {"mcs": 5},
    "block_error_rate": {"channel": "ideal", "mcs": 5},
    "indoor_share": _NEAR,
    "building": {**_NEAR, "indoor_share": 1.0},
    "floors": {**_NEAR, "indoor_share": 1.0},
    "car_windows": {**_NEAR, "car_share": 1.0},
    "rician_k_db": {**_NEAR, "fading": "rician"},
    "uplink_num_tx": _MIMO,
    "max_layers": _MIMO,
    "uplink_max_layers": _MIMO,
    "mimo": _MIMO,
    "polarisation": _MIMO,
    "receiver": {**_SEVEN, "interference": "explicit", "num_rx": 2, "record_slots": True},
    "antenna_correlation": {"num_rx": 2, "record_slots": True},
    "tilt_deg": {"column_elements": 8, "record_slots": True},
    "bs_height_m": {"record_slots": True},
    "p0_dbm": _NEAR,
    "max_records": {"record_slots": True},
    "rrc_release_to": _STATES,
    "rrc_activation_s": _STATES,
    "core_network_s": {**_STATES, "rrc_release_to": "idle"},
    "paging_cycle_frames": {"rrc_inactivity_s": 0.01},
    "prach_period_frames": _STATES,
    **dict.fromkeys(("num_preambles", "contention_timer_s", "ra_backoff_s", "background_preambles_per_s"), _CROWDED),
    "max_preamble_transmissions": _CROWDED,
    "xapp": {"kpm_period_s": 0.01, "scheduler": "qos"},
    "five_qi": {"snr_db": 15.0, "background": [_FILES]},
    "prioritised_mbps": {"snr_db": 15.0, "background": [_FULL], "prioritised_mbps": 0.05},
    "bucket_s": {"snr_db": 15.0, "background": [_FULL], "prioritised_mbps": 0.05},
}
# Values that no rule can guess; a function makes one in a folder of the test's.
VALUES: dict[str, Any] = {
    "bsr_format": "long",
    "olla_warm_up_blocks": 0,
    "bandwidth_mhz": 10,
    "tdd_pattern": "DDSU",
    "special_symbols": [8, 4, 2],
    "prb_group_size": 1,
    "profile": "commercial",
    "k2_slots": 4,
    "k1_slots": 6,
    "decode_latency_s": 0.002,
    "sr_period_slots": 10,
    "gnb_decision_slots": 3,
    "drx_cycle_s": 0.16,
    "rlc_feedback": "fixed",
    "mini_slot_symbols": 7,
    "srs_period_slots": 80,
    "t_status_prohibit_s": 0.1,
    "rrc_inactivity_s": 0.02,
    "rrc_activation_s": 0.03,
    "num_preambles": 2,
    "contention_timer_s": 0.032,
    "background_preambles_per_s": 600.0,
    "max_preamble_transmissions": 4,
    "drx_inactivity_s": 0.001,
    "configured_grant_prb": 8,
    "mcs": 5,
    "target_bler": 0.3,
    "harq_processes": 1,
    "max_harq_retransmissions": 0,
    "max_rlc_retransmissions": 1,
    "scheduler": "earliest_deadline",
    "average_window_slots": 1.0,
    "delay_budget_s": 0.001,
    "handover_offset_db": 0.0,
    "handover_hysteresis_db": 0.0,
    "rlf_out_db": 5.0,
    "n311": 10,
    "rlf_in_db": 12.0,
    "outage_timeout_s": 0.05,
    "max_grants_per_slot": 1,
    "positions_m": [[50.0, 50.0], [100.0, 0.0], [0.0, 300.0]],
    "distances_m": [60.0, 200.0, 350.0],
    "min_distance_m": 400.0,
    "channel": "ideal",
    "block_error_rate": 0.3,
    "indoor_share": 1.0,
    "fading_trace": recorded_trace,
    "floors": [1, 1],
    "car_share": 1.0,
    "delay_spread_ns": 1000.0,
    "rician_k_db": 20.0,
    "uplink_num_rx": 2,
    "uplink_num_tx": 1,
    "max_layers": 1,
    "uplink_max_layers": 1,
    "beam_ports": 32,
    "tilt_deg": 100.0,
    "snr_db": 5.0,
    "bs_height_m": 60.0,
    "gnb_power_dbm": 10.0,
    "ue_power_dbm": 5.0,
    "p0_dbm": -100.0,
    "alpha": 0.8,
    "max_records": 1,
    "xapp": "even_out",
    "five_qi": 5,
    "bucket_s": 0.001,
    "background": [{"kind": "ftp", "rate_hz": 20, "file_bytes": 2000}],
}
