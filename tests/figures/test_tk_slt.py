"""The figure of TK-SLT's experiment: marks are 44.5 ms over the time per token, lines the closed form."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from sim.decoding.theory import tk_slt_speedup
from sim.figures import tk_slt
from sim.scenario.loading import load_scenario


def test_marks_and_lines_agree_where_the_table_is_made_by_the_closed_form() -> None:
    rows = [
        {
            "workload.temperature": temperature,
            "protocol.top_k": top_k,
            "protocol.draft_length": length,
            "replication": 0,
            "tpot_mean_s": tk_slt.TARGET_S / tk_slt_speedup(0.5, length, tk_slt.load_of(top_k)),
            "acceptance_rate": 0.5,
        }
        for temperature, top_k, length in itertools.product((0, 1), (3, 320), (1, 2, 4))
    ]
    figure = tk_slt.speedup(pd.DataFrame(rows), [])
    assert [panel.get_title() for panel in figure.axes[:2]] == ["target at T = 0", "target at T = 1"]
    for panel in figure.axes[:2]:
        lines = [list(line.get_ydata()) for line in panel.get_lines() if len(line.get_ydata()) == 3]
        assert len(lines) == 4
        assert lines[0] == pytest.approx(lines[1])
        assert lines[2] == pytest.approx(lines[3])


def test_the_loads_are_those_of_the_paper_and_of_the_scenario() -> None:
    """L(3) = .07 and L(V) = .30 (arXiv 2509.04576, Table II), from the numbers that the scenario states."""
    assert tk_slt.load_of(3) == pytest.approx(0.07, abs=5e-4)
    assert tk_slt.load_of(32_000) == pytest.approx(0.30, abs=5e-4)
    scenario = load_scenario("tk_slt_table").dump()
    assert scenario["compute"]["edge"]["per_forward_s"] == tk_slt.TARGET_S
    assert scenario["compute"]["device"]["per_forward_s"] == tk_slt.DRAFT_S
    assert scenario["link"]["uplink_mbps"] * 1e6 == tk_slt.ROW_BPS
