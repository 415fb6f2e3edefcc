"""Where the ticks of an axis stand and how their numbers are written, settled when the axis is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import Formatter, Locator, LogLocator

from sim.figures.labels import number, tick_text
from sim.figures.style import CHARACTER_INCHES, MAX_TICKS

# Numbers of a decade that are labelled, most of them first, and what a label takes of an axis.
_TICKS = (tuple(float(digit) for digit in range(1, 10)), (1.0, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,))
_TICK_INCHES = {"x": 0.38, "y": 0.16}
_TICK_HEIGHT_INCHES = 0.1
# What is left between the labels of two values.
_GAP_INCHES = 0.06


class Plain(Formatter):
    """Numbers of one axis with decimals alike, over a scale, or with k and M."""

    def __init__(self, scale: float, in_thousands: bool = False) -> None:
        self.scale, self._in_thousands, self._decimals = scale, in_thousands, 0

    def set_locs(self, locs: Any) -> None:
        """Take as many decimals as the tick with most of them."""
        texts = [f"{value / self.scale:.6g}" for value in locs]
        self._decimals = max((len(text.partition(".")[2]) for text in texts if "e" not in text), default=0)

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002
        """The number at a tick."""
        if self._in_thousands:
            return tick_text(float(x), in_thousands=True)
        return f"{x / self.scale:,.{self._decimals}f}".replace("-", "\u2212")

    def alone(self, value: float) -> str:
        """A number by itself, with no more decimals than it has."""
        return tick_text(value, in_thousands=True) if self._in_thousands else number(value / self.scale)


class AtValues(Locator):
    """Ticks at the simulated values that are in view, as many as their labels leave room for, both ends first."""

    def __init__(self, values: npt.NDArray[np.float64], formatter: Any, otherwise: Any) -> None:
        self._values, self._formatter, self._otherwise = values, formatter, otherwise

    def __call__(self) -> Any:
        """Where the ticks stand; elsewhere in view, where the limits leave out the values."""
        axis: Any = self.axis
        low, high = sorted(axis.get_view_interval())
        inside = [float(value) for value in self._values if low <= value <= high]
        if len(inside) < min(2, len(self._values)):
            self._otherwise.set_axis(axis)
            return self._otherwise()
        return self._apart(inside)

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """All values between two limits."""
        return [value for value in self._values if vmin <= value <= vmax]

    def _apart(self, values: list[float]) -> list[float]:
        axis: Any = self.axis
        is_x = axis.axis_name == "x"
        box = axis.axes.get_window_extent()
        inches = (box.width if is_x else box.height) / axis.axes.figure.dpi
        ends = np.asarray(axis.get_transform().transform(np.array(sorted(axis.get_view_interval()))), dtype=float)
        places = np.asarray(axis.get_transform().transform(np.array(values)), dtype=float)
        places = (places - ends[0]) / max(ends[1] - ends[0], 1e-300) * inches
        letter = CHARACTER_INCHES["tick"]
        widths = [len(self._text(value)) * letter if is_x else _TICK_HEIGHT_INCHES for value in values]

        def fits(one: int, other: int) -> bool:
            return bool(abs(places[other] - places[one]) >= (widths[one] + widths[other]) / 2 + _GAP_INCHES)

        kept = [0]
        for place in range(1, len(values)):
            if fits(kept[-1], place):
                kept.append(place)
        last = len(values) - 1
        if kept[-1] != last:
            while len(kept) > 1 and not fits(kept[-1], last):
                kept.pop()
            if fits(kept[-1], last):
                kept.append(last)
        return [values[place] for place in kept]

    def _text(self, value: float) -> str:
        formatter = self._formatter
        return formatter.alone(value) if isinstance(formatter, Plain) else str(formatter(value, 0))


class RoundNumbers(LogLocator):
    """Round numbers of each decade, as many as the axis has room to label without crowding."""

    def __init__(self, finite: npt.NDArray[np.float64], in_thousands: bool) -> None:
        super().__init__(base=10, subs=(1.0,), numticks=20)
        self._decades = float(np.log10(finite.max() / finite.min())) if len(finite) else 3.0
        self._longest = max((len(tick_text(end, in_thousands)) for end in _ends(finite)), default=0)

    def __call__(self) -> Any:
        """Where the ticks stand."""
        inches = self._longest * CHARACTER_INCHES["tick"]
        self.set_params(subs=_ticks_per_decade(self.axis, self._decades, inches))
        return super().__call__()


def _ends(values: npt.NDArray[np.float64]) -> list[float]:
    """One digit of the least and of the largest value, as ticks have."""
    return [float(f"{end:.0e}") for end in (values.min(), values.max())] if len(values) else []


def _ticks_per_decade(axis: Any, decades: float, label_inches: float) -> tuple[float, ...]:
    """As many of a decade's round numbers as the axis has room to label without crowding, the closest two included."""
    box = axis.axes.get_window_extent()
    is_x = axis.axis_name == "x"
    inches = (box.width if is_x else box.height) / axis.axes.figure.dpi
    room = inches / _TICK_INCHES[axis.axis_name]
    per_decade = inches / max(decades, 0.3)
    for subs in _TICKS:
        closest = min(np.diff(np.log10([*subs, 10.0]))) * per_decade
        fits = closest >= (label_inches if is_x else _TICK_HEIGHT_INCHES)
        if fits and len(subs) * max(decades, 0.3) <= min(room, MAX_TICKS):
            return subs
    return _TICKS[-1]
