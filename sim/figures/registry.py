"""Figures by name: those that every sweep draws, those of single scenarios, and a user's own as ``module:Name``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.core.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# (table, varied columns, size) -> figure, or None where the table has nothing for it. The table has a row per point and
# replication of a sweep, or per request of a run; the size is one of ``sim.figures.style.WIDTHS_IN`` or WIDTHxHEIGHT.
DrawFigure = Callable[..., "Figure | None"]

FIGURES: Registry[DrawFigure] = Registry("figure", "sim.figures")
