"""What can be asked of a figure's looks: size, labels, limits, legend, colours; and its LaTeX table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from sim.cli.plot import PlotRequest, plot_command
from sim.core.errors import InputError
from sim.figures.latex import escape, latex_table
from sim.figures.options import FigureOptions, parse_limits
from sim.figures.plot import plot
from sim.figures.registry import FIGURES
from sim.figures.style import save, size_in
from tests.figures.tables import DELAY, UPLINK, sweep_table, two_axes_table


def drawn(**options: Any) -> Figure:
    return plot([sweep_table()], UPLINK, "e2e_mean_s", by="variant", options=FigureOptions(**options))


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize(
    ("size", "width_in", "height_in"),
    [("ieee1", 3.5, None), ("acm", 3.33, None), ("5x3", 5, 3), ("12.7x5.08cm", 5, 2), ("127x50.8mm", 5, 2)],
)
def test_sizes(size: str, width_in: float, height_in: float | None) -> None:
    width, height = size_in(size)
    assert width == pytest.approx(width_in)
    assert height == (None if height_in is None else pytest.approx(height_in))
    figure = drawn(size=size)
    assert figure.get_figwidth() == pytest.approx(width_in)
    assert height_in is None or figure.get_figheight() == pytest.approx(height_in)


def test_texts_and_limits() -> None:
    figure = drawn(title="A cell", x_label="Rate", y_label="Delay", x_limits=(1, 50), y_limits=(None, 4))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Rate", "Delay")
    assert axes.get_xlim() == (1, 50)
    assert axes.get_ylim()[1] == 4
    assert figure.get_suptitle() == "A cell"


def test_series_are_named_ordered_and_coloured() -> None:
    options: dict[str, Any] = {"order": ("edge only", "top-8"), "names": {"top-8": "K = 8"}, "colors": {"top-8": "red"}}
    figure = drawn(**options)
    assert figure.axes[0].get_legend_handles_labels()[1] == ["edge only", "K = 8", "full rows"]
    assert set(legend_of(figure)) == {"edge only", "K = 8", "full rows"}
    (line,) = (line for line in figure.axes[0].lines if line.get_label() == "K = 8")
    assert line.get_color() == "red"


@pytest.mark.parametrize(
    ("place", "in_figure", "in_axes"), [("outside", 3, 0), ("right", 3, 0), ("inside", 0, 3), ("none", 0, 0)]
)
def test_places_of_the_legend(place: str, in_figure: int, in_axes: int) -> None:
    figure = drawn(legend=place)
    assert len(legend_of(figure)) == in_figure
    inside = figure.axes[0].get_legend()
    assert len(inside.get_texts() if inside is not None else []) == in_axes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "ieee3"}, "--size: unknown figure style 'ieee3'"),
        ({"size": "0.1x3"}, "valid: 0.5 to 60 each way"),
        ({"legend": "insde"}, "--legend: unknown place of a legend 'insde' .did you mean 'inside'"),
        ({"colors": {"top-8": "reddish"}}, "--color top-8=reddish: not a colour"),
        ({"colors": {"top-9": "red"}}, "--color: unknown series 'top-9' .did you mean 'top-8'"),
        ({"names": {"top8": "K"}}, "--legend: unknown series 'top8'"),
        ({"style_file": Path("no/such.mplstyle")}, "--style: cannot read"),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        drawn(**options)


def test_a_style_file_is_put_over_the_projects_own(tmp_path: Path) -> None:
    style = tmp_path / "mine.mplstyle"
    style.write_text("axes.labelsize: 13\n")
    assert drawn(style_file=style).axes[0].xaxis.label.get_fontsize() == 13
    assert drawn().axes[0].xaxis.label.get_fontsize() == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# mine\naxes.labelsise: 13\n", r":2: unknown setting of matplotlib 'axes.labelsise' .did you mean 'axes.l"),
        ("name: b\nseed: 1\n", ":1: unknown setting of matplotlib 'name'.*; valid: "),
        ("axes.labelsize\n", ":1: expected KEY: VALUE of matplotlib, got 'axes.labelsize'"),
        ("axes.labelsize: wide\n", "is no matplotlib style: "),
    ],
)
def test_a_style_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    style = tmp_path / "mine.mplstyle"
    style.write_text(text)
    with pytest.raises(InputError, match=f"--style: .*{says}"):
        drawn(style_file=style)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"colors": {"a": "b"}}, "--color: unknown series 'a': all that is drawn is one series"),
        ({"names": {"a": "b"}}, "--legend: unknown series 'a': all that is drawn is one series"),
        ({"order": ("a",)}, "--legend: unknown series 'a': all that is drawn is one series"),
    ],
)
def test_a_figure_of_one_series_has_none_to_name(options: dict[str, Any], says: str) -> None:
    table = sweep_table()
    with pytest.raises(InputError, match=says):
        plot([table[table["variant"] == "top-8"]], UPLINK, "e2e_mean_s", options=FigureOptions(**options))


@pytest.mark.parametrize("text", ["5", "3:1", ":", "a:b", "1:1"])
def test_limits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--xlim expects LOW:HIGH"):
        parse_limits("xlim", text)


@pytest.mark.parametrize("text", ["nan:5", "5:nan", "nan:", "inf:", ":-inf", "0:1e400", "nan:nan"])
def test_limits_that_are_not_finite_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--ylim: the ends of an axis are finite numbers"):
        parse_limits("ylim", text)


def test_limits_may_be_open() -> None:
    assert parse_limits("xlim", "0.5:") == (0.5, None)
    assert parse_limits("xlim", ":3") == (None, 3)
    assert parse_limits("xlim", None) == (None, None)


def test_svg_holds_text_as_text(tmp_path: Path) -> None:
    svg = save(drawn(title="A cell"), tmp_path / "x.svg").read_text()
    assert ">A cell</text>" in svg
    assert "End-to-end latency" in svg


def test_a_variant_without_the_axis_is_a_level_across_it() -> None:
    table = sweep_table()
    table.loc[table["variant"] == "edge only", UPLINK] = np.nan
    axes = plot([table], UPLINK, "e2e_mean_s", by="variant").axes[0]
    (level,) = (line for line in axes.lines if line.get_label() == "edge only")
    expected = table[table["variant"] == "edge only"]["e2e_mean_s"].mean()
    assert np.asarray(level.get_ydata()) == pytest.approx([expected, expected])


def test_series_by_a_key_that_some_variants_lack_say_which() -> None:
    table = sweep_table()
    table["protocol.top_k"] = table["variant"].map({"top-8": 8.0, "full rows": 512.0})
    figure = plot([table], UPLINK, "e2e_mean_s", by="protocol.top_k")
    notes = figure.legends[0].get_title().get_text().replace("\n", " ")
    assert "without row length K: edge only" in notes
    assert legend_of(figure) == ["8", "512"]
    assert "Row length K" in figure.legends[0].get_title().get_text()


def test_registered_figures_and_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_figure.py").write_text(
        "from sim.figures.registry import FIGURES\nfrom sim.figures.style import new_figure\n\n\n"
        "@FIGURES.register('mine')\ndef mine(table, varied, size):\n"
        '    """My own."""\n    figure = new_figure(size, 2)\n'
        "    figure.subplots().plot(table['e2e_mean_s'])\n    return figure\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    figure = plot([sweep_table()], None, "e2e_mean_s", kind="own_figure:mine", options=FigureOptions(size="4x2"))
    assert len(figure.axes[0].lines[0].get_ydata()) == len(sweep_table())
    assert plot([sweep_table()], None, "e2e_mean_s", kind="breakdown").axes
    assert {"latency", "breakdown", "best"} <= set(FIGURES.names())
    with pytest.raises(InputError, match="are those of line, pareto, heatmap alone"):
        plot([sweep_table()], None, "e2e_mean_s", kind="breakdown", options=FigureOptions(colors={"top-8": "red"}))
    with pytest.raises(InputError, match=r"--kind: unknown kind of figure 'breakdwn' .did you mean 'breakdown'"):
        plot([sweep_table()], None, "e2e_mean_s", kind="breakdwn")


# ---- LaTeX ----------------------------------------------------------------------------------------------------------


def test_a_row_of_the_table_is_means_and_half_widths() -> None:
    text = latex_table(sweep_table(), UPLINK, "e2e_mean_s", "variant")
    lines = text.splitlines()
    assert lines[1] == r"\begin{tabular}{lrrr}"
    assert lines[3] == r"Uplink rate (Mbit/s) & full rows & top-8 & edge only \\"
    assert lines[5].startswith("0.5 & $1.")
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]


def test_only_a_proved_winner_is_bold() -> None:
    """Random numbers are shared, so the paired differences are exact: at each rate the least payload wins."""
    table = sweep_table()
    rows = latex_table(table, UPLINK, "e2e_mean_s", "variant").splitlines()[5:9]
    assert [row.count("mathbf") for row in rows] == [1] * 4
    assert all(r"\mathbf" in row.split("&")[3] for row in rows)
    unpaired = table.copy()
    rng = np.random.default_rng(5)
    unpaired["e2e_mean_s"] = 1 + rng.normal(0, 1, len(table))
    assert "mathbf" not in latex_table(unpaired, UPLINK, "e2e_mean_s", "variant")
    one = table[table["replication"] == 0]
    assert "mathbf" not in latex_table(one, UPLINK, "e2e_mean_s", "variant")
    most = latex_table(table, UPLINK, "tokens_per_s", "variant").splitlines()[5]
    assert r"\mathbf" in most.split("&")[3]


def test_missing_values_and_special_letters() -> None:
    table = pd.concat([sweep_table(), sweep_table().assign(variant="a_b & 5 %", e2e_mean_s=np.nan)])
    text = latex_table(table, UPLINK, "e2e_mean_s", "variant")
    assert r"a\_b \& 5 \%" in text
    assert text.splitlines()[5].endswith(r"-- \\")
    assert escape("α ± γ") == r"$\alpha$ $\pm$ $\gamma$"


def test_every_panel_is_a_group_of_rows() -> None:
    table = two_axes_table()
    lines = latex_table(table, UPLINK, "e2e_mean_s", "variant", facet=DELAY).splitlines()
    heads = [place for place, line in enumerate(lines) if "multicolumn" in line]
    assert [lines[place] for place in heads] == [
        rf"\multicolumn{{4}}{{l}}{{\textit{{One-way delay {delay} s}}}} \\" for delay in ("0.001", "0.1")
    ]
    for place, delay in zip(heads, (0.001, 0.1), strict=True):
        rows = lines[place + 2 : place + 6]
        assert [row.split(" & ")[0] for row in rows] == ["0.5", "2", "10", "100"]
        alone = latex_table(table[table[DELAY] == delay], UPLINK, "e2e_mean_s", "variant").splitlines()
        assert rows == alone[5:9]


def test_what_a_table_holds_is_said() -> None:
    assert "; at one-way delay 0.1 s" in latex_table(two_axes_table(), UPLINK, "e2e_mean_s", "variant").splitlines()[0]


@pytest.mark.parametrize(("facet", "by"), [(None, DELAY), (DELAY, "variant")])
def test_the_written_table_has_all_panels_of_the_figure(tmp_path: Path, facet: str | None, by: str) -> None:
    whole = two_axes_table()
    names = ["first", "second"] if facet is None else ["first"]
    for place, name in enumerate(names):
        rows = whole[whole["variant"] == "top-8"] if facet is None else whole
        rows.assign(e2e_mean_s=rows["e2e_mean_s"] + 10 * place).to_parquet(tmp_path / f"{name}.parquet")
    results = [f"{letter}={tmp_path / name}.parquet" for letter, name in zip("AB", names, strict=False)]
    plot_command(PlotRequest(results, UPLINK, by=by, facet=facet, latex=tmp_path / "t.tex", out=tmp_path / "x.png"))
    text = (tmp_path / "t.tex").read_text()
    heads = ("A", "B") if facet is None else ("One-way delay 0.001 s", "One-way delay 0.1 s")
    assert text.count(r"{l}{\textit") == 2
    assert all(rf"\textit{{{head}}}" in text for head in heads)
    rows_at_half = [line for line in text.splitlines() if line.startswith("0.5 & ")]
    assert len(set(rows_at_half)) == 2


# ---- title ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legend", ["outside", "inside", "right", "none"])
@pytest.mark.parametrize("title", ["Two folders", "A title that is far too long for a column " * 3])
def test_a_title_covers_neither_notes_nor_legend_nor_panels(legend: str, title: str) -> None:
    options = FigureOptions(size="ieee1", title=title, legend=legend)
    figure = plot([two_axes_table()], UPLINK, "e2e_mean_s", by="variant", facet=DELAY, options=options)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    (text,) = figure.findobj(lambda item: isinstance(item, Text) and item.get_text() == figure.get_suptitle())
    box = text.get_window_extent(renderer)
    assert 0 <= box.x0 <= box.x1 <= figure.bbox.width
    assert box.y1 <= figure.bbox.height
    assert "bands: 95 % CI, n = 3" in " ".join(item.get_title().get_text() for item in figure.legends)
    boxes = [(item, item.get_tightbbox(renderer)) for item in [*figure.legends, *figure.axes]]
    for item, other in boxes:
        assert other is not None
        assert other.y1 <= box.y0
        if item in figure.legends:
            assert not any(inner.overlaps(other) for axes, inner in boxes if axes in figure.axes)


# ---- names of series that are values of a key -----------------------------------------------------------------------

CANDIDATES = "protocol.candidates"


def candidates_table() -> pd.DataFrame:
    """The same curves as series of a key without unit."""
    numbers = {"full rows": 1, "top-8": 2, "edge only": 4}
    table = sweep_table()
    return table.assign(**{CANDIDATES: table["variant"].map(numbers)}).drop(columns="variant")


def written(tmp_path: Path, *legend: str, color: tuple[str, ...] = ()) -> list[str]:
    candidates_table().to_parquet(tmp_path / "t.parquet")
    asked = PlotRequest([str(tmp_path / "t.parquet")], UPLINK, by=CANDIDATES, legend=legend, color=color)
    plot_command(replace(asked, latex=tmp_path / "t.tex", out=tmp_path / "t.svg"))
    return (tmp_path / "t.tex").read_text().splitlines()


def test_a_series_whose_label_holds_the_sign_is_named_by_label_or_by_value(tmp_path: Path) -> None:
    lines = written(tmp_path, "First-level candidates = 2=a = b", "1=one", color=("4=#123456",))
    assert lines[3:6] == [
        r" & \multicolumn{3}{c}{First-level candidates} \\",
        r"\cmidrule(lr){2-4}",
        r"Uplink rate (Mbit/s) & a = b & one & 4 \\",
    ]
    picture = (tmp_path / "t.svg").read_text()
    assert "a = b" in picture
    assert "#123456" in picture


def test_a_series_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--legend: unknown series '3'; valid: First-level candidates = 1"):
        written(tmp_path, "3=three")


def test_what_the_entries_are_values_of_stands_once_above_them() -> None:
    figure = plot([candidates_table()], UPLINK, "e2e_mean_s", by=CANDIDATES)
    assert figure.legends[0].get_title().get_text() == "First-level candidates"
    assert sorted(legend_of(figure)) == ["1", "2", "4"]
    by_rate = plot([candidates_table()], CANDIDATES, "e2e_mean_s", by=UPLINK)
    assert by_rate.legends[0].get_title().get_text() == "Uplink rate"
    assert set(legend_of(by_rate)) == {"0.5 Mbit/s", "2 Mbit/s", "10 Mbit/s", "100 Mbit/s"}
    assert drawn().legends[0].get_title().get_text() == ""


def test_units_of_a_key_stand_once_in_the_head_of_a_table() -> None:
    lines = latex_table(candidates_table(), CANDIDATES, "e2e_mean_s", UPLINK).splitlines()
    assert lines[3] == r" & \multicolumn{4}{c}{Uplink rate (Mbit/s)} \\"
    assert lines[5] == r"First-level candidates & 0.5 & 2 & 10 & 100 \\"


def test_panels_that_are_the_series_need_no_legend() -> None:
    options = FigureOptions(legend="inside")
    figure = plot([candidates_table()], UPLINK, "e2e_mean_s", by=CANDIDATES, facet=CANDIDATES, options=options)
    assert not legend_of(figure)
    assert all(axes.get_legend() is None for axes in figure.axes)
