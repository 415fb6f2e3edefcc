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
_CREDIT_STEPS = 5
"""Failures of blocks with the highest MCS that earlier successes pay for. Without reserve, any failure would wear the
offset down until the highest MCS is given up, however rare they are; without an end, seconds of a good channel would
raise the offset to its bound, and take hundreds of failures to undo once the channel is a bad one. Where half as many
blocks fail as the target allows (.05 of .1), one block in 8,700 finds this reserve empty; of one step, one in 62."""


class OuterLoops:
    """Offsets that are added to the reported SINR in dB; kept between a device's messages and requests.

    A success with the highest MCS says nothing about the offset: no larger one would have led to another choice. It
    does not raise the offset, but is put in reserve for failures with that MCS, up to some steps.

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
        # In steps of a failure: what a success counts, and what each device has in reserve.
        self._success_share = loop.ack_step_db / loop.nack_step_db
        self._reserve = [0.0] * channel.num_devices
        self._first = self.offset.copy()

    def prepare(self, devices: Indices, num_prb: list[int], num_symbols: int) -> None:
        """Warm up the loops of devices that are about to get their first block, on so many PRBs."""
        if not self._cold:
            return
        for device, width in zip(devices.tolist(), num_prb, strict=True):
            if device in self._cold:
                self.offset[device] = self._first[device] = self.warm_up.offset(device, width, num_symbols)
                self._cold.remove(device)

    def learn(self, device: int, received: bool, is_highest: bool = False) -> None:
        """Move a device's offset by the outcome of a first transmission, with the highest MCS or a lower one."""
        self._num_blocks[device] += 1
        if is_highest and self._is_paid(device, received):
            return
        moved = self.offset.item(device) * self._steps[received]
        self.offset[device] = min(max(moved, self._range[0]), self._range[1])

    def _is_paid(self, device: int, received: bool) -> bool:
        """Whether the reserve takes the outcome of a block with the highest MCS, so that the offset stays."""
        reserve = self._reserve[device] + (self._success_share if received else -1.0)
        if reserve < -1e-9:
            return False
        self._reserve[device] = min(reserve, _CREDIT_STEPS)
        return True

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
