"""Which MCS a device is given: fixed, or by its last reported channel and an outer loop."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim.links.nr.phy.carrier import Carrier

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
FULL_SLOT_SYMBOLS = 14
MIN_BLOCK_BYTES = 24
"""Wanted of the smallest grant: headers, a buffer report and some data."""
HEADERS_BYTES = 9
"""RLC and MAC header of a segment, a buffer report, and one byte of data."""


class Adaptation(Protocol):
    """What the base station knows of the channels of one direction.

    Attributes:
        wideband_mcs: MCS of each device over the whole carrier, [num_devices].
        max_prb: PRBs beyond which a device's power would not carry the lowest MCS, [num_devices].
        min_prb: Smallest grant.
        wideband_bytes: Block of a full slot at ``wideband_mcs`` and ``max_prb``, [num_devices].
        rate_bps: Rate of each PRB group, [num_devices, num_groups].
    """

    wideband_mcs: Indices
    max_prb: Indices
    min_prb: int
    wideband_bytes: Indices
    rate_bps: Array

    def refresh(self, devices: Indices, slot: int) -> None:
        """Take in the reports of these devices that have become known by ``slot``."""

    def choose(
        self, devices: Indices, prbs_per_group: list[list[int]], num_prb: list[int], num_symbols: int, slot: int
    ) -> list[int]:
        """MCS of blocks on given PRBs, prbs_per_group [num_blocks][num_groups]."""

    def renew(self) -> None:
        """Mean gains have changed."""

    def learn(self, device: int, received: bool) -> None:
        """The outcome of a first transmission."""


def bits_per_prb(carrier: Carrier) -> Array:
    """Bits that one PRB carries in a full slot, by MCS. [num_mcs]"""
    return np.asarray(carrier.block_bytes(FULL_SLOT_SYMBOLS)[:, -1] * (8.0 / carrier.num_prb), dtype=np.float64)


def min_grant_prb(carrier: Carrier, mcs: int) -> int:
    """PRBs of the smallest useful grant: headers, a buffer report and some data at an MCS."""
    enough = int((carrier.block_bytes(FULL_SLOT_SYMBOLS)[mcs] < MIN_BLOCK_BYTES).sum())
    return min(enough, carrier.num_prb)


class FixedMcs:
    """The same MCS always, and the same rate everywhere.

    Args:
        carrier: The carrier.
        num_devices: Devices of all cells.
        mcs: The index.
    """

    def __init__(self, carrier: Carrier, num_devices: int, mcs: int) -> None:
        self._mcs = mcs
        self.wideband_mcs = np.full(num_devices, mcs, dtype=np.int64)
        self.max_prb = np.full(num_devices, carrier.num_prb, dtype=np.int64)
        self.min_prb = min_grant_prb(carrier, mcs)
        self.wideband_bytes = carrier.block_bytes(FULL_SLOT_SYMBOLS)[self.wideband_mcs, self.max_prb]
        rate = bits_per_prb(carrier)[mcs] * carrier.group_sizes * 1e9 / carrier.slot_ns
        self.rate_bps = np.broadcast_to(rate, (num_devices, carrier.num_groups))

    def refresh(self, devices: Indices, slot: int) -> None:
        """Nothing is reported."""

    def choose(
        self, devices: Indices, prbs_per_group: list[list[int]], num_prb: list[int], num_symbols: int, slot: int
    ) -> list[int]:
        """The fixed MCS."""
        return [self._mcs] * len(devices)

    def renew(self) -> None:
        """Nothing changes."""

    def learn(self, device: int, received: bool) -> None:
        """Nothing changes."""
