"""A matplotlib figure that fits its labels to its axes, and that a notebook shows by itself."""

from __future__ import annotations

import textwrap
from io import BytesIO
from typing import Any

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure whose last line in a notebook's cell is its picture.

    When it is drawn first, it is laid out until its ticks stand still, and labels that are longer than their axes are
    broken into lines.
    """

    _is_fitted = False

    def draw(self, renderer: Any) -> None:
        """Draw it, fitted to its labels."""
        if not self._is_fitted:
            self._is_fitted = True
            self._fit(renderer)
        super().draw(renderer)

    def _fit(self, renderer: Any) -> None:
        engine = self.get_layout_engine()
        if engine is None:
            return
        # How many ticks there are depends on the room, and the room on the labels of the ticks.
        engine.execute(self)
        if break_labels(self, renderer):
            engine.execute(self)

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png", metadata={"Software": None})
        return picture.getvalue()


def break_labels(figure: Figure, renderer: Any) -> bool:
    """Break labels that are longer than their axes, units kept whole; returns whether there were any."""
    found = False
    for axes in figure.axes:
        box = axes.get_window_extent()
        labelled = [other for other in figure.axes if other is not axes and other.get_xlabel()]
        beside = [other.get_window_extent() for other in labelled]
        is_alone = not any(other.y0 < box.y1 and box.y0 < other.y1 for other in beside)
        centre = (box.x0 + box.x1) / 2
        width = 2 * min(centre, figure.bbox.width - centre) if is_alone else box.width
        for axis, room in ((axes.xaxis, width), (axes.yaxis, box.height)):
            label, text = axis.label, axis.get_label_text()
            extent = label.get_window_extent(renderer)
            length = extent.width if axis.axis_name == "x" else extent.height
            if text and length > room and "\n" not in text:
                unit = text[text.rfind(" (") :] if text.endswith(")") and " (" in text else ""
                kept = text.removesuffix(unit) + unit.replace(" ", "\u00a0").replace("\u00a0(", " (", 1)
                label.set_text(textwrap.fill(kept, max(8, int(len(text) * room / length)), break_long_words=False))
                found = True
    return found
