"""A figure that a notebook shows by itself, without a plotting backend of its own."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A matplotlib figure whose last line in a notebook's cell is its picture."""

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png", metadata={"Software": None})
        return picture.getvalue()
