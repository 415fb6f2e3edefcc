"""How a figure is to look: size, labels, limits, legend, colours; and the look of each of its series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, unknown_name_message
from sim.figures.labels import entry_label, number, value_label
from sim.figures.style import COLOURS, LINES, MARKERS, size_in

LEGEND_PLACES = ("outside", "inside", "right", "none")
"""Above the panels, in the first panel where it covers least, beside the panels, or nowhere."""

_NARROW_IN = 4.5


@dataclass(frozen=True)
class FigureOptions:
    """What a reader of a paper sees of a figure, beside its data.

    Attributes:
        size: A column of a paper (``ieee1``, ``ieee2``, ``acm``, ``nature`` ...) or ``WIDTHxHEIGHT`` in inches, or with
            a unit as in ``8x5cm``.
        title: Above the figure.
        x_label, y_label: Instead of the columns' own labels.
        x_limits, y_limits: Ends of the axes; None leaves an end free.
        legend: One of ``LEGEND_PLACES``.
        order: Series that come first, in this order; the others follow in theirs.
        names: What series are called instead, by their label or by the bare value of their column, such as ``4``.
        colors: Colours, likewise; anything that matplotlib understands.
        style_file: A matplotlib style that is put over the project's own.
    """

    size: str = "ieee1"
    title: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    x_limits: tuple[float | None, float | None] = (None, None)
    y_limits: tuple[float | None, float | None] = (None, None)
    legend: str = "outside"
    order: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    colors: Mapping[str, str] = field(default_factory=dict)
    style_file: Path | None = None

    def __post_init__(self) -> None:
        from matplotlib.colors import is_color_like

        size_in(self.size)
        if self.legend not in LEGEND_PLACES:
            raise InputError(f"--legend: {unknown_name_message('place of a legend', self.legend, LEGEND_PLACES)}")
        for name, colour in self.colors.items():
            if not is_color_like(colour):
                raise InputError(f"--color {name}={colour}: not a colour; valid: names such as tab:red, or #0072B2")

    @property
    def is_narrow(self) -> bool:
        """Whether the figure fills one column of a page of two."""
        return size_in(self.size)[0] < _NARROW_IN


@dataclass(frozen=True)
class Look:
    """How one series is drawn.

    Attributes:
        colour, marker, line: As matplotlib takes them.
        label: Its entry in the legend; None for none.
    """

    colour: str
    marker: str
    line: Any
    label: str | None


def looks_of(by: str | None, series: Sequence[Any], options: FigureOptions | None = None) -> list[Look]:
    """The looks of all series; of more than eight, colours repeat with other markers and lines.

    Args:
        by: Column that makes the series, None if there is one alone.
        series: Its values.
        options: May name and colour them.

    Raises:
        InputError: A name or colour is given for a series that is none.
    """
    if by is None:
        return [Look(COLOURS[0], MARKERS[0], LINES[0], None) for _ in series]
    options = options or FigureOptions()
    looks = []
    for index, value in enumerate(series):
        turn = index // len(COLOURS)
        place = (index + turn) % len(COLOURS)
        colour = _given(options.colors, by, value) or COLOURS[index % len(COLOURS)]
        looks.append(Look(colour, MARKERS[place], LINES[place], shown_name(by, value, options)))
    return looks


def shown_name(by: str, value: Any, options: FigureOptions) -> str:
    """What a series is called in a legend or a table: the name that it was given, or its value with its unit."""
    return _given(options.names, by, value) or entry_label(by, value)


def _given(texts: Mapping[str, str], by: str, value: Any) -> str | None:
    return next((texts[name] for name in names_of(by, value) if name in texts), None)


def names_of(by: str, value: Any) -> list[str]:
    """Whatever a series may be named by: ``Row length K = 64`` or ``64``, ``5 Mbit/s`` or ``5``."""
    return list(dict.fromkeys([value_label(by, value), entry_label(by, value), number(value), str(value)]))


def split_named(text: str, known: Sequence[str]) -> tuple[str, str]:
    """The name of a series and what is said of it, from ``NAME=TEXT``; both of them may hold the sign.

    The longest known name that the text begins with is taken, or else what stands before the last sign.

    Returns:
        Name and text; the text is empty if there is none.
    """
    for name in sorted(known, key=len, reverse=True):
        if text == name or text.startswith(f"{name}="):
            return name, text[len(name) + 1 :]
    name, _, rest = text.rpartition("=")
    return (name, rest) if name else (text, "")


def ordered(by: str | None, series: Sequence[Any], options: FigureOptions) -> list[Any]:
    """Series in the order that was asked for.

    Raises:
        InputError: An option names a series that is none.
    """
    by_option = (("legend", options.order), ("legend", options.names), ("color", options.colors))
    if by is None:
        for option, given in by_option:
            for name in given:
                raise InputError(
                    f"--{option}: unknown series {name!r}: all that is drawn is one series, which has no name; "
                    "--by COLUMN makes series"
                )
        return list(series)
    labels = {name: value for value in reversed(series) for name in names_of(by, value)}
    shown = [value_label(by, value) for value in series]
    for option, given in by_option:
        for name in given:
            if name not in labels:
                raise InputError(f"--{option}: {unknown_name_message('series', name, shown)}")
    first = list(dict.fromkeys(labels[name] for name in options.order))
    return [*first, *(value for value in series if not any(value is one or value == one for one in first))]


def parse_limits(option: str, text: str | None) -> tuple[float | None, float | None]:
    """Ends of an axis from ``LOW:HIGH``, either of which may be left out.

    Raises:
        InputError: Not of this form, or not in order.
    """
    if text is None:
        return None, None
    low_text, colon, high_text = text.partition(":")
    try:
        low = float(low_text) if low_text else None
        high = float(high_text) if high_text else None
    except ValueError:
        colon = ""
        low = high = None
    if any(end is not None and not math.isfinite(end) for end in (low, high)):
        raise InputError(
            f"--{option}: the ends of an axis are finite numbers, or left out as in 0: or :10, got {text!r}"
        )
    if not colon or (low is None and high is None) or (low is not None and high is not None and low >= high):
        raise InputError(f"--{option} expects LOW:HIGH, such as 0:2.5 or :10, got {text!r}")
    return low, high
