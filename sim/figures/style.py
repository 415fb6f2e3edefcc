"""How figures look: column widths of papers, colours safe for colour-blind readers, reproducible files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, shortened, unknown_name_message

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches: the column and the page of journals and proceedings.
WIDTHS_IN = {
    "one_column": 3.5,
    "two_column": 7.16,
    "ieee1": 3.5,
    "ieee2": 7.16,
    "acm": 3.33,
    "acm2": 7.0,
    "nature": 3.504,
    "nature2": 7.205,
}

# Okabe and Ito (2008), yellow last because it is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.2, 1.2, 1.2)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2, 2)),
    (0, (9, 1.5, 2, 1.5)),
)

# What a character takes of a line, mean of a text (a panel's head, a tick's label, a note); how many ticks are enough.
CHARACTER_INCHES = {"head": 0.066, "tick": 0.062, "note": 0.055}
MAX_TICKS = 8

# Where the time goes: device orange, uplink blue, edge green, downlink purple, delays grey. Within a family the shades
# differ in lightness, and retransmissions are hatched, so that the bars read in grey as well.
PART_COLOURS = {
    "device_queue": "#8C6D1F",
    "draft_compute": "#E69F00",
    "uplink_access": "#A6D5F2",
    "uplink_air": "#0072B2",
    "uplink_retransmission": "#003B5C",
    "transport": "#9A9A9A",
    "edge_queue": "#9ADBC5",
    "verify_compute": "#009E73",
    "downlink_access": "#EBC4DA",
    "downlink_air": "#CC79A7",
    "downlink_retransmission": "#7A3F5F",
    "other": "#E3E3E3",
}
HATCHED_PARTS = ("uplink_retransmission", "downlink_retransmission")

_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": 7.5,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "legend.handletextpad": 0.5,
    "legend.borderaxespad": 0.2,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.5,
    "hatch.linewidth": 0.6,
    "figure.constrained_layout.use": True,
    # Names come from scenarios: a dollar sign in one is a dollar sign.
    "text.parse_math": False,
    "svg.hashsalt": "specran",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}

_DPI = 250
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": "SpecRAN"},
    "svg": {"Date": None, "Creator": "SpecRAN"},
}


@contextmanager
def styled(style_file: Path | None = None) -> Iterator[None]:
    """Within the block, matplotlib draws in this project's style; nothing outside is changed.

    Args:
        style_file: A matplotlib style that is put over it.

    Raises:
        InputError: The file cannot be read as a style.
    """
    import matplotlib

    settings: Any = {**_RC, **(_style_of(style_file) if style_file is not None else {})}
    with matplotlib.rc_context(settings):
        yield


def _style_of(path: Path) -> dict[str, Any]:
    import matplotlib

    try:
        _check_keys(path)
        read: Any = matplotlib.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
        return dict(read)
    except OSError as error:
        raise InputError(f"--style: cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError) as error:
        raise InputError(f"--style: {path} is no matplotlib style: {error}") from error


def _check_keys(path: Path) -> None:
    """Refuse a file with keys that matplotlib has not, which it would pass over.

    Raises:
        InputError: A line is no setting.
        OSError: The file cannot be read.
        ValueError: It is no text.
    """
    import matplotlib

    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        key, colon, _ = line.partition(":")
        if not line.strip() or key.lstrip().startswith("#"):
            continue
        if not colon:
            raise InputError(f"--style: {path}:{number}: expected KEY: VALUE of matplotlib, got {shortened(line)}")
        if key.strip() not in matplotlib.rcParams:
            unknown = unknown_name_message("setting of matplotlib", key.strip(), matplotlib.rcParams)
            raise InputError(f"--style: {path}:{number}: {unknown}")


_SIZE = re.compile(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(in|cm|mm)?")
_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}


def size_in(size: str) -> tuple[float, float | None]:
    """Width and, if it is given, height of a figure [inch].

    Raises:
        InputError: Neither a known name nor WIDTHxHEIGHT.
    """
    if size in WIDTHS_IN:
        return WIDTHS_IN[size], None
    match = _SIZE.fullmatch(size)
    if match is None:
        raise InputError(
            f"--size: {unknown_name_message('figure style', size, WIDTHS_IN)}, or WIDTHxHEIGHT such as 5x3 or 12x8cm"
        )
    scale = _INCHES[match[3] or "in"]
    width, height = float(match[1]) * scale, float(match[2]) * scale
    if not (0.5 <= width <= 60 and 0.5 <= height <= 60):
        raise InputError(f"--size: {size!r} is {width:.2g} x {height:.2g} inch; valid: 0.5 to 60 each way")
    return width, height


def new_figure(size: str, height_in: float) -> Figure:
    """An empty figure of a paper's column width, drawn without a display.

    Args:
        size: A name of ``WIDTHS_IN``, or WIDTHxHEIGHT.
        height_in: Height unless the size gives one [inch].

    Raises:
        InputError: Unknown size.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from sim.figures.shown import ShownFigure

    width, height = size_in(size)
    figure = ShownFigure(figsize=(width, height or height_in), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure; the suffix gives the format, and the same figure gives the same bytes.

    Raises:
        InputError: Unknown format.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in _METADATA:
        raise InputError(unknown_name_message("picture format", suffix, _METADATA))
    path.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        figure.savefig(path, metadata=_METADATA[suffix])
    return path


def save_all(figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("png", "pdf", "svg")) -> list[Path]:
    """Write a figure in several formats, laid out once."""
    with styled():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return [save(figure, folder / f"{name}.{suffix}") for suffix in formats]
