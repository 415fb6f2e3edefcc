"""Ticks stand at what was simulated, count in readable units, and no text of a figure is cut off or covers another."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from sim.figures.cell import cell_figure
from sim.figures.labels import alike
from sim.figures.options import FigureOptions
from sim.figures.plot import plot
from sim.figures.servers import _over_time
from sim.figures.style import styled
from sim.figures.sweep_figures import breakdown, rows
from sim.links.base import Direction
from tests.figures.tables import UPLINK, sweep_table

LONG = {"full rows": "full rows of all 49,152 tokens of the vocabulary", "top-8": "the eight best of each row"}


def shown_ticks(figure: Figure, which: str = "x", panel: int = 0) -> list[str]:
    """Texts at the ticks of an axis that are in view."""
    figure.canvas.draw()
    axis = getattr(figure.axes[panel], f"{which}axis")
    low, high = sorted(axis.get_view_interval())
    span = 1e-9 * (high - low)
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return [label.get_text() for place, label in ticks if low - span <= place <= high + span]


def texts_in(figure: Figure) -> list[Text]:
    figure.canvas.draw()
    found = figure.findobj(lambda item: isinstance(item, Text) and item.get_visible() and bool(item.get_text().strip()))
    return [text for text in found if isinstance(text, Text)]


def assert_all_within(figure: Figure) -> None:
    figure.canvas.draw()
    for axes in figure.axes:
        seen = []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            seen += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        for text in [*seen, axes.xaxis.label, axes.yaxis.label, *axes.texts]:
            box = text.get_window_extent()
            if text.get_text() and text.get_visible():
                assert box.x0 >= -1, text
                assert box.x1 <= figure.bbox.width + 1, text
                assert box.y0 >= -1, text
                assert box.y1 <= figure.bbox.height + 1, text


@pytest.mark.parametrize(
    ("rates", "log", "expected"),
    [
        ((5.0, 10.0, 20.0), False, ["5", "10", "20"]),
        ((5.0, 10.0, 20.0), True, ["5", "10", "20"]),
        ((0.03, 0.1, 1.0), True, ["0.03", "0.1", "1"]),
        ((0.5, 4.0), False, ["0.5", "4.0"]),
    ],
)
def test_ticks_stand_at_the_values_that_were_simulated(
    rates: tuple[float, ...], log: bool, expected: list[str]
) -> None:
    figure = plot([sweep_table(2, rates)], UPLINK, "e2e_mean_s", log_x=log)
    assert shown_ticks(figure) == expected
    assert not [label for label in figure.axes[0].get_xticklabels(minor=True) if label.get_text()]


def test_values_too_close_for_their_labels_keep_both_ends() -> None:
    figure = plot([sweep_table(2, (1.0, 1.5, 2.0, 98.0, 99.0, 100.0))], UPLINK, "e2e_mean_s", log_x=False)
    texts = shown_ticks(figure)
    assert (texts[0], texts[-1]) == ("1", "100")
    assert len(texts) == 2


def test_a_key_of_many_whole_numbers_has_whole_ticks() -> None:
    table = sweep_table(2, tuple(map(float, range(1, 11)))).rename(columns={UPLINK: "protocol.candidates"})
    texts = shown_ticks(plot([table], "protocol.candidates", "e2e_mean_s"))
    assert len(texts) > 2
    assert all(text.isdigit() for text in texts)


def test_limits_of_ones_own_beside_the_values_have_ticks_all_the_same() -> None:
    options = FigureOptions(x_limits=(6.0, 9.0))
    figure = plot([sweep_table(2, (5.0, 10.0, 20.0))], UPLINK, "e2e_mean_s", log_x=False, options=options)
    assert len(shown_ticks(figure)) > 2


@pytest.mark.parametrize(
    ("column", "scale", "label", "ticks"),
    [
        ("uplink_throughput_bps", 1e7, "Uplink throughput (Mbit/s)", "0 5 10 15 20"),
        ("uplink_bits_per_token", 2e5, "Uplink payload (kbit/token)", "0 100 200 300"),
        ("tokens", 2e4, "Tokens", "0 10k 20k 30k"),
        ("uplink_bits_per_token", 2e3, "Uplink payload (bit/token)", "0 1,000 2,000 3,000"),
    ],
)
def test_large_numbers_count_in_a_prefix(column: str, scale: float, label: str, ticks: str) -> None:
    table = sweep_table(2).assign(variant="one")
    table[column] = scale * np.linspace(1.5, 1.6, len(table))
    figure = plot([table], UPLINK, column)
    texts = shown_ticks(figure, "y")
    assert figure.axes[0].get_ylabel().replace("\n", " ") == label
    assert set(ticks.split()) & set(texts)
    assert all(len(text) <= 5 for text in texts)
    own = plot([table], UPLINK, column, options=FigureOptions(y_label="Rate (bit/s)"))
    assert own.axes[0].get_ylabel() == f"Rate ({'M' if scale > 1e6 else 'k' if scale > 1e5 else ''}bit/s)"


def test_a_label_longer_than_its_axis_is_broken_with_its_unit_whole() -> None:
    table = sweep_table(2).assign(uplink_background_bits_per_accepted_token=1.0)
    figure = plot([table], UPLINK, "uplink_background_bits_per_accepted_token", options=FigureOptions(size="3x1.6in"))
    figure.canvas.draw()
    axes = figure.axes[0]
    assert axes.get_ylabel().count("\n") >= 1
    assert "(bit/accepted\u00a0token)" in axes.get_ylabel()
    assert_all_within(figure)


def test_bars_of_long_names_keep_their_texts_apart_and_within() -> None:
    table = sweep_table(2).replace({"variant": LONG})
    figure = breakdown(table, [UPLINK])
    assert_all_within(figure)
    titles = [text for text in texts_in(figure) if text.get_text().startswith(("Uplink rate", "means"))]
    boxes = [text.get_window_extent() for text in titles]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert figure.legends[0].get_title().get_text() == "means of n = 2"


def test_bars_end_in_numbers_with_decimals_alike() -> None:
    table = sweep_table(2).assign(verify_compute_mean_s=1.0)
    table.loc[table["variant"] == "top-8", "verify_compute_mean_s"] = 0.3
    for axes in breakdown(table, [UPLINK]).axes:
        totals = [text.get_text() for text in axes.texts]
        assert {len(text.removesuffix(" s").partition(".")[2]) for text in totals} == {2}, totals


def test_what_rows_cost_fits_beside_long_names() -> None:
    figure = rows(sweep_table(2).replace({"variant": LONG}), [UPLINK])
    assert figure is not None
    assert_all_within(figure)
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    assert not boxes[0].overlaps(boxes[1])
    assert figure.axes[1].get_xlabel() == "Uplink payload\n(bit/token)"  # by a logarithm, with k on its ticks


def test_rows_that_cost_all_variants_the_same_are_no_figure() -> None:
    table = sweep_table(2).assign(acceptance_rate=0.4, uplink_bits_per_token=1e6)
    assert rows(table, [UPLINK]) is None
    table.loc[table["variant"] == "top-8", "acceptance_rate"] = 0.3
    assert rows(table, [UPLINK]) is not None


def test_whiskers_below_zero_are_not_cut() -> None:
    table = sweep_table(3)
    table["e2e_mean_s"] = table["replication"].map({0: 0.1, 1: 0.1, 2: 4.0})
    axes = plot([table], "variant", "e2e_mean_s", where={UPLINK: ["2"]}, log_y=False).axes[0]
    low = min(segment[:, 1].min() for one in axes.containers for bar in one.lines[2] for segment in bar.get_segments())
    assert axes.get_ylim()[0] < low < 0


def test_marks_of_a_pareto_figure_have_intervals_and_sizes_by_the_other_key() -> None:
    figure = plot([sweep_table(3, (0.5, 2.0, 10.0))], "uplink_bits_per_token", "e2e_mean_s", kind="pareto")
    axes = figure.axes[0]
    assert all(one.has_yerr for one in axes.containers)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {f"Uplink rate {rate} Mbit/s" for rate in ("0.5", "2", "10")} < set(labels)
    sizes = {one.lines[0].get_markersize() for one in axes.containers}
    assert len(sizes) == 3
    # Payload and latency are least for one scheme: its points are the front, a point of one condition no line.
    alone = plot([sweep_table(3, (0.5,))], "uplink_bits_per_token", "e2e_mean_s", kind="pareto")
    (entry,) = (one for one in alone.axes[0].lines if one.get_label() == "filled: Pareto front")
    assert entry.get_linestyle() == "None"


@pytest.mark.parametrize("count", [1, 2])
def test_lines_of_the_servers_differ_and_each_panel_says_which(count: int) -> None:
    names = [f"edge-{place}" for place in range(count)]
    seconds = pd.DataFrame(
        [
            {"server": name, "time_s": second, "running": 1.0, "waiting": 2.0, "kv_share": 0.1, "utilisation": 0.5}
            for name in names
            for second in range(4)
        ]
    )
    with styled():
        figure = _over_time(seconds, "one_column")
    assert all(axes.get_legend() is not None for axes in figure.axes)
    looks = [(line.get_color(), str(line.get_linestyle())) for axes in figure.axes for line in axes.lines]
    assert len(set(looks[: 2 * count])) == 2 * count
    assert count > 1 or len({colour for colour, _ in looks}) == 4


def link_of(slots: list[int], num_prb: int = 4) -> Any:
    """As much of a cell as its picture needs."""
    blocks = [
        SimpleNamespace(
            direction="downlink",
            cell=0,
            slot=slot,
            device=9,
            num_prb=num_prb,
            prbs_per_group=[num_prb],
            attempt=0,
            received=True,
        )
        for slot in slots
    ]
    carrier = SimpleNamespace(
        data_symbols=lambda direction, slot: 12,
        data_fraction=lambda direction: 1.0,
        group_sizes=np.array([num_prb]),
        num_prb=num_prb,
        slot_ns=250_000,
    )
    network = SimpleNamespace(records=SimpleNamespace(blocks=blocks), channel=None, carrier=carrier)
    return SimpleNamespace(network=network)


@pytest.mark.parametrize(("slots", "width"), [([700, 702], 12), ([700, 730], 32), (list(range(700, 790)), 60)])
def test_a_cell_shows_no_empty_stretch_behind_its_blocks(slots: list[int], width: int) -> None:
    axes = cell_figure(link_of(slots), Direction.DOWNLINK).axes[0]
    assert axes.get_xlim() == (700, 700 + width)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([2.8, 2.42, 2.16], ["2.80", "2.42", "2.16"]),
        ([14.0, 9.69], ["14.0", "9.7"]),
        ([1.0, 0.424], ["1.00", "0.42"]),
        ([1.5, 2000.4], ["1.50", "2,000"]),
        ([5.0, 20.0], ["5", "20"]),
        ([float("nan"), 0.5], ["nan", "0.500"]),
        ([], []),
    ],
)
def test_numbers_below_each_other_have_digits_alike(values: list[float], texts: list[str]) -> None:
    assert alike(values) == texts
