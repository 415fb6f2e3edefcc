"""Stop-and-wait over the inverse of the rate: the slope is the payload, and sending while drafting lowers it."""

from __future__ import annotations

import pytest

from tests.worlds import simulate, small_scenario

HEADER_BITS = 320


def run(mbps: float, protocol: dict[str, object]):
    """One device that drafts a token in 5 ms."""
    return simulate(
        small_scenario(
            devices={"count": 1, "requests": 2, "think_time_s": 0},
            workload={"max_new_tokens": 30},
            protocol=protocol,
            link={"kind": "fixed", "uplink_mbps": mbps, "downlink_mbps": 1e6, "one_way_delay_s": 0.01},
            compute={
                "device": {"kind": "fixed", "per_forward_s": 0.005},
                "edge": {"kind": "fixed", "per_forward_s": 0.01},
                "cloud": {"kind": "fixed"},
            },
        )
    )


def slope_bits(protocol: dict[str, object]) -> tuple[float, float]:
    """Slope of the mean round's duration over the inverse uplink rate, and the mean bits of a round with headers."""
    slow, fast = run(0.02, protocol), run(0.04, protocol)

    def mean(output, key: str) -> float:
        rows = [row for row in output.rounds if row["round"] > 1]
        return sum(row[key] for row in rows) / len(rows)

    slope = (mean(slow, "duration_s") - mean(fast, "duration_s")) / (1 / 20e3 - 1 / 40e3)
    return slope, mean(slow, "uplink_payload_bits") + HEADER_BITS


@pytest.mark.parametrize(
    "protocol", [{"name": "tslt", "top_k": 6}, {"name": "dsd"}, {"name": "pipesd", "cuts": "stop_and_wait"}]
)
def test_the_slope_of_stop_and_wait_is_the_payload(protocol):
    slope, bits = slope_bits({"draft_length": 4, **protocol})
    assert slope == pytest.approx(bits, rel=0.01)


def test_sending_while_drafting_lowers_it():
    """At 1 Mbit/s all parts but the last fly while the device drafts; headers of the parts are paid for."""
    keys = {"draft_length": 4, "draft_token_s": 0.005, "part_s": 0.0003, "token_upload_s": 0.0003}
    waiting, sending = ({"name": "pipesd", **keys, "cuts": cuts} for cuts in ("stop_and_wait", "optimal"))
    for mbps in (0.1, 1.0):
        waited, sent = run(mbps, waiting), run(mbps, sending)
        assert sum(r["e2e_s"] for r in sent.requests) < sum(r["e2e_s"] for r in waited.requests)
