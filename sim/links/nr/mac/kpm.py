"""Measurement reports of the cells: counters by period, named as in TS 28.552, and the controller that acts on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim.core.clock import NS_PER_S
from sim.core.errors import RunError
from sim.links.base import Direction
from sim.links.nr.mac.xapps.base import Indication, XApp
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.carrier import Carrier

Array = npt.NDArray[np.float64]
_SHORT = {Direction.UPLINK: "Ul", Direction.DOWNLINK: "Dl"}
_INITIAL = {Direction.UPLINK: "TB.TotNbrUlInit", Direction.DOWNLINK: "TB.TotNbrDlInitial"}
_INITIAL_ERRORS = {Direction.UPLINK: "TB.ErrNbrUlInitial", Direction.DOWNLINK: "TB.IntialErrNbrDl"}
"""TS 28.552 5.1.1.7.7 and 5.1.1.7.2, spelled as there."""


class _Counts:
    """What one direction has done in a period, by cell and by device."""

    def __init__(self, num_cells: int, num_devices: int) -> None:
        self.prb, self.blocks, self.errors, self.residual, self.bits = np.zeros((5, num_cells))
        self.first, self.first_errors = np.zeros((2, num_cells))
        self.burst_bits, self.burst_slots = np.zeros((2, num_cells))
        self.device_prb, self.device_bits = np.zeros((2, num_devices))

    def add(self, block: TransportBlock, is_last: bool) -> int:
        """Count a transmission, its outcome being known to the simulation; returns the bits of data received."""
        cell, failed = block.cell, not block.received
        self.prb[cell] += block.num_prb
        self.blocks[cell] += 1
        self.errors[cell] += failed
        self.residual[cell] += failed and is_last
        if not block.attempt:
            self.first[cell] += 1
            self.first_errors[cell] += failed
        self.device_prb[block.device] += block.num_prb
        if not block.received:
            return 0
        bits = 8 * sum(segment.stop - segment.start for segment in block.segments if segment.message.bearer >= 0)
        self.bits[cell] += bits
        self.device_bits[block.device] += bits
        return bits


class _Bursts:
    """Since when each device's buffer of one direction has been in service without being emptied.

    TS 28.552 5.1.1.3: the throughput of a device is the volume of its bursts, the piece that empties the buffer apart,
    over the time from a burst's first transmission to the one before that piece.
    """

    def __init__(self) -> None:
        self._counted_to: dict[int, int] = {}

    def add(self, counts: _Counts, block: TransportBlock, slot: int, bits: int, has_more: bool) -> None:
        """Count a slot in which a device sent or received, and whether its buffer held more."""
        if not has_more:
            self._counted_to.pop(block.device, None)
            return
        counts.burst_slots[block.cell] += slot + 1 - self._counted_to.get(block.device, slot)
        counts.burst_bits[block.cell] += bits
        self._counted_to[block.device] = slot + 1


class KpmReports:
    """A row per cell and period in which anything was sent.

    Args:
        carrier: The carrier.
        serving: Cell of each device, renewed in place, [num_devices].
        reachable: Whether it has a radio link, renewed in place, [num_devices].
        inactive: Whether it is in RRC inactive, renewed in place, [num_devices]; None where devices never are.
        num_cells: Cells.
        max_retransmissions: After which a block is given up.
        period_slots: Slots of a period.
        xapp: Sets weights after each report, or None.
        on_weights: Takes them, [num_devices].

    Attributes:
        rows: So far.
    """

    def __init__(
        self,
        carrier: Carrier,
        serving: npt.NDArray[np.int64],
        reachable: npt.NDArray[np.bool_],
        inactive: npt.NDArray[np.bool_] | None,
        num_cells: int,
        max_retransmissions: int,
        period_slots: int,
        xapp: XApp | None,
        on_weights: Callable[[Array], None],
    ) -> None:
        self._carrier, self._serving, self._reachable, self._num_cells = carrier, serving, reachable, num_cells
        self._inactive, self._max_attempt = inactive, max_retransmissions
        self._period_slots, self._xapp, self._on_weights = period_slots, xapp, on_weights
        self._period = 0
        self._is_silent = True
        self._weights = np.ones(len(serving))
        self.rows: list[dict[str, float]] = []
        self._bursts = {direction: _Bursts() for direction in Direction}
        self._restart()

    def _restart(self) -> None:
        self._counts = {direction: _Counts(self._num_cells, len(self._serving)) for direction in Direction}
        self._is_silent = True

    def on_air(self, direction: Direction, slot: int, blocks: list[TransportBlock], have_more: list[bool]) -> None:
        """Count a slot's transmissions, and whose buffers hold more."""
        self._is_silent = False
        counts, bursts = self._counts[direction], self._bursts[direction]
        for block, has_more in zip(blocks, have_more, strict=True):
            bits = counts.add(block, block.attempt >= self._max_attempt)
            bursts.add(counts, block, slot, bits, has_more)

    def advance(self, slot: int) -> None:
        """Close the period that has ended by a slot, if any."""
        period = slot // self._period_slots
        if period == self._period:
            return
        if not self._is_silent:
            rows = self._close((self._period + 1) * self._period_slots)
            self.rows += rows
            if self._xapp is not None:
                self._act(self._xapp, rows)
            self._restart()
        self._period = period

    def all_rows(self, end_slot: int) -> list[dict[str, float]]:
        """All rows, that of the period under way included, of which there has been as much as ``end_slot`` says."""
        end_slot = min(end_slot, (self._period + 1) * self._period_slots)
        return self.rows if self._is_silent else [*self.rows, *self._close(end_slot)]

    def _close(self, end_slot: int) -> list[dict[str, float]]:
        """Rows of the present period up to a slot."""
        first = self._period * self._period_slots
        slots = {
            direction: self._carrier.num_data_slots(direction, end_slot)
            - self._carrier.num_data_slots(direction, first)
            for direction in Direction
        }
        end_s = end_slot * self._carrier.slot_ns / NS_PER_S
        rows = []
        for cell in range(self._num_cells):
            connected = float(((self._serving == cell) & self._reachable).sum())
            row = {"time_s": end_s, "cell": float(cell), "RRC.ConnMean": connected}
            if self._inactive is not None:
                row["RRC.InactiveConnMean"] = float(((self._serving == cell) & self._inactive).sum())
            for direction in Direction:
                row |= self._row_of(direction, cell, slots[direction])
            rows.append(row)
        return rows

    def _row_of(self, direction: Direction, cell: int, num_slots: int) -> dict[str, float]:
        counts, name, carrier = self._counts[direction], _SHORT[direction], self._carrier
        used = float(counts.prb[cell]) / max(1, num_slots)
        burst_s = float(counts.burst_slots[cell]) * carrier.slot_ns * 1e-9
        throughput_bps = float(counts.burst_bits[cell]) / burst_s if burst_s else 0.0
        return {
            f"RRU.PrbTot{name}": 100 * used / carrier.num_prb,
            f"RRU.PrbUsed{name}": used,
            f"RRU.PrbAvail{name}": float(carrier.num_prb),
            f"DRB.PdcpSduVolume{name.upper()}": float(counts.bits[cell]) / 1e6,
            f"DRB.UEThp{name}": throughput_bps / 1e3,
            _INITIAL[direction]: float(counts.first[cell]),
            _INITIAL_ERRORS[direction]: float(counts.first_errors[cell]),
            f"TB.TotNbr{name}": float(counts.blocks[cell]),
            f"TB.ErrTotNbr{name}": float(counts.errors[cell]),
            f"TB.ResidualErrNbr{name}": float(counts.residual[cell]),
        }

    def _act(self, xapp: XApp, rows: list[dict[str, float]]) -> None:
        """Let the controller set weights.

        Raises:
            RunError: They are not one positive number per device.
        """
        up, down = self._counts[Direction.UPLINK], self._counts[Direction.DOWNLINK]
        indication = Indication(
            rows[0]["time_s"],
            rows,
            up.device_bits,
            down.device_bits,
            up.device_prb,
            down.device_prb,
            self._weights.copy(),
        )
        weights = np.asarray(xapp.weights(indication), dtype=np.float64)
        if weights.shape != self._weights.shape or not np.all(np.isfinite(weights) & (weights > 0)):
            expected = f"{len(self._weights)} positive numbers, one per device"
            raise RunError(f"xApp {type(xapp).__name__} returned {weights!r}; valid: {expected}")
        self._weights = weights
        self._on_weights(weights)
