"""The picture of an NR cell: who stands where at what SNR, and who is on which PRBs in which slot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from sim.core.errors import RunError
from sim.figures.style import COLOURS, new_figure, save_all, styled
from sim.links.base import Direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sim.links.base import Link
    from sim.links.nr import NrLink
    from sim.links.nr.records import BlockRecord

_MAX_NAMED = 8
_HEIGHT_IN = 3.1
_PALE = 0.4
_LOST_HATCH = "xxxx"
_LABEL_POINTS = 8.0
_OTHER_WAY = "#F0F0F0"
# Those of series without black, whose pale blocks would be the grey of the legend.
_DEVICE_COLOURS = (*(colour for colour in COLOURS if colour != "#000000"), "#882255")
# A stretch that is used in fewer slots is shown as long as it is used, but not below so many.
_MIN_SLOTS = 12


def draw_link(link: Link, folder: Path) -> list[Path]:
    """Pictures of whatever a link has recorded: none but of an NR cell with ``record_slots``, one per direction."""
    directions = {row["direction"] for row in link.slots()}
    files: list[Path] = []
    for direction in (direction for direction in Direction if str(direction) in directions):
        files += draw_cell(cast("NrLink", link), folder, direction)
    return files


def draw_cell(
    link: NrLink,
    folder: Path,
    direction: Direction = Direction.UPLINK,
    first_slot: int | None = None,
    num_slots: int = 60,
    cell: int = 0,
    style: str = "two_column",
) -> list[Path]:
    """Draw map and PRB grid of a finished run into ``folder``.

    Args:
        link: A link that ran with ``record_slots``.
        folder: Made if it is missing.
        direction: Direction whose blocks are shown.
        first_slot: First slot shown; if left out, that of the stretch in which most PRBs were used.
        num_slots: Slots shown; fewer where the last of them are empty and ``first_slot`` is left out.
        cell: Whose PRBs.
        style: ``one_column`` or ``two_column``.

    Returns:
        The files, PNG, PDF and SVG.

    Raises:
        RunError: Nothing was recorded.
    """
    with styled():
        return save_all(cell_figure(link, direction, first_slot, num_slots, cell, style), folder, f"cell_{direction}")


@styled()
def cell_figure(
    link: NrLink,
    direction: Direction = Direction.UPLINK,
    first_slot: int | None = None,
    num_slots: int = 60,
    cell: int = 0,
    style: str = "two_column",
) -> Figure:
    """The figure of ``draw_cell``, not saved."""
    records = link.network.records
    blocks = [r for r in records.blocks if r.direction == direction and r.cell == cell] if records else []
    if not blocks:
        raise RunError(f"no {direction} blocks of cell {cell} were recorded; set link.record_slots: true")
    start = _busiest(blocks, num_slots) if first_slot is None else first_slot
    shown = [block for block in blocks if start <= block.slot < start + num_slots]
    if first_slot is None:
        num_slots = min(num_slots, max(_MIN_SLOTS, shown[-1].slot + 2 - start))
    figure = new_figure(style, _HEIGHT_IN if style == "two_column" else 2 * _HEIGHT_IN)
    grid_axes: Axes
    if link.network.channel is None:
        grid_axes = figure.add_subplot()
    elif style == "two_column":
        map_axes, grid_axes = figure.subplots(1, 2, width_ratios=(1, 1.75))
        _draw_map(figure, map_axes, link, direction, start)
    else:
        map_axes, grid_axes = figure.subplots(2, 1)
        _draw_map(figure, map_axes, link, direction, start)
    _draw_grid(figure, grid_axes, link, direction, (start, num_slots), shown, style)
    return figure


def _busiest(blocks: list[BlockRecord], num_slots: int) -> int:
    """First slot of the earliest stretch of ``num_slots`` slots that used most PRBs; it opens with a block."""
    slots = np.array([block.slot for block in blocks])
    used = np.concatenate(([0], np.cumsum([block.num_prb for block in blocks])))
    ends = np.searchsorted(slots, slots + num_slots, side="left")
    starts = np.searchsorted(slots, slots, side="left")
    return int(slots[(used[ends] - used[starts]).argmax()])


def colours_of(devices: Sequence[int]) -> dict[int, str]:
    """A colour per device: its own in every picture, unless two of few would share one."""
    own = {device: _DEVICE_COLOURS[device % len(_DEVICE_COLOURS)] for device in devices}
    if len(set(own.values())) == len(own) or not _fits(devices):
        return own
    return dict(zip(sorted(devices), _DEVICE_COLOURS, strict=False))


def _draw_map(figure: Figure, axes: Axes, link: NrLink, direction: Direction, slot: int) -> None:
    """Devices coloured by mean SNR, sites as triangles with their hexagons."""
    from matplotlib.patches import RegularPolygon

    channel = link.network.channel
    assert channel is not None
    positions = channel.positions_m(slot)
    if channel.fixed_snr_db is None:
        for x, y in channel.layout.site_positions_m():
            hexagon = RegularPolygon((x, y), 6, radius=channel.layout.cell_radius_m, fill=False, ec="#999999", lw=0.7)
            axes.add_patch(hexagon)
            axes.plot(x, y, marker="^", color="black", ms=6, ls="none", zorder=3)
    snr_db = channel.mean_snr_db(direction)
    dots = axes.scatter(positions[:, 0], positions[:, 1], c=snr_db, cmap="viridis", s=26, ec="black", lw=0.5, zorder=4)
    if len(positions) <= 2 * _MAX_NAMED:
        for device, (place, offset) in enumerate(zip(positions, _away_from_nearest(positions), strict=True)):
            axes.annotate(
                str(device), place, xytext=offset, textcoords="offset points", fontsize=7, ha="center", va="center",
                color="black", zorder=5,
            )  # fmt: skip
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.set_xlabel("x (m)")
    axes.set_ylabel("y (m)")
    bar = figure.colorbar(dots, ax=axes, location="right", shrink=0.85, aspect=28)
    bar.set_label(f"Mean {direction} SNR per PRB (dB)")
    bar.outline.set_visible(False)


def _away_from_nearest(positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Offsets of labels in points: off each dot on the side away from its nearest neighbour. [num_devices, 2]."""
    offsets = positions[:, None] - positions
    lengths = np.linalg.norm(offsets, axis=2)
    np.fill_diagonal(lengths, np.inf)
    nearest = lengths.argmin(axis=1)
    rows = np.arange(len(positions))
    towards, length = offsets[rows, nearest], lengths[rows, nearest]
    is_fallback = ~np.isfinite(length) | (length == 0)
    length[is_fallback] = 1.0
    return np.asarray(np.where(is_fallback[:, None], (1.0, 0.0), towards / length[:, None]) * _LABEL_POINTS)


def _draw_grid(
    figure: Figure,
    axes: Axes,
    link: NrLink,
    direction: Direction,
    slots: tuple[int, int],
    shown: list[BlockRecord],
    style: str,
) -> None:
    """A rectangle per block and run of PRBs: colour by device, hatched if sent again, pale and crossed if lost."""
    from matplotlib.patches import Patch, Rectangle
    from matplotlib.ticker import MaxNLocator

    carrier = link.network.carrier
    start, num_slots = slots
    for slot in range(start, start + num_slots):
        if not carrier.data_symbols(direction, slot):
            axes.axvspan(slot, slot + 1, color=_OTHER_WAY, lw=0, zorder=0)
    devices = sorted({record.device for record in shown})
    colours = colours_of(devices)
    for record, (low, high) in _placed(shown, carrier.group_sizes.tolist()):
        face = colours[record.device]
        hatch = ("////" if record.attempt else "") + ("" if record.received else _LOST_HATCH)
        alpha = 1.0 if record.received else _PALE
        block = Rectangle(
            (record.slot, low), 1, high - low, fc=face, ec="white", lw=0.3, hatch=hatch or None, alpha=alpha
        )
        axes.add_patch(block)
    axes.set_xlim(start, start + num_slots)
    axes.set_ylim(0, carrier.num_prb)
    axes.grid(False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
    axes.set_xlabel(f"Slot ({carrier.slot_ns / 1e6:g} ms each)")
    axes.set_ylabel("PRB")
    handles = [Patch(fc=colours[d], ec="white", label=f"device {d}") for d in devices] if _fits(devices) else []
    handles.append(Patch(fc="#BBBBBB", ec="white", hatch="////", label="retransmission"))
    handles.append(Patch(fc="#777777", ec="white", hatch=_LOST_HATCH, alpha=_PALE, label="not decoded"))
    if carrier.data_fraction(direction) < 1:
        handles.append(Patch(fc=_OTHER_WAY, ec="#CCCCCC", lw=0.5, label=f"no {direction}"))
    columns = 6 if style == "two_column" else 3
    figure.legend(handles=handles, loc="outside upper right", ncols=columns, handlelength=1.3)


def _fits(devices: Sequence[int]) -> bool:
    return len(devices) <= _MAX_NAMED


def _placed(records: list[BlockRecord], group_sizes: list[int]) -> list[tuple[BlockRecord, tuple[float, float]]]:
    """Runs of PRBs of each block; blocks that share a group are stacked in it in the order of their records."""
    starts = np.concatenate(([0], np.cumsum(group_sizes)))
    used: dict[tuple[int, int], int] = {}
    placed: list[tuple[BlockRecord, tuple[float, float]]] = []
    for record in records:
        run: tuple[float, float] | None = None
        for group, count in enumerate(record.prbs_per_group):
            if not count:
                continue
            key = record.slot, group
            low = float(starts[group] + used.get(key, 0))
            used[key] = used.get(key, 0) + count
            if run is not None and run[1] == low:
                run = (run[0], low + count)
                continue
            if run is not None:
                placed.append((record, run))
            run = (low, low + count)
        if run is not None:
            placed.append((record, run))
    return placed
