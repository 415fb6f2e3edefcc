"""Which MCS a device is given: fixed, or by its last reported channel and an outer loop."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sim.links.nr.carrier_settings import MIN_BLOCK_BYTES
from sim.links.nr.mac.grant_width import GrantWidths
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.carrier import Carrier

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class Adaptation(Protocol):
    """What the base station knows of the channels of one direction.

    Attributes:
        widths: PRBs that backlogs are worth.
        min_prb: Smallest grant at the lowest MCS.
        rate_bps: Rate of each PRB group, [num_devices, num_groups].
        has_layers: Whether blocks have precoders, and may have several layers.
        num_layers: Layers of each device's blocks, [num_devices].
        precoder: Index of their precoder in the codebook of so many layers, [num_devices].
    """

    has_layers: bool
    num_layers: Indices
    precoder: Indices
    widths: GrantWidths
    min_prb: int
    rate_bps: Array

    def refresh(self, devices: Indices, slot: int) -> None:
        """Take in the reports of these devices that have become known by ``slot``."""

    def choose(
        self,
        devices: Indices,
        prbs_per_group: list[list[int]],
        num_prb: list[int],
        num_symbols: int,
        slot: int,
        prbs: Indices | None = None,
    ) -> list[int]:
        """MCS of blocks on given PRBs, prbs_per_group [num_blocks][num_groups]; the same as an array, if at hand."""

    def mean_snr_db(self, device: int, num_prb: int) -> float:
        """Mean SNR per PRB of a block on so many PRBs; constant where no channel is known."""

    def configured_mcs(self, device: int, prbs_per_group: list[int]) -> int:
        """MCS that a configured grant on these PRBs keeps, weights [num_groups]."""

    def group_quality(self, devices: Indices, slot: int) -> Array:
        """How good each PRB group is for a device as reported; only comparisons count. [num_devices, num_groups]."""

    def renew(self) -> None:
        """Mean gains have changed."""

    def learn(self, block: TransportBlock) -> None:
        """The outcome of a first transmission."""

    def restart_figures(self) -> None:
        """Count the figures from now on."""

    def figures(self) -> dict[str, float]:
        """Figures of link adaptation by name, units in the names."""


def bits_per_prb(carrier: Carrier) -> Array:
    """Bits that one PRB carries in a full slot, by MCS. [num_mcs]."""
    return np.asarray(carrier.block_bytes(carrier.symbols)[:, -1] * (8.0 / carrier.num_prb), dtype=np.float64)


def min_grant_prb(carrier: Carrier, mcs: int) -> int:
    """PRBs of the smallest useful grant: headers, a buffer report and some data at an MCS."""
    enough = int((carrier.block_bytes(carrier.symbols)[mcs] < MIN_BLOCK_BYTES).sum())
    return min(enough, carrier.num_prb)


class FixedMcs:
    """The same MCS always, and the same rate everywhere.

    Args:
        carrier: The carrier.
        num_devices: Devices of all cells.
        mcs: The index.
    """

    def __init__(self, carrier: Carrier, num_devices: int, mcs: int) -> None:
        self._mcs, self.has_layers = mcs, False
        self.num_layers, self.precoder = np.ones(num_devices, dtype=np.int64), np.zeros(num_devices, dtype=np.int64)
        self.widths = GrantWidths(carrier, num_devices, mcs)
        self.min_prb = min_grant_prb(carrier, mcs)
        rate = bits_per_prb(carrier)[mcs] * carrier.group_sizes * 1e9 / carrier.slot_ns
        self.rate_bps = np.broadcast_to(rate, (num_devices, carrier.num_groups))

    def refresh(self, devices: Indices, slot: int) -> None:
        """Nothing is reported."""

    def choose(
        self,
        devices: Indices,
        prbs_per_group: list[list[int]],  # noqa: ARG002
        num_prb: list[int],  # noqa: ARG002
        num_symbols: int,  # noqa: ARG002
        slot: int,  # noqa: ARG002
        prbs: Indices | None = None,  # noqa: ARG002
    ) -> list[int]:
        """The fixed MCS."""
        return [self._mcs] * len(devices)

    def mean_snr_db(self, device: int, num_prb: int) -> float:  # noqa: ARG002
        """No channel is known."""
        return 0.0

    def configured_mcs(self, device: int, prbs_per_group: list[int]) -> int:  # noqa: ARG002
        """The fixed MCS."""
        return self._mcs

    def group_quality(self, devices: Indices, slot: int) -> Array:  # noqa: ARG002
        """All groups are alike."""
        return np.zeros((len(devices), self.rate_bps.shape[1]))

    def renew(self) -> None:
        """Nothing changes."""

    def learn(self, block: TransportBlock) -> None:
        """Nothing changes."""

    def restart_figures(self) -> None:
        """Nothing is counted."""

    def figures(self) -> dict[str, float]:
        """None."""
        return {}
