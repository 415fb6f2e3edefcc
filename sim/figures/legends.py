"""Legends: one for a whole figure above or beside its panels, in a panel, or one for each panel."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.figures.drawing import NOTE
from sim.figures.style import CHARACTER_INCHES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE_POINTS = 9.0
# Label of legends that stand above the panels.
_ABOVE = "above the panels"
# Entries of so few characters stand side by side, up to so many.
_SHORT, _MAX_SHORT = 8, 4
# Characters of a line in a legend beside the panels.
_MAX_BESIDE = 16


def place_legend(
    figure: Figure,
    panels: Sequence[Axes],
    place: str,
    columns: int,
    handle_length: float = 2.8,
    note: str = "",
    title: str = "",
) -> None:
    """One legend for the figure, and a note.

    Args:
        figure: Whose.
        panels: Where its entries come from.
        place: ``outside`` above the panels, ``inside`` the first one, ``right`` of them, or ``none``.
        columns: At most so many entries side by side above the panels.
        handle_length: Of the lines [em].
        note: What to say above the panels, wherever the legend is.
        title: What the entries are values of.
    """
    if place == "outside":
        legend_above(figure, panels, columns, handle_length, note, title)
        return
    legend_above(figure, [], columns, handle_length, note)
    entries = entries_of(panels)
    if place == "none" or not entries:
        return
    handles, labels = list(entries.values()), list(entries)
    if place == "inside":
        panels[0].legend(
            handles, labels, loc="best", handlelength=handle_length, frameon=True, framealpha=0.85, title=title or None
        )
    else:
        title = textwrap.fill(title, _MAX_BESIDE)
        figure.legend(handles, labels, loc="outside right center", handlelength=handle_length, title=title or None)


def place_title(figure: Figure, title: str | None) -> None:
    """The title of a figure on a strip of its own, above its panels and the legends and notes on top of them.

    Args:
        figure: Whose legends are placed already.
        title: Text; nothing is done if None or empty.
    """
    if not title:
        return
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    room = int(figure.get_figwidth() / (CHARACTER_INCHES["head"] * _TITLE_POINTS / 8))
    lines = [line for part in title.splitlines() for line in textwrap.wrap(part, room) or [""]]
    margin_in = 0.05
    strip_in = 2 * margin_in + len(lines) * _TITLE_POINTS * 1.25 / 72
    top = 1.0 - strip_in / figure.get_figheight()
    text = figure.suptitle(
        "\n".join(lines), fontsize=_TITLE_POINTS, y=1.0 - margin_in / figure.get_figheight(), va="top"
    )
    # The layout would give title and legend the same place.
    text.set_in_layout(False)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0.0, 0.0, 1.0, top))
    for legend in figure.legends:
        if legend.get_label() == _ABOVE:
            # An anchor of its own would take it out of the layout; its distance from the top does not.
            legend.borderaxespad += strip_in * 72 / legend.prop.get_size_in_points()


def legend_of_each(panels: Sequence[Axes], columns: int, handle_length: float, title: str = "") -> None:
    """A legend above each panel, for panels that hold different series."""
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        if labels:
            axes.legend(
                handles,
                labels,
                loc="lower left",
                bbox_to_anchor=(0.0, 1.02),
                ncols=columns,
                handlelength=handle_length,
                fontsize=6.5,
                borderaxespad=0.0,
                title=title or None,
                title_fontsize=6.5,
                alignment="left",
            )


def entries_of(panels: Sequence[Axes]) -> dict[str, Any]:
    """Handles by label, each label once."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return entries


def legend_above(
    figure: Figure,
    panels: Sequence[Axes],
    columns: int,
    handle_length: float = 2.8,
    note: str = "",
    title: str = "",
) -> None:
    """One legend for the figure, above its panels, where it covers no data.

    Args:
        figure: Whose.
        panels: Where its entries come from.
        columns: At most so many entries side by side; fewer where their names are long.
        handle_length: Of the lines [em].
        note: What to say above the entries.
        title: What the entries are values of; below the note.
    """
    entries = entries_of(panels)
    if not entries and not note:
        return
    labels = list(entries)
    if max(map(len, labels), default=0) <= _SHORT:
        columns = max(columns, _MAX_SHORT)
    columns = max(1, min(columns, max(1, len(labels))))
    note = textwrap.fill(note, int(figure.get_figwidth() / CHARACTER_INCHES["note"]))
    heads = [text for text in (note, title if entries else "") if text]
    # A title alone reads as the entries do; below a note it is part of that.
    look: dict[str, Any] = NOTE if note else {"fontsize": None, "color": "black"}
    while True:
        rows = -(-len(labels) // columns)
        # matplotlib fills column by column; people read row by row.
        order = [row * columns + column for column in range(columns) for row in range(rows)]
        order = [place for place in order if place < len(labels)]
        legend = figure.legend(
            [entries[labels[place]] for place in order],
            [labels[place] for place in order],
            loc="outside upper center",
            ncols=columns,
            handlelength=handle_length,
            title="\n".join(heads) or None,
            title_fontproperties={"size": look["fontsize"]},
        )
        legend.get_title().set_color(look["color"])
        legend.set_label(_ABOVE)
        # Its extent has an empty margin that may lie outside.
        margin = 2 * legend.borderpad * legend.prop.get_size_in_points() / 72 * figure.dpi
        if columns == 1 or legend.get_window_extent().width - margin <= figure.bbox.width:
            return
        legend.remove()
        columns -= 1
