"""A small setting of every registered link, for the invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TRACES = Path(__file__).resolve().parents[2] / "scenarios" / "traces"

LINKS: dict[str, dict[str, Any]] = {
    "fixed": {"kind": "fixed", "uplink_mbps": 0.2, "downlink_mbps": 1, "one_way_delay_s": 0.004},
    "shannon": {"kind": "shannon", "uplink_bandwidth_mhz": 0.2, "downlink_bandwidth_mhz": 0.5, "snr_db": 5},
    "trace": {
        "kind": "trace",
        "uplink_trace": str(TRACES / "pedestrian_uplink.mahimahi"),
        "uplink_scale": 0.1,
        "downlink_mbps": 1,
        "one_way_delay_s": 0.004,
    },
    "nr": {
        "kind": "nr",
        "channel": "ideal",
        "mcs": 3,
        "block_error_rate": 0.3,
        "bandwidth_mhz": 5,
        "scs_khz": 15,
        "transport_delay_s": 0.002,
    },
}

# Links whose rate for a lone device is a number that a test may lower.
SLOWER: dict[str, tuple[str, tuple[float, ...]]] = {
    "fixed": ("uplink_mbps", (0.05, 0.2, 1, 20)),
    "shannon": ("uplink_bandwidth_mhz", (0.05, 0.2, 1, 20)),
    "trace": ("uplink_scale", (0.02, 0.1, 1, 10)),
}
