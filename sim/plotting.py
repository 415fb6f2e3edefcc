"""Figures and comparisons from Python: the same functions as the command line's, on pandas frames.

>>> from sim.plotting import FigureOptions, plot, read_table, save  # doctest: +SKIP
>>> figure = plot([read_table(folder)], "link.uplink_mbps", "e2e_mean_s", by="variant")  # doctest: +SKIP
"""

from __future__ import annotations

from sim.figures.compare import compare
from sim.figures.latex import latex_table
from sim.figures.options import FigureOptions
from sim.figures.plot import plot
from sim.figures.registry import FIGURES
from sim.figures.style import new_figure, save, styled
from sim.results.reading import read_table

__all__ = ["FIGURES", "FigureOptions", "compare", "latex_table", "new_figure", "plot", "read_table", "save", "styled"]
