"""Legends: one for a whole figure above or beside its panels, in a panel, or one for each panel."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.figures.drawing import CHARACTER_INCHES, NOTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def place_legend(
    figure: Figure, panels: Sequence[Axes], place: str, columns: int, handle_length: float = 2.8, note: str = ""
) -> None:
    """One legend for the figure, and a note.

    Args:
        figure: Whose.
        panels: Where its entries come from.
        place: ``outside`` above the panels, ``inside`` the first one, ``right`` of them, or ``none``.
        columns: At most so many entries side by side above the panels.
        handle_length: Of the lines [em].
        note: What to say above the panels, wherever the legend is.
    """
    if place == "outside":
        legend_above(figure, panels, columns, handle_length, note)
        return
    legend_above(figure, [], columns, handle_length, note)
    entries = entries_of(panels)
    if place == "none" or not entries:
        return
    handles, labels = list(entries.values()), list(entries)
    if place == "inside":
        panels[0].legend(handles, labels, loc="best", handlelength=handle_length, frameon=True, framealpha=0.85)
    else:
        figure.legend(handles, labels, loc="outside right center", handlelength=handle_length)


def legend_of_each(panels: Sequence[Axes], columns: int, handle_length: float) -> None:
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
            )


def entries_of(panels: Sequence[Axes]) -> dict[str, Any]:
    """Handles by label, each label once."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return entries


def legend_above(
    figure: Figure, panels: Sequence[Axes], columns: int, handle_length: float = 2.8, note: str = ""
) -> None:
    """One legend for the figure, above its panels, where it covers no data.

    Args:
        figure: Whose.
        panels: Where its entries come from.
        columns: At most so many entries side by side; fewer where their names are long.
        handle_length: Of the lines [em].
        note: What to say above the entries.
    """
    entries = entries_of(panels)
    if not entries and not note:
        return
    labels = list(entries)
    columns = max(1, min(columns, max(1, len(labels))))
    note = textwrap.fill(note, int(figure.get_figwidth() / CHARACTER_INCHES["note"]))
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
            title=note or None,
            title_fontproperties={"size": NOTE["fontsize"]},
        )
        legend.get_title().set_color(NOTE["color"])
        # Its extent has an empty margin that may lie outside.
        margin = 2 * legend.borderpad * legend.prop.get_size_in_points() / 72 * figure.dpi
        if columns == 1 or legend.get_window_extent().width - margin <= figure.bbox.width:
            return
        legend.remove()
        columns -= 1
