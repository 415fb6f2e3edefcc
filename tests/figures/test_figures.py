"""Figures: what is drawn are the table's numbers, files are the same twice, and wrong requests are refused in words."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from sim.core.errors import InputError
from sim.figures.cell import colours_of
from sim.figures.drawing import draw_breakdown, draw_curves, parts_of, set_scales
from sim.figures.heatmap import best_series
from sim.figures.labels import label_of, panel_label, unit_of, value_label
from sim.figures.pareto import pareto_front
from sim.figures.plot import plot
from sim.figures.registry import FIGURES
from sim.figures.rows_figure import draw_rows
from sim.figures.run_figures import draw_run
from sim.figures.statistics import mean_interval
from sim.figures.style import COLOURS, LINES, MARKERS, WIDTHS_IN, new_figure, save, save_all, styled
from sim.figures.sweep_figures import axis_roles, draw_sweep
from sim.results.columns import REQUEST_COLUMNS, SUMMARY_COLUMNS
from tests.figures.tables import DELAY, UPLINK, requests_table, sweep_table, two_axes_table


def figure_of(name: str, table: pd.DataFrame, axes: list[str], size: str = "one_column") -> Figure | None:
    """A registered figure."""
    return FIGURES.find(name).make(table, axes, size)


def test_interval_is_student_t() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    mean, half, count = mean_interval([*values, float("nan")])
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (mean, count) == (np.mean(values), 4)
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-12)


def test_no_interval_below_two_values() -> None:
    assert mean_interval([3.0])[0] == 3.0
    assert np.isnan(mean_interval([3.0])[1])
    assert mean_interval([])[2] == 0


def test_curve_is_mean_over_replications_and_band_its_interval() -> None:
    table = sweep_table()
    axes = new_figure("one_column", 2).add_subplot()
    assert draw_curves(axes, table, UPLINK, "e2e_mean_s", "variant", ["top-8"]) == {3}
    chosen = table[table["variant"] == "top-8"].groupby(UPLINK)["e2e_mean_s"]
    curve, low, high = axes.lines
    np.testing.assert_allclose(np.asarray(curve.get_ydata(), float), chosen.mean())
    half = chosen.sem() * stats.t.ppf(0.975, 2)
    np.testing.assert_allclose(np.asarray(low.get_ydata(), float), chosen.mean() - half)
    np.testing.assert_allclose(np.asarray(high.get_ydata(), float), chosen.mean() + half)


def test_a_band_below_zero_leaves_a_logarithmic_axis_in_a_slope() -> None:
    table = pd.DataFrame({"x": [1, 1, 2, 2], "y": [10.0, 11.0, 1.0, 9.0], "variant": "one"})
    axes = new_figure("one_column", 2).add_subplot()
    draw_curves(axes, table, "x", "y", "variant", ["one"])
    set_scales(axes, table["x"], table["y"], log_x=False, log_y=True)
    bottom = axes.get_ylim()[0]
    _, low, high = axes.lines
    assert np.asarray(low.get_ydata(), float).tolist() == pytest.approx([10.5 - 12.7062 / 2, bottom], rel=1e-4)
    assert bottom > 0 and min(np.asarray(high.get_ydata(), float)) > 10
    (band,) = axes.collections
    assert min(path.vertices[:, 1].min() for path in band.get_paths()) == bottom


def test_bars_add_up_and_small_parts_are_other() -> None:
    frame, parts = parts_of(requests_table(), "_s")
    assert parts == ["draft_compute", "uplink_air", "other"]
    axes = new_figure("one_column", 2).add_subplot()
    draw_breakdown(axes, [str(place) for place in range(len(frame))], frame, parts)
    ends = [patch.get_x() + patch.get_width() for patch in axes.containers[-1]]
    np.testing.assert_allclose(ends, requests_table()["e2e_s"])


def test_run_figures_are_written_in_three_formats(tmp_path: Path) -> None:
    written = draw_run(requests_table(), tmp_path)
    assert {path.name for path in written} == {
        f"{stem}.{suffix}" for stem in ("breakdown", "latency_ecdf") for suffix in ("png", "pdf", "svg")
    }
    assert all(path.stat().st_size > 1000 for path in written)


def test_sweep_figures_are_written(sweep_figures: list[Path], tmp_path: Path) -> None:
    assert {path.stem for path in sweep_figures} == {"latency", "throughput", "breakdown", "rows"}
    held = sweep_table().assign(ttft_attainment=0.9, slo_attainment=lambda table: 1 / table["e2e_mean_s"])
    assert "attainment" in {path.stem for path in draw_sweep(held, [UPLINK], tmp_path / "with objectives")}
    assert {path.suffix for path in sweep_figures} == {".png", ".pdf", ".svg"}


def test_files_are_the_same_bytes_twice(sweep_figures: list[Path], tmp_path: Path) -> None:
    with styled():
        figure = draw_rows(sweep_table(), "variant", [UPLINK], "one_column")
    assert figure is not None
    first = {path.name: path for path in sweep_figures}
    for path in save_all(figure, tmp_path, "rows"):
        assert path.read_bytes() == first[path.name].read_bytes(), path.name


def test_files_have_the_width_of_a_column_and_enough_dots(tmp_path: Path) -> None:
    for style, width_in in WIDTHS_IN.items():
        with styled():
            figure = new_figure(style, 2.0)
            figure.add_subplot()
        png = save(figure, tmp_path / f"{style}.png").read_bytes()
        assert int.from_bytes(png[16:20], "big") >= 200 * width_in
        svg = save(figure, tmp_path / f"{style}.svg").read_text()
        found = re.search(r'width="([\d.]+)pt"', svg)
        assert found is not None
        assert float(found.group(1)) == pytest.approx(width_in * 72)


def test_few_requests_have_no_distribution_and_drawing_changes_no_setting(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert {path.stem for path in draw_run(requests_table(3), tmp_path)} == {"breakdown"}
    assert dict(matplotlib.rcParams) == before


def test_devices_of_one_picture_differ_in_colour() -> None:
    assert colours_of([1, 3]) == {1: COLOURS[1], 3: COLOURS[3]}
    assert len({"#000000", *colours_of(range(8)).values(), *colours_of([5, 13, 21]).values()}) == 9  # greys: legend's
    assert set(colours_of(range(40))) == set(range(40))


def test_series_differ_in_colour_marker_and_line() -> None:
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(set(LINES)) == len(COLOURS)


def test_a_sweep_without_numeric_axis_or_replications_is_drawn(tmp_path: Path) -> None:
    table = sweep_table(replications=1, rates=(5.0,))
    assert {path.stem for path in draw_sweep(table, [UPLINK], tmp_path)} == {"breakdown", "rows"}
    assert draw_sweep(table.iloc[:0], [UPLINK], tmp_path) == []


def test_axes_are_shared_among_x_curves_panels_and_the_rest_is_held() -> None:
    table = sweep_table()
    table["protocol.draft_length"] = np.arange(len(table)) % 3
    table["devices.count"] = np.arange(len(table)) % 5
    plan = axis_roles(table, [UPLINK, "protocol.draft_length", "devices.count"])
    assert (plan.x, plan.by, plan.facet) == (UPLINK, "variant", "protocol.draft_length")
    assert plan.fixed == {"devices.count": 2}


def test_labels_have_units() -> None:
    assert label_of("e2e_mean_s") == "End-to-end latency (s)"
    assert label_of(UPLINK) == "Uplink rate (Mbit/s)"
    assert label_of("tokens_per_s") == "Throughput (tokens/s)"
    assert label_of("link.some_new_thing_db") == "Some new thing (dB)"
    assert label_of("uplink_prb_utilisation") == "Uplink PRB utilisation"
    assert label_of("uplink_mac_throughput_bps") == "Uplink MAC throughput (bit/s)"
    assert value_label("protocol.top_k", 64) == "Row length K = 64"
    assert panel_label("link.one_way_delay_s", 0.01) == "One-way delay 0.01 s"


def test_every_column_with_a_unit_in_its_name_shows_it() -> None:
    for column in {**REQUEST_COLUMNS, **SUMMARY_COLUMNS}:
        if column.endswith(("_s", "_j", "_bits", "_bits_per_token")):
            assert unit_of(column), column


def test_plot_takes_any_column_against_any() -> None:
    figure = plot([sweep_table()], "uplink_bits_per_token", "e2e_mean_s", log_x=True, log_y=False)
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert axes.get_xlabel() == "Uplink payload (bit/token)"


def test_figures_against_each_other_are_means_joined_along_the_axis_left() -> None:
    table = sweep_table()
    axes = plot([table], "tokens_per_s", "e2e_mean_s").axes[0]
    means = table[table["variant"] == "full rows"].groupby(UPLINK)[["tokens_per_s", "e2e_mean_s"]].mean()
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xydata(), float), means)


def test_requests_of_a_run_can_be_plotted() -> None:
    axes = plot([requests_table()], "ttft_s", "e2e_s").axes[0]
    assert len(np.asarray(axes.lines[0].get_xdata())) == len(requests_table())


def test_plot_finds_x_series_and_panels_by_itself() -> None:
    table = sweep_table()
    table["link.one_way_delay_s"] = np.where(np.arange(len(table)) % 2, 0.01, 0.1)
    figure = plot([table], None, "e2e_mean_s", style="two_column")
    assert [axes.get_title() for axes in figure.axes] == ["One-way delay 0.01 s", "One-way delay 0.1 s"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["full rows", "top-8", "edge only"]


def test_tables_of_two_results_are_told_apart() -> None:
    table = sweep_table()
    table = table[table["variant"] == "top-8"]
    figure = plot([table, table.assign(e2e_mean_s=9.0)], UPLINK, "e2e_mean_s")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["result 1", "result 2"]


def _notes(figure: Figure) -> str:
    return figure.legends[0].get_title().get_text().replace("\n", " ")


def test_rows_can_be_chosen_by_the_values_of_a_column() -> None:
    table = two_axes_table()
    figure = plot([table], UPLINK, "e2e_mean_s", by="variant", where={DELAY: ["0.0010"], "variant": ["top-8"]})
    (axes,) = figure.axes
    (drawn,) = [line for line in axes.lines if len(line.get_xdata()) == 4][:1]
    chosen = table[(table[DELAY] == 0.001) & (table["variant"] == "top-8")].groupby(UPLINK)["e2e_mean_s"].mean()
    np.testing.assert_allclose(np.asarray(drawn.get_ydata(), float), chosen)
    assert "at one-way delay 0.001 s, top-8" in _notes(figure)
    both = plot([table], UPLINK, "e2e_mean_s", by="variant", where={"variant": ["top-8", "edge only"]})
    listed = plot([table], UPLINK, "e2e_mean_s", by="variant", where={"variant": ["top-8,edge only"]})
    assert [line.get_label() for line in listed.axes[0].lines] == [line.get_label() for line in both.axes[0].lines]
    assert [text.get_text() for text in both.legends[0].get_texts()] == ["top-8", "edge only"]
    with pytest.raises(InputError, match="--where: unknown column 'varient'"):
        plot([table], UPLINK, "e2e_mean_s", where={"varient": ["top-8"]})
    with pytest.raises(InputError, match=r"--where variant: unknown value 'top-9' \(did you mean 'top-8'\?\); valid"):
        plot([table], UPLINK, "e2e_mean_s", where={"variant": ["top-9"]})


def test_what_is_not_shown_is_held_and_told_not_averaged() -> None:
    """By seed and variant, the delay is left: a band over it would be no interval of replications."""
    table = two_axes_table()
    figure = plot([table], UPLINK, "e2e_mean_s", by="seed", facet="variant", style="two_column")
    held = table[(table[DELAY] == 0.1) & (table["seed"] == 1) & (table["variant"] == "full rows")]
    drawn = figure.axes[0].lines[0]
    np.testing.assert_allclose(np.asarray(drawn.get_xydata(), float), held[[UPLINK, "e2e_mean_s"]])
    assert _notes(figure) == "one replication: no interval; at one-way delay 0.1 s Seed"


def test_panels_say_over_how_many_replications_their_bands_are() -> None:
    assert _notes(plot([two_axes_table()], UPLINK, "e2e_mean_s")) == "bands: 95 % CI, n = 3"


def test_zeros_on_a_logarithmic_axis_are_told() -> None:
    table = two_axes_table().replace({DELAY: {0.001: 0.0}})
    assert "one-way delay of 0 is off the axis" in _notes(plot([table], DELAY, "e2e_mean_s", by="variant", log_x=True))


@pytest.mark.parametrize("rates", [(0.02, 0.1), (0.01, 0.08), (3.0, 90.0), (100.0, 5000.0)])
@pytest.mark.parametrize("style", list(WIDTHS_IN))
def test_labels_of_a_logarithmic_axis_do_not_touch(rates: tuple[float, float], style: str) -> None:
    axes = plot([sweep_table(1, rates)], UPLINK, "e2e_mean_s", log_x=True, log_y=True, style=style).axes[0]
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    labels = [
        label for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True) if low <= tick <= high
    ]
    assert len(labels) >= 2
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_keys_varied_together_are_one_axis() -> None:
    table = sweep_table()
    table["link.downlink_mbps"] = 10 * table[UPLINK]
    figure = plot([table], UPLINK, "e2e_mean_s")
    assert len(figure.axes) == 1
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"full rows", "top-8", "edge only"}
    assert not _notes(figure)


def test_names_are_an_axis_too() -> None:
    """A point per variant and rate at its mean with its interval, beside each other."""
    table = sweep_table(rates=(1.0, 10.0))
    figure = plot([table], "variant", "e2e_mean_s")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["full rows", "top-8", "edge only"]
    first, second = (bar.lines[0] for bar in axes.containers)
    assert (first.get_xdata() < second.get_xdata()).all()
    means = table[table[UPLINK] == 1.0].groupby("variant", sort=False)["e2e_mean_s"]
    np.testing.assert_allclose(sorted(np.asarray(first.get_ydata(), float)), sorted(means.mean()))
    assert axes.get_title(loc="right") == "bars: 95 % CI, n = 3"
    with pytest.raises(InputError, match="at most 24 names"):
        plot([sweep_table()], "run_id", "e2e_mean_s")


def test_numbering_columns_are_not_averaged_on_the_axis() -> None:
    axes = plot([sweep_table(rates=(1.0,))], "replication", "e2e_mean_s").axes[0]
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [0, 1, 2]


def test_requests_of_two_runs_are_points_of_two_colours() -> None:
    figure = plot([requests_table(), requests_table()], "ttft_s", "e2e_s")
    lines = [bar.lines[0] for bar in figure.axes[0].containers]
    assert [len(line.get_xdata()) for line in lines] == [len(requests_table())] * 2


def test_results_of_one_name_are_not_pooled() -> None:
    table = sweep_table()
    table = table[table["variant"] == "top-8"]
    again = table.copy()
    table.attrs["name"] = again.attrs["name"] = "sweep-1"
    figure = plot([table, again], UPLINK, "e2e_mean_s")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sweep-1 (1)", "sweep-1 (2)"]
    assert figure.axes[0].get_title(loc="right") == "bands: 95 % CI, n = 3"


def test_long_heads_and_names_stay_within_the_figure() -> None:
    column = "link.sr_period_slots"
    table = pd.concat([sweep_table().assign(**{column: period}) for period in (1, 20, 80)], ignore_index=True)
    table["variant"] = table["variant"] + " at a considerable length"
    for style in WIDTHS_IN:
        figure = plot([table], UPLINK, "e2e_mean_s", style=style)
        with styled():
            figure.canvas.draw()
        inside = figure.legends[0].get_texts()[-1].get_window_extent()
        assert figure.bbox.x0 <= inside.x0 and inside.x1 <= figure.bbox.x1
        heads = [axes.title.get_window_extent() for axes in figure.axes]
        assert not any(one.overlaps(other) for one, other in pairwise(heads))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"x": "link.uplink_mbs", "y": "e2e_mean_s"}, "--x: unknown column .*did you mean 'link.uplink_mbps'"),
        ({"x": UPLINK, "y": "e2e_means"}, "--y: unknown column .*did you mean 'e2e_mean_s'"),
        ({"x": UPLINK, "y": "e2e_mean_s", "by": "varint"}, "--by: unknown column"),
        ({"x": UPLINK, "y": "variant"}, "does not hold numbers"),
        ({"x": UPLINK, "y": "e2e_mean_s", "kind": "lines"}, "unknown kind of figure .*did you mean 'line'"),
        ({"x": UPLINK, "y": "e2e_mean_s", "style": "wide"}, "unknown figure style"),
        ({"x": UPLINK, "y": "e2e_mean_s", "kind": "heatmap"}, "two varied keys"),
        ({"x": UPLINK, "y": "downlink_air_mean_s", "log_y": True}, "--log-y: .* no positive numbers"),
        ({"x": "variant", "y": "e2e_mean_s", "log_x": True}, "--log-x: .* no positive numbers"),
        ({"x": UPLINK, "y": "overlap"}, "--y: column 'overlap' is empty here"),
    ],
)
def test_plot_refuses_in_words(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot([sweep_table().assign(overlap=float("nan"))], **keywords)


def test_a_result_that_lacks_the_axis_is_not_left_out_silently() -> None:
    other = sweep_table().rename(columns={UPLINK: "link.bandwidth_mhz"})
    with pytest.raises(InputError, match=f"--x: column '{UPLINK}' is empty in result 2"):
        plot([sweep_table(), other], UPLINK, "e2e_mean_s")
    assert plot([sweep_table(), other], None, "e2e_mean_s").axes[0].get_xlabel() == "Variant"


def test_pareto_front_by_hand() -> None:
    x, y = [1, 2, 3, 2, 4], [5, 3, 3, 4, 1]
    assert pareto_front(x, y).tolist() == [True, True, False, False, True]
    assert pareto_front(x, y, more_x=True, more_y=True).tolist() == [True, False, True, True, True]
    assert pareto_front([1, np.nan], [1, 0]).tolist() == [True, False]


def test_pareto_figure_fills_the_front_alone() -> None:
    table = sweep_table(rates=(10.0, 100.0))
    figure = plot([table], "uplink_bits_per_token", "acceptance_rate", kind="pareto")
    front = figure.axes[0].lines[0]
    # Less payload, more acceptance: both drafting schemes are on it, each once per rate and equal there.
    assert np.unique(np.asarray(front.get_xdata(), float)).tolist() == [600.0, 200_000.0]


def test_heat_map_names_the_best_in_each_cell() -> None:
    table = sweep_table()
    second = table.assign(**{"link.one_way_delay_s": 0.1})
    second.loc[second["variant"] == "edge only", "e2e_mean_s"] += 100.0
    both = pd.concat([table.assign(**{"link.one_way_delay_s": 0.01}), second])
    names = ["full rows", "top-8", "edge only"]
    index, best = best_series(both, UPLINK, "link.one_way_delay_s", "e2e_mean_s", "variant", names)
    assert [[names[place] for place in row] for row in index] == [["edge only"] * 4, ["top-8"] * 4]
    assert best[1, 0] == pytest.approx(
        table[(table["variant"] == "top-8") & (table[UPLINK] == 0.5)]["e2e_mean_s"].mean()
    )
    most, _ = best_series(both, UPLINK, "link.one_way_delay_s", "tokens_per_s", "variant", names)
    assert names[most[0, 0]] == "edge only"
    figure = plot([both], UPLINK, "link.one_way_delay_s", kind="heatmap")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["top-8", "edge only"]


def test_a_sweep_over_two_axes_shows_the_best_variant_in_each_cell() -> None:
    table = sweep_table()
    second = table.assign(**{"link.one_way_delay_s": 0.1})
    second.loc[second["variant"] == "edge only", "e2e_mean_s"] += 100.0
    both = pd.concat([table.assign(**{"link.one_way_delay_s": 0.01}), second])
    figure = figure_of("best", both, [UPLINK, "link.one_way_delay_s"])
    assert figure is not None
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["top-8", "edge only"]
    assert figure_of("best", both, [UPLINK]) is None
    alone = both[both["variant"] == "top-8"]
    assert figure_of("best", alone, [UPLINK, "link.one_way_delay_s"]) is None


def test_panels_of_a_heat_map_share_their_shades() -> None:
    figure = plot([two_axes_table()], UPLINK, DELAY, facet="variant", kind="heatmap", style="two_column")
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 3
    assert len({(image.norm.vmin, image.norm.vmax) for image in images}) == 1


def test_a_heat_map_holds_what_it_does_not_show() -> None:
    first = two_axes_table().assign(**{"devices.count": 1})
    second = first.assign(**{"devices.count": 2}, e2e_mean_s=first["e2e_mean_s"] + 10)
    figure = plot([pd.concat([first, second])], UPLINK, DELAY, kind="heatmap")
    assert _notes(figure) == "at devices = 2"
    least = second.groupby([DELAY, UPLINK, "variant"])["e2e_mean_s"].mean().groupby(level=[0, 1]).min()
    assert [text.get_text() for text in figure.axes[0].texts] == [f"{value:.0f}" for value in least]


def test_a_heat_map_of_many_cells_keeps_its_labels_apart() -> None:
    rates = tuple(float(2**i) for i in range(14))
    table = pd.concat([sweep_table(1, rates).assign(**{DELAY: delay}) for delay in (0.001, 0.1)])
    (axes, *_) = plot([table], UPLINK, DELAY, kind="heatmap").axes
    assert not axes.texts
    axes.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_figures_of_a_sweep_say_what_they_hold() -> None:
    """The bars are those of the facet's first value, curves and map at the middle of further axes."""
    table = two_axes_table()
    bars = figure_of("breakdown", table, [UPLINK, DELAY])
    curves = figure_of(
        "latency", table.assign(**{"devices.count": table["replication"]}), [UPLINK, DELAY, "devices.count"]
    )
    assert bars is not None
    assert curves is not None
    assert _notes(bars) == "means of n = 3; at one-way delay 0.001 s"
    assert _notes(curves) == "one replication: no interval; at devices = 1"


def test_more_series_than_colours_are_small_multiples() -> None:
    """Twelve variants: eight in one panel, four in the next, each panel with a legend of its own; none is dropped."""
    one = sweep_table()
    table = pd.concat([one.assign(variant=one["variant"] + str(i)) for i in range(4)])
    for figure in (figure_of("latency", table, [UPLINK]), plot([table], UPLINK, "e2e_mean_s")):
        assert figure is not None
        names = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
        assert [len(panel) for panel in names] == [8, 4]
        assert {name for panel in names for name in panel} == set(table["variant"])


def test_every_panel_is_drawn_up_to_what_a_page_holds() -> None:
    one = sweep_table()
    many = pd.concat([one.assign(**{DELAY: float(i)}) for i in range(9)])
    figure = plot([many], UPLINK, "e2e_mean_s", by="variant")
    assert len(figure.axes) == 9
    assert "values of one-way delay" not in _notes(figure)
    more = pd.concat([one.assign(**{DELAY: float(i)}) for i in range(30)])
    assert "24 of 30 values of one-way delay" in _notes(plot([more], UPLINK, "e2e_mean_s", by="variant"))


@pytest.mark.parametrize(("wanted", "scale"), [(True, "log"), (False, "linear")])
def test_scales_are_what_is_asked_for(wanted: bool, scale: str) -> None:
    axes = plot([sweep_table()], UPLINK, "e2e_mean_s", log_x=wanted, log_y=wanted).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == (scale, scale)


def test_a_notebook_shows_a_figure_as_its_picture() -> None:
    def picture() -> bytes:
        with styled():
            figure = new_figure("one_column", 2)
            figure.add_subplot().plot([1, 2])
        shown: bytes = figure._repr_png_()  # type: ignore[attr-defined]
        return shown

    assert picture().startswith(b"\x89PNG")
    assert picture() == picture()


def test_results_with_and_without_variants_share_panels_and_none_is_empty() -> None:
    lengths = {"full rows": np.nan, "top-8": 8.0, "edge only": np.nan}
    variants = sweep_table().assign(**{"protocol.top_k": lambda frame: frame["variant"].map(lengths)})
    varied = pd.concat(
        [sweep_table()[lambda frame: frame["variant"] == "top-8"].assign(**{"protocol.top_k": k}) for k in (8.0, 64.0)]
    ).assign(variant="")
    variants.attrs["name"], varied.attrs["name"] = "variants", "varied"
    figure = plot([variants, varied], UPLINK, "e2e_mean_s", by="result", facet="protocol.top_k")
    heads = [axes.get_title() for axes in figure.axes]
    assert heads == ["Row length K = 8", "Row length K = 64"]
    drawn = [
        [line.get_label() for line in axes.lines if not str(line.get_label()).startswith("_")] for axes in figure.axes
    ]
    assert drawn[0] == ["variants", "varied"]
    assert drawn[1] == ["varied"]
    told = " ".join(text.get_text() for legend in figure.legends for text in [legend.get_title()])
    assert "without row length K: full rows, edge only" in " ".join(told.split())
    single = plot([variants], UPLINK, "e2e_mean_s", by="variant", facet="protocol.top_k")
    assert [axes.get_title() for axes in single.axes] == ["Row length K = 8"]
    assert single.axes[0].get_title(loc="right") == ""


def test_a_panel_of_series_that_its_value_does_not_have_is_left_out() -> None:
    names = [f"scheme {place}" for place in range(10)]
    parts = [sweep_table()[lambda frame: frame["variant"] == "top-8"].assign(variant=name) for name in names]
    lengths = {name: 64.0 if name == names[-1] else 8.0 for name in names}
    table = pd.concat(parts).assign(**{"protocol.top_k": lambda frame: frame["variant"].map(lengths)})
    figure = plot([table], UPLINK, "e2e_mean_s", by="variant", facet="protocol.top_k")
    # Eight series of the first length and its ninth; of the second length the tenth alone.
    assert [axes.get_title() for axes in figure.axes] == ["Row length K = 8", "Row length K = 8", "Row length K = 64"]
