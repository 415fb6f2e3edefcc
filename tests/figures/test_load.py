"""Figures of an edge server's load: a panel per column, and a day by hour."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sim.figures.load import day, over_load


def test_a_panel_per_column_with_limits_that_fit_it() -> None:
    rows = [
        {"variant": name, "rate": rate, "ttft": 0.1 * 10**place, "slo_attainment": 1 - 0.3 * place, "goodput": rate}
        for name in ("one", "other")
        for place, rate in enumerate((1.0, 2.0, 4.0))
    ]
    columns = {"ttft": "TTFT (s)", "slo_attainment": "Attainment", "goodput": "Goodput (1/s)"}
    figure = over_load("rate", columns, x_label="Load")(pd.DataFrame(rows), ["rate"])
    latency, share, goodput = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == list(columns.values())
    assert latency.get_yscale() == "log" and goodput.get_yscale() == share.get_yscale() == "linear"
    assert share.get_ylim() == (-0.03, 1.03) and goodput.get_ylim() == (0, pytest.approx(4.6))
    assert goodput.get_xlabel() == "Load" and not latency.get_xlabel()
    for axes in figure.axes:
        assert [len(line.get_xdata()) for line in axes.lines[:2]] == [3, 3]
    alone = over_load("rate", {"goodput": "Goodput (1/s)"}, by=None)(pd.DataFrame(rows[:3]), ["rate"])
    np.testing.assert_array_equal(alone.axes[0].lines[0].get_ydata(), [1.0, 2.0, 4.0])


def test_a_day_is_told_by_its_hours() -> None:
    issued_s = [0.5 + hour for hour in range(24) for _ in range(hour + 1)]  # a day of 24 s
    requests = pd.DataFrame({"issued_s": issued_s, "ttft_s": [0.1 + 0.1 * int(time) for time in issued_s]})
    seconds = pd.DataFrame({"time_s": np.arange(24.0), "kv_share": np.linspace(0, 1, 24)})
    rate, latency, memory = day(requests.assign(given_up=0), seconds, 24.0).axes
    np.testing.assert_allclose(rate.patches[0].get_data().values, np.arange(1, 25))
    np.testing.assert_allclose(latency.patches[0].get_data().values, 0.1 + 0.1 * np.arange(24))
    np.testing.assert_allclose(memory.lines[0].get_ydata(), np.linspace(0, 1, 24))
