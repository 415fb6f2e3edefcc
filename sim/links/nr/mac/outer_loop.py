"""Outer loops of one direction: an offset per device, warmed up before the run, moved by every first transmission."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.link_adaptation import OuterLoop
from sim.links.base import Direction
from sim.links.nr.mac.warm_up import OuterLoopWarmUp
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_SAMPLES = 64


class OuterLoops:
    """Offsets that are added to the reported SINR in dB; kept between a device's messages and requests.

    Args:
        channel: Channels.
        errors: Error curves.
        direction: Uplink or downlink.
        ceiling: Linear SINR beyond which a report does not count.
        lowest_db: Lowest offset.

    Attributes:
        offset: Linear, [num_devices].
        warm_up: Blocks before the run.
    """

    def __init__(
        self, channel: RadioChannel, errors: BlockErrors, direction: Direction, ceiling: float, lowest_db: float
    ) -> None:
        settings = channel.settings
        loop = OuterLoop(settings.target_bler, max(settings.olla_step_db, 1e-9), lowest_db)
        self._adapts = settings.olla_step_db > 0 and settings.mcs is None
        steps_db = (-loop.nack_step_db, loop.ack_step_db) if self._adapts else (0.0, 0.0)
        self._steps = 10 ** (steps_db[0] / 10), 10 ** (steps_db[1] / 10)
        self._range = 10 ** (loop.min_offset_db / 10), 10 ** (loop.max_offset_db / 10)
        num_blocks = settings.olla_warm_up_blocks if self._adapts else 0
        self.warm_up = OuterLoopWarmUp(channel, errors, direction, num_blocks or _SAMPLES, ceiling, lowest_db)
        self.offset = np.ones(channel.num_devices)
        self._cold = set(range(channel.num_devices)) if num_blocks else set()
        self._num_blocks = [0] * channel.num_devices
        self._first = self.offset.copy()

    def prepare(self, devices: Indices, num_prb: list[int], num_symbols: int) -> None:
        """Warm up the loops of devices that are about to get their first block, on so many PRBs."""
        if not self._cold:
            return
        for device, width in zip(devices.tolist(), num_prb, strict=True):
            if device in self._cold:
                self.offset[device] = self._first[device] = self.warm_up.offset(device, width, num_symbols)
                self._cold.remove(device)

    def learn(self, device: int, received: bool) -> None:
        """Move a device's offset by the outcome of a first transmission."""
        moved = self.offset.item(device) * self._steps[received]
        self.offset[device] = min(max(moved, self._range[0]), self._range[1])
        self._num_blocks[device] += 1

    def restart(self) -> None:
        """Count the figures from now on."""
        self._num_blocks = [0] * len(self._num_blocks)
        self._first = self.offset.copy()

    def figures(self) -> dict[str, float]:
        """How far the loops have converged, over devices with blocks; NaN without any.

        Returns:
            ``olla_offset_mean_db``, the mean offset, and ``olla_drift_db``, by how much it has moved since the figures
            began: a mean over devices of the absolute difference. A drift of much more than the step says that the loop
            was still on its way.
        """
        seen = np.array(self._num_blocks) > 0
        if not self._adapts or not seen.any():
            return {"olla_offset_mean_db": float("nan"), "olla_drift_db": float("nan")}
        now_db, first_db = (10 * np.log10(values[seen]) for values in (self.offset, self._first))
        return {
            "olla_offset_mean_db": float(now_db.mean()),
            "olla_drift_db": float(np.abs(now_db - first_db).mean()),
        }
