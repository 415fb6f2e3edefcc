"""Devices out of coverage: their requests are given up after a wait, counted, and take nobody else's time."""

from __future__ import annotations

import pytest

from sim.core.breakdown import PARTS
from tests.worlds import simulate, small_scenario


@pytest.mark.parametrize("protocol", [{"name": "tslt", "top_k": 6}, {"name": "edge_only"}, {"name": "specedge"}])
def test_a_device_out_of_coverage_gives_its_requests_up(protocol: dict[str, object]) -> None:
    """Each waits for the outage timeout, in the column of uplink access; the other devices end theirs."""
    link = {"kind": "nr", "snr_db": [-25.0, 20.0, 20.0], "fading": "none", "outage_timeout_s": 0.5}
    output = simulate(small_scenario(link=link, protocol=protocol))
    lost = [row for row in output.requests if row["device"] == 0]
    assert [row["given_up"] for row in output.requests if row["device"] != 0] == [0, 0, 0, 0]
    assert [row["given_up"] for row in lost] == [1, 1]
    for row in lost:
        assert row["tokens"] == 0 and row["slo_met"] == 0
        assert sum(row[f"{part}_s"] for part in PARTS) == pytest.approx(row["e2e_s"], abs=1e-9)
        assert 0.5 <= row["uplink_access_s"] < 0.51
