"""Channel state information: when each device is measured, and what a CQI report keeps of its SINR."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from channels.nr.mcs import cqi_efficiency, efficiency_to_cqi
from sim.links.base import Direction
from sim.links.nr.mac.csi_settings import CsiSettings
from sim.links.nr.phy.carrier import Carrier

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_OFFSET_LEVELS = (-1, 2)
"""Least and greatest offset of a 2-bit differential CQI (TS 38.214 Table 5.2.2.1-1): <= -1, 0, 1, >= 2."""
_OUT_OF_RANGE = 0.5
"""What CQI 0 is taken for, as a share of the efficiency of CQI 1."""


class MeasurementTimes:
    """In which slots the devices of one direction are measured.

    Args:
        settings: Keys of reports.
        carrier: The carrier.
        direction: Uplink (sounding) or downlink.
        num_devices: Devices of all cells.

    Attributes:
        period: Slots between two measurements of a device.
        offset: Of each device in the period, [num_devices]; None where all are measured in its first slot.

    Notes: offsets are those slots of the period that carry the direction, in turn, if the slot pattern fits into the
    period; else any.
    """

    def __init__(self, settings: CsiSettings, carrier: Carrier, direction: Direction, num_devices: int) -> None:
        srs = settings.srs_period_slots if direction == Direction.UPLINK else None
        self.period = settings.csi_period_slots if srs is None else srs
        self._delay = settings.csi_delay_slots
        self.offset: Indices | None = None
        if settings.csi_offsets == "spread":
            own = [slot for slot in range(self.period) if carrier.data_symbols(direction, slot)]
            fits = self.period % carrier.pattern.period_slots == 0
            offsets = np.array(own if fits and own else range(self.period), dtype=np.int64)
            self.offset = offsets[np.arange(num_devices) % len(offsets)]

    def newest(self, devices: Indices, slot: int) -> Indices | int:
        """Slot of the last measurement that is known in a slot, of all devices alike or of each. [num_devices]."""
        known = slot - self._delay
        if self.offset is None:
            return known // self.period * self.period
        offset = self.offset.take(devices)
        return np.asarray((known - offset) // self.period * self.period + offset)


class CqiReports:
    """A wideband CQI of 4 bits and a differential one of 2 bits for each PRB group.

    A device reports the highest CQI whose efficiency its capacity carries; the base station takes the SINR at which it
    just does.

    Args:
        mcs_table: Number of the MCS table, whose CQI table is used.
        shares: Share of each group in the carrier, [num_groups].
        efficiency_per_capacity: Bits per resource element that a capacity of 1 bit/s/Hz carries.
    """

    def __init__(self, mcs_table: int, shares: Array, efficiency_per_capacity: float) -> None:
        self._table, self._shares, self._scale = mcs_table, shares, efficiency_per_capacity
        efficiency = cqi_efficiency(mcs_table)
        self._efficiency = np.concatenate(([_OUT_OF_RANGE * efficiency[0]], efficiency))

    def indices(self, sinr: Array) -> tuple[Indices, Indices]:
        """Wideband CQI, and that of each group as its offset level gives it. [num_rows], [num_rows, num_groups]."""
        efficiency = np.log2(1 + sinr) * self._scale
        wideband = efficiency_to_cqi(efficiency @ self._shares, self._table)
        by_group = efficiency_to_cqi(efficiency, self._table)
        offset = np.clip(by_group - wideband[:, None], *_OFFSET_LEVELS)
        return wideband, np.clip(wideband[:, None] + offset, 0, len(self._efficiency) - 1)

    def quantised(self, sinr: Array) -> Array:
        """SINR as the base station reads it off the reports. [num_rows, num_groups]."""
        _, by_group = self.indices(sinr)
        return np.asarray(np.exp2(self._efficiency[by_group] / self._scale) - 1)

    @property
    def num_bits(self) -> int:
        """Bits of a report."""
        return 4 + 2 * len(self._shares)

    @property
    def top_sinr(self) -> float:
        """SINR of the highest CQI, beyond which no report goes."""
        return math.exp2(self._efficiency[-1] / self._scale) - 1
