"""Interference between cells from what they really send in a slot, and its running mean for reports."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.links.base import Direction
from sim.links.nr.phy.channel import RadioChannel

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
# Data slots over which receivers average the interference that they report.
_WINDOW_SLOTS = 20.0


class Interference:
    """Interference over noise per PRB, by direction: path gains, shadowing and small-scale fading of every way.

    What base stations and devices report of it is a running mean, in which the fading of the downlink counts as 1.

    Args:
        air: Gains and powers.
        direction: Uplink or downlink.
    """

    def __init__(self, channel: RadioChannel, direction: Direction) -> None:
        self._channel, self._direction = channel, direction
        self._sizes = channel.carrier.group_sizes.astype(np.float64)
        # Uplink: received interference [mW] per PRB of each cell; downlink: share of PRBs that each cell uses.
        self._mean = np.zeros((channel.num_cells, channel.carrier.num_groups))
        self._aged = 0

    def over_noise(self, slot: int, cells: Indices, devices: Indices, shares: Array, num_prb: Indices) -> Array:
        """I / N of each block in each group, from all blocks of other cells in this slot. [num_blocks, num_groups]."""
        noise_mw = self._channel.noise_mw[self._direction]
        loads = shares / self._sizes
        if self._direction == Direction.UPLINK:
            received = self._uplink_mw(slot, cells, devices, loads, num_prb)
            self._remember(slot, received)
            return np.asarray(received[cells] / noise_mw)
        used = np.zeros_like(self._mean)
        np.add.at(used, cells, loads)
        self._remember(slot, used)
        fading = self._channel.cross_gains(self._direction, slot, devices)
        return np.asarray(np.einsum("dc,dcg,cg->dg", self._downlink_gains_mw(devices), fading, used) / noise_mw)

    def expected_over_noise(self, slot: int, devices: Indices) -> Array:
        """Running mean of I / N as reported, of devices in their cells. [num_devices, num_groups]."""
        self._fade(slot)
        noise_mw = self._channel.noise_mw[self._direction]
        if self._direction == Direction.UPLINK:
            return np.asarray(self._mean[self._channel.serving[devices]] / noise_mw)
        return np.asarray(self._downlink_gains_mw(devices) @ self._mean / noise_mw)

    def _uplink_mw(self, slot: int, cells: Indices, devices: Indices, loads: Array, num_prb: Indices) -> Array:
        """Power per PRB at each cell from the devices of others. [num_cells, num_groups]."""
        channel = self._channel
        own_mw = channel.snr(self._direction, devices, num_prb) * channel.noise_mw[self._direction]
        relative_db = channel.gain_db[devices] - channel.gain_db[devices, cells][:, None]
        gains = own_mw[:, None] * 10 ** (relative_db / 10)
        gains[np.arange(len(cells)), cells] = 0.0
        fading = channel.cross_gains(self._direction, slot, devices)
        return np.asarray(np.einsum("dc,dcg,dg->cg", gains, fading, loads))

    def _downlink_gains_mw(self, devices: Indices) -> Array:
        """Power per PRB at each device from the cells that do not serve it, if they send. [num_devices, num_cells]."""
        channel = self._channel
        gains = 10 ** ((channel.gain_db[devices] + channel.gnb_psd_dbm) / 10)
        gains[np.arange(len(devices)), channel.serving[devices]] = 0.0
        return np.asarray(gains)

    def _fade(self, slot: int) -> None:
        count = self._channel.carrier.num_data_slots(self._direction, slot)
        if count > self._aged:
            self._mean *= (1 - 1 / _WINDOW_SLOTS) ** (count - self._aged)
            self._aged = count

    def _remember(self, slot: int, present: Array) -> None:
        self._fade(slot + 1)
        self._mean += present / _WINDOW_SLOTS
