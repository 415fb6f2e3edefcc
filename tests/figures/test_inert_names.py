"""Names come from scenarios and tables: a dollar sign in one is a dollar sign, in every figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.figures.plot import plot
from sim.figures.run_figures import draw_run
from sim.figures.style import save
from sim.figures.sweep_figures import draw_sweep
from tests.figures.tables import DELAY, UPLINK, requests_table, sweep_table, two_axes_table

NASTY = {"full rows": "$x_$", "top-8": "\\frac{a}^$", "edge only": "a_b^c $\\undefined$ <b>&"}


@pytest.mark.parametrize("axes", [[UPLINK], [UPLINK, DELAY], []])
def test_figures_of_sweeps(tmp_path: Path, axes: list[str]) -> None:
    table = two_axes_table() if DELAY in axes else sweep_table()
    table["variant"] = table["variant"].map(NASTY)
    assert draw_sweep(table, axes, tmp_path / "figures")


def test_figures_of_runs(tmp_path: Path) -> None:
    table = requests_table()
    table["category"] = ["$x_$", "$$", "^"] * (len(table) // 3)
    assert draw_run(table, tmp_path / "figures")


@pytest.mark.parametrize("kind", ["line", "pareto", "heatmap"])
def test_plots_of_tables_with_any_columns(tmp_path: Path, kind: str) -> None:
    table = two_axes_table().rename(columns={UPLINK: "link.$x_$", DELAY: "link.\\a^{"})
    table["variant"] = table["variant"].map(NASTY)
    table.attrs["name"] = "$^$"
    facet = None if kind == "heatmap" else "link.\\a^{"
    by = "variant"
    figure = plot([table], "link.$x_$", "e2e_mean_s", by=by, facet=facet, kind=kind)
    save(figure, tmp_path / "figure.PNG")
    assert (tmp_path / "figure.PNG").stat().st_size > 1000
