"""The traces that ship with the scenarios are those that their generator writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from channels.bandwidth_traces import NANOBITS_PER_BIT, load_trace
from channels.trace_synthesis import driving_mbps, pedestrian_uplink_ms, write_traces

SHIPPED = Path(__file__).parents[2] / "scenarios" / "traces"
# Lengths of published conversations, and what says where they come from.
FROM_ELSEWHERE = ("azure_conversations.csv", "README.md")


def test_shipped_traces_are_the_generator_s(tmp_path: Path) -> None:
    write_traces(tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(path.name for path in SHIPPED.iterdir() if path.name not in FROM_ELSEWHERE)
    for name in written:
        assert (tmp_path / name).read_text() == (SHIPPED / name).read_text()


def test_shipped_traces_load_and_offer_what_their_description_says() -> None:
    for name, period_s, mean_mbps in (("pedestrian_uplink.mahimahi", 30, 3.2), ("driving_uplink.csv", 120, 5.8)):
        trace = load_trace(SHIPPED / name)
        assert trace.period_ns == period_s * 10**9
        offered_bits = (trace.offered(trace.period_ns + 1) - trace.offered(1)) / NANOBITS_PER_BIT
        assert round(offered_bits / period_s / 1e6, 1) == mean_mbps


def test_seeds_change_traces_and_lengths_are_as_asked() -> None:
    assert not np.array_equal(pedestrian_uplink_ms(1, 2), pedestrian_uplink_ms(2, 2))
    assert pedestrian_uplink_ms(1, 2)[-1] == 2000
    assert np.all(np.diff(pedestrian_uplink_ms(1, 2)) >= 0)
    assert len(driving_mbps(1, 10, 0.5)) == 20
    assert np.all(driving_mbps(1) >= 0)
    assert not np.array_equal(driving_mbps(1), driving_mbps(2))
