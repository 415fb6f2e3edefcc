"""The report: one page that is whole by itself, holds the table's rows, and escapes whatever it is given."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from sim.figures.captions import caption_of
from sim.figures.rows_figure import draw_rows
from sim.figures.style import save_all, styled
from sim.figures.sweep_figures import SWEEP_FIGURES
from sim.links.base import Direction
from sim.report.page import html_table, write_report
from sim.report.results import means_with_intervals, sweep_cards
from sim.report.warnings import run_warnings, sweep_warnings, whole_rows
from tests.figures.tables import UPLINK, sweep_table

_VOID = {"meta", "link", "img", "br", "hr", "input"}
_NASTY = '<script>alert("x")</script>&'


class _Page(HTMLParser):
    """Checks nesting; gathers cells by row, references and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.references += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.rows and ("td" in self.open or "th" in self.open):
            self.rows[-1][-1] += data


def _sweep_page(folder: Path, figures: list[Path]) -> str:
    table = sweep_table()
    return write_report(
        folder,
        "a sweep",
        sweep_cards(table, [UPLINK]),
        {"Means": means_with_intervals(table, [UPLINK])},
        figures,
        "name: a sweep\n",
        {"versions": {"python": "3.11"}},
        ["only 1 replication: no interval"],
    ).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("figures")
    with styled():
        figure = draw_rows(sweep_table(), "variant", [UPLINK], "one_column")
    assert figure is not None
    return save_all(figure, folder, "rows")


@pytest.fixture(scope="module")
def page(figures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    return _sweep_page(tmp_path_factory.mktemp("report"), figures)


def test_page_is_well_formed_and_has_every_row(page: str) -> None:
    parsed = _Page(page)
    means = sweep_table().groupby([UPLINK, "variant"])["e2e_mean_s"].mean()
    rows = {(row[0], row[1]): row[2] for row in parsed.rows if len(row) > 3}
    for rate, name, mean in means.reset_index().itertuples(index=False):
        assert rows[f"{rate:g}", name] == f"{mean:.3g}"
    assert ["versions.python", "3.11"] in parsed.rows


def test_page_refers_to_nothing_outside(page: str) -> None:
    assert _Page(page).references
    assert all(reference.startswith("data:") for reference in _Page(page).references)
    for word in ("http://", "https://", "@import", "url(", "fetch(", "XMLHttpRequest", "import("):
        assert word not in page, word


def test_page_is_the_same_twice(page: str, figures: list[Path], tmp_path: Path) -> None:
    assert _sweep_page(tmp_path, figures) == page


def test_each_figure_is_shown_once(page: str) -> None:
    assert _Page(page).tags.count("figure") == 1
    assert page.count("data:image/svg+xml") == 1


def test_every_figure_that_is_drawn_by_itself_has_a_caption() -> None:
    stems = {"breakdown", "latency_ecdf", *SWEEP_FIGURES, *(f"cell_{direction}" for direction in Direction)}
    for stem in stems:
        assert caption_of(stem).endswith("."), stem


def test_everything_is_escaped(tmp_path: Path) -> None:
    text = write_report(
        tmp_path,
        _NASTY,
        [{"label": _NASTY, "value": _NASTY, "unit": _NASTY, "note": _NASTY}],
        {_NASTY: pd.DataFrame({_NASTY: [_NASTY]})},
        [],
        _NASTY,
        {_NASTY: _NASTY},
        [_NASTY],
        subtitle=_NASTY,
    ).read_text(encoding="utf-8")
    assert "alert(" in text
    assert "<script>alert" not in text
    assert _Page(text).tags.count("script") == 1


def test_cells_keep_full_precision_for_sorting(tmp_path: Path) -> None:
    frame = pd.DataFrame({"e2e_s": [0.123456789, float("nan")], "tokens": [48, 1]})
    text = write_report(tmp_path, "t", [], {"Requests": frame}, [], "", {}, []).read_text(encoding="utf-8")
    assert '<td data-value="0.123456789">0.123</td>' in text
    assert '<td data-value="">–</td>' in text


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    frame = pd.DataFrame({"tokens": range(2000)})
    text = write_report(tmp_path, "t", [], {"Requests": frame}, [], "", {}, []).read_text(encoding="utf-8")
    assert "The first 500 of 2000 rows." in text
    assert len(_Page(text).rows) == 501


def test_png_is_shown_where_there_is_no_svg(figures: list[Path], tmp_path: Path) -> None:
    pngs = [path for path in figures if path.suffix == ".png"]
    text = write_report(tmp_path, "t", [], {}, pngs, "", {}, []).read_text(encoding="utf-8")
    assert text.count("data:image/png") == len(pngs) == 1


def test_run_warnings() -> None:
    summary = {"requests": 500, "edge_utilisation": 0.97, "uplink_utilisation": 0.04}
    manifest = {"lossless": "lossy", "compute": {"device": {"draft": {"kind": "measured"}}}}
    text = run_warnings(summary, manifest)
    assert len(text) == 4
    assert text[0].startswith("lossy protocol")
    assert any("edge 97 % utilised" in line for line in text)
    assert any("offered uplink load is 4 % of capacity" in line for line in text)
    assert any("cannot be repeated" in line for line in text)


def _priced(vocab_size: int, charged: int) -> list[str]:
    manifest = {
        "models": {"target": {"vocab_size": 49152}, "draft": {"vocab_size": 49152}},
        "wire_vocab_size": charged,
        "compute": {"edge": {"target": {"model_size": {"source": "some 8B", "vocab_size": vocab_size}}}},
    }
    return run_warnings({"requests": 500}, manifest)


def test_vocabularies_that_are_far_apart_are_warned_about() -> None:
    """Priced as a model of 128,256 tokens: messages are charged for those, or the page says so."""
    (far,) = _priced(128_256, 49_152)
    assert "edge: target is priced as some 8B" in far
    assert "128,256" in far
    assert "49,152" in far
    (note,) = _priced(128_256, 128_256)
    assert note.startswith("messages are charged as of a vocabulary of 128,256 tokens")
    assert _priced(54_000, 49_152) == []  # 9.9 %
    assert len(_priced(54_100, 49_152)) == 1  # 10.1 %
    table = sweep_table().assign(vocab_size=49_152, wire_vocab_size=128_256)
    assert note in sweep_warnings(table, [UPLINK])


def test_rows_that_are_cut_to_more_entries_than_there_are_are_told_of() -> None:
    def told(**sizes: float) -> list[str]:
        lines = whole_rows(sizes)
        assert set(lines) <= set(sweep_warnings(sweep_table().assign(**sizes), [UPLINK]))
        return lines

    assert told(row_top_k=64, vocab_size=64, wire_vocab_size=64) == []
    assert told(row_top_k=65, vocab_size=64, wire_vocab_size=64) == [
        "protocol.top_k (65) is above the vocabulary of 64 tokens: rows are sent whole"
    ]
    assert told(row_top_k=65, vocab_size=8192, wire_vocab_size=64) == [
        "protocol.top_k (65) is above the 64 tokens that messages are charged for: rows are charged whole"
    ]
    assert len(told(row_top_k=65, vocab_size=64, wire_vocab_size=32)) == 2
    assert told(row_top_k=65, vocab_size=64) == told(row_top_k=65, vocab_size=64, wire_vocab_size=64)


def test_a_cell_is_warned_about_by_its_prbs() -> None:
    """An NR cell knows no utilisation in time; what it offers and uses are PRBs."""
    summary = {"requests": 500, "uplink_prb_utilisation": 0.04, "downlink_prb_utilisation": 0.99}
    idle, full = run_warnings(summary, {})[::-1]
    assert "offered uplink load is 4 % of capacity" in idle
    assert "downlink 99 % utilised" in full
    table = sweep_table().drop(columns="uplink_utilisation")
    idle = sweep_warnings(table.assign(uplink_prb_utilisation=0.04), [UPLINK])[-1]
    assert idle == "offered uplink load is 4 % of capacity at most: devices hardly contend for the air"
    assert "uplink up to 97 % utilised; 95 % or more in 36 of 36 runs" in sweep_warnings(
        table.assign(uplink_prb_utilisation=0.97), [UPLINK]
    )


def test_a_sound_run_has_no_warnings() -> None:
    summary = {"requests": 500, "edge_utilisation": 0.4, "uplink_utilisation": 0.5, "downlink_utilisation": 0.01}
    fit = {"kind": "calibrated", "median_relative_error": 0.03}
    manifest = {"lossless": "proved", "compute": {"device": {"draft": fit}}}
    assert run_warnings(summary, manifest) == []


def test_poor_fits_of_idle_sites_do_not_matter_and_shared_ones_are_told_once() -> None:
    fit = {"kind": "calibrated", "median_relative_error": 0.36}
    manifest = {"lossless": "proved", "compute": {site: {"draft": fit} for site in ("device", "edge", "cloud")}}
    summary = {"requests": 500, "edge_utilisation": 0.4, "uplink_utilisation": 0.5}
    assert run_warnings(summary, manifest) == [
        "device and edge: calibration fits the timings of the draft to 36 % only"
    ]


def test_sweep_warnings() -> None:
    table = sweep_table(replications=1)
    table["edge_utilisation"] = [0.99, *[0.1] * (len(table) - 1)]
    text = sweep_warnings(table, [UPLINK], ["cu_hlm"], num_failed=2)
    assert "2 of 14 runs failed" in text[0]
    assert "lossy protocol cu_hlm" in text[1]
    assert "only 1 replication: no interval" in text
    assert "edge up to 99 % utilised; 90 % or more in 1 of 12 runs" in text


def test_wide_intervals_are_told_with_their_place() -> None:
    table = sweep_table()
    at = (table["variant"] == "top-8") & (table[UPLINK] == 2.0)
    table.loc[at, "e2e_mean_s"] = [1.0, 2.0, 3.0]
    (text,) = sweep_warnings(table, [UPLINK])
    half = 4.302652729911275 / 3**0.5  # Student's t at 2 degrees of freedom, standard deviation 1, three values
    assert f"±{half / 2 * 100:.0f} % (at 2 Mbit/s, top-8)" in text


def test_what_was_varied_keeps_its_symbols():
    from sim.figures.labels import name_of, within_line

    assert within_line("protocol.top_k", name_of("protocol.top_k")) == "row length K"


def test_extremes_name_only_the_keys_that_change_them() -> None:
    table = sweep_table()
    notes = {card["label"]: card.get("note") for card in sweep_cards(table, [UPLINK])}
    # 20 bits take no time at any rate; a rate that matters is named.
    assert notes["Lowest mean latency"] == "edge only, any uplink rate"
    assert notes["Highest mean latency"] == "0.5 Mbit/s, full rows"


def test_objectives_are_told_of_where_there_are_some() -> None:
    table = sweep_table().assign(slo_attainment=1.0, goodput_rps=2.0)
    assert "slo_attainment" not in means_with_intervals(table, [UPLINK])
    assert "slo_attainment" in means_with_intervals(table.assign(e2e_attainment=1.0), [UPLINK])


def test_numbers_below_each_other_keep_their_zeros() -> None:
    frame = pd.DataFrame(
        {"e2e_mean_s": [2.8, 2.42, 14.0], "requests": [8.0, 9.0, 10.0], "link.rate_hz": [0.5, 4.0, 1.0]}
    )
    text = html_table(frame)
    assert [f">{shown}</td>" in text for shown in ("2.80", "14.0", "8", "0.5", "4")] == [True] * 5
