"""Comparison figures: break-evens are the closed form at the sweep's own figures, points stay with families."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sim.decoding.theory import break_even_rtt_s, expected_tokens
from sim.figures.comparisons import (
    break_even_delays_s,
    capacity_of,
    latency_of,
    parts_by,
    payload_frontier,
    round_trip,
    served_within,
)

TARGET_S, DRAFT_S, ALPHA, TOKENS = 0.065, 0.005, 0.7, 400


def sweep_table() -> pd.DataFrame:
    """Latencies as the closed form has them: one request of 400 tokens per replication."""
    rows = []
    for delay_s in (0.0, 0.03, 0.06):
        for replication in range(2):
            common = {"link.one_way_delay_s": delay_s, "replication": replication, "requests": 1, "tokens": TOKENS}
            common |= {"edge_queue_mean_s": 0.0}
            alone = {"variant": "edge only", "token_latency_s": TARGET_S, "verify_compute_mean_s": TOKENS * TARGET_S}
            rows.append({**common, **alone, "draft_compute_mean_s": 0.0, "block_efficiency": 1.0})
            for length in (2, 5):
                per_round = expected_tokens(ALPHA, length)
                round_s = TARGET_S + length * DRAFT_S + 2 * delay_s
                ahead = {"variant": f"gamma {length}", "token_latency_s": round_s / per_round}
                ahead |= {"verify_compute_mean_s": TOKENS / per_round * TARGET_S, "acceptance_rate": ALPHA}
                ahead |= {"draft_compute_mean_s": TOKENS / per_round * length * DRAFT_S, "block_efficiency": per_round}
                rows.append({**common, **ahead})
    return pd.DataFrame(rows)


def test_break_even_is_the_closed_form():
    delays = break_even_delays_s(sweep_table())
    assert set(delays) == {"gamma 2", "gamma 5"}
    for length in (2, 5):
        expected = break_even_rtt_s(ALPHA, length, TARGET_S, DRAFT_S) / 2
        assert delays[f"gamma {length}"] == pytest.approx(expected, rel=1e-9)
        per_round = expected_tokens(ALPHA, length)
        assert (TARGET_S + length * DRAFT_S + 2 * expected) / per_round == pytest.approx(TARGET_S)


def test_round_trip_marks_every_draft_length():
    (panel,) = round_trip(sweep_table(), []).axes
    marks = [line for line in panel.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert sorted(line.get_xdata()[0] for line in marks) == sorted(break_even_delays_s(sweep_table()).values())


def test_frontier_draws_a_line_per_family():
    points = {
        "8-bit rows K=4": (0.5, 90.0),
        "8-bit rows K=16": (0.6, 300.0),
        "QSV ell=4": (0.3, 60.0),
        "DSSD": (0.7, 40.0),
    }
    rows = [
        {
            "variant": variant,
            "acceptance_rate": alpha,
            "uplink_bits_per_accepted_token": bits,
            "replication": replication,
        }
        for variant, (alpha, bits) in points.items()
        for replication in range(2)
    ]
    (panel,) = payload_frontier(pd.DataFrame(rows), []).axes
    lines = {bar.get_label(): len(bar.lines[0].get_xdata()) for bar in panel.containers}
    assert lines == {"8-bit rows": 2, "QSV": 1, "DSSD": 1}


def test_latency_marks_the_least_of_each_curve_and_refuses_too_many():
    table = sweep_table()
    (panel,) = latency_of("link.one_way_delay_s", mark_best=True)(table, []).axes
    (rings,) = (line for line in panel.lines if line.get_label() == "least latency")
    assert list(rings.get_xdata()) == [0.0, 0.0, 0.0]
    least = table.groupby("variant", sort=False)["token_latency_s"].min()
    assert list(rings.get_ydata()) == pytest.approx(list(least))
    many = pd.concat([table.assign(variant=f"scheme {number}") for number in range(9)])
    with pytest.raises(ValueError, match="at most 8 curves"):
        latency_of("link.one_way_delay_s")(many, [])


def test_parts_by_patterns_has_a_bar_for_every_variant_and_pattern() -> None:
    """Bars in the order of the variants asked for, patterns in that of the table; F reads FDD."""
    table = pd.DataFrame(
        [
            {"link.tdd_pattern": pattern, "variant": variant, "uplink_air_mean_s": 1.0 + place, "e2e_mean_s": 2.0}
            for place, pattern in enumerate(("F", "DDDSU"))
            for variant in ("ids only", "top-64", "full rows")
        ]
    )
    figure = parts_by("link.tdd_pattern", ("full rows", "ids only"))(table, ["link.tdd_pattern"])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["full rows, FDD", "full rows, DDDSU", "ids only, FDD", "ids only, DDDSU"]


def test_capacity_is_where_the_mean_reaches_the_objective() -> None:
    """30, 50 and 90 ms at 4, 8 and 16 devices: 70 ms are reached half way between the last two."""
    means = {"A": (0.030, 0.050, 0.090), "B": (0.050, 0.045, 0.060)}
    rows = [
        {
            "variant": name,
            "devices.count": count,
            "replication": replication,
            "tpot_mean_s": mean,
            "slo_attainment": 10 * mean,
        }
        for name, values in means.items()
        for count, mean in zip((4, 8, 16), values, strict=True)
        for replication in (0, 1)
    ]
    objectives = (0.03, 0.04, 0.07, 0.2)
    served = served_within(pd.DataFrame(rows), "devices.count", "tpot_mean_s", objectives, "variant")
    by_name = {name: own[own["replication"] == 1]["served"].tolist() for name, own in served.groupby("variant")}
    assert by_name["A"] == pytest.approx([4.0, 6.0, 12.0, 16.0])
    assert np.isnan(by_name["B"][:2]).all() and by_name["B"][2:] == [16.0, 16.0]
    figure = capacity_of("devices.count", "tpot_mean_s", objectives)(pd.DataFrame(rows), ["devices.count"])
    above, below = figure.axes
    assert list(above.lines[0].get_ydata()) == pytest.approx([0.3, 0.5, 0.9])
    assert [0.95, 0.95] in [list(line.get_ydata()) for line in above.lines]
    assert below.get_xlabel().startswith("Objective for ") and below.get_ylabel().endswith("within it")
    assert list(below.lines[0].get_ydata()) == pytest.approx([4.0, 6.0, 12.0, 16.0])
