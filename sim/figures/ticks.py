"""Ticks and units of axes: plain numbers that do not touch, at the simulated values where these are few."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.figures.labels import alike, tick_text
from sim.figures.style import MAX_TICKS

# An axis that reaches so far counts in thousands, by a prefix of its unit or by k and M behind its numbers.
_THOUSANDS = 10_000
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_PREFIXED = re.compile(r"\((?=(?:bit|Hz))")


def set_ticks(axis: Any, values: npt.ArrayLike, log: bool, is_key: bool = False) -> None:
    """Plain numbers on the ticks of an axis, and a prefix in its label where it reaches so far.

    Args:
        axis: Whose label is set already.
        values: What is drawn along it.
        log: Whether it is logarithmic.
        is_key: Whether the values were chosen, so that ticks belong at them if they are few.
    """
    from matplotlib.ticker import FixedLocator

    from sim.figures.tick_locators import AtValues

    if isinstance(axis.get_major_locator(), FixedLocator):
        return  # names, or numbers of a figure's own
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    is_whole = bool(len(finite)) and bool((finite == np.round(finite)).all())
    if log:
        log_axis(axis, finite)
    else:
        _linear_axis(axis, finite, is_key and is_whole)
    chosen = np.unique(finite)
    if is_key and 0 < len(chosen) <= MAX_TICKS and (not log or chosen[0] > 0):
        axis.set_major_locator(AtValues(chosen, axis.get_major_formatter(), axis.get_major_locator()))


def _linear_axis(axis: Any, finite: npt.NDArray[np.float64], only_whole: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    from sim.figures.tick_locators import Plain

    largest = float(np.abs(finite).max()) if len(finite) else 0.0
    scale, prefix = next(((size, name) for size, name in _PREFIXES if largest >= size), (1.0, ""))
    label = axis.get_label_text()
    if largest >= _THOUSANDS and _PREFIXED.search(label):
        axis.set_label_text(_PREFIXED.sub(f"({prefix}", label))
        axis.set_major_formatter(Plain(scale))
    else:
        axis.set_major_formatter(Plain(1.0, largest >= _THOUSANDS))
    axis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=only_whole))


def label_axis(axis: Any, text: str) -> None:
    """Give an axis another label; a unit in it gets the prefix in which the axis counts."""
    from sim.figures.tick_locators import Plain

    formatter = axis.get_major_formatter()
    scale = formatter.scale if isinstance(formatter, Plain) else 1.0
    prefix = next((name for size, name in _PREFIXES if scale == size), "")
    axis.set_label_text(_PREFIXED.sub(f"({prefix}", text))


def log_axis(axis: Any, values: npt.ArrayLike) -> None:
    """Put plain numbers on the ticks of a logarithmic axis, as many as it has room for when it is drawn."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from sim.figures.tick_locators import RoundNumbers

    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite) & (finite > 0)]
    in_thousands = bool(len(finite)) and finite.max() >= _THOUSANDS
    axis.set_major_locator(RoundNumbers(finite, in_thousands))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(float(value), in_thousands)))
    axis.set_minor_formatter(NullFormatter())


def texts_beside(axis: Any, values: Sequence[float]) -> list[str]:
    """Numbers beside marks, counted as the axis counts: over its prefix, or with k and M."""
    from sim.figures.tick_locators import Plain

    formatter = axis.get_major_formatter()
    scale = formatter.scale if isinstance(formatter, Plain) else 1.0
    if scale == 1.0 and max(values, default=0.0) >= _THOUSANDS:
        return [tick_text(float(f"{value:.3g}"), in_thousands=True) for value in values]
    return alike([value / scale for value in values])
