"""Outer loops of one direction: an offset per device, warmed up before the run, moved by every first transmission."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.link_adaptation import OuterLoop
from sim.links.base import Direction
from sim.links.nr.mac.csi import CqiReports
from sim.links.nr.mac.layered_warm_up import LayeredWarmUp
from sim.links.nr.mac.warm_up import OuterLoopWarmUp
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.codewords import Codewords

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_SAMPLES = 64
_CREDIT_STEPS = 5
"""Failures of blocks with the highest MCS that earlier successes pay for. Without reserve, any failure would wear the
offset down until the highest MCS is given up, however rare they are; without an end, seconds of a good channel would
raise the offset to its bound, and take hundreds of failures to undo once the channel is a bad one. Where half as many
blocks fail as the target allows (.05 of .1), one block in 8,700 finds this reserve empty; of one step, one in 62.
Failures with the lowest MCS that later successes with it have to make up for are bounded likewise."""


class OuterLoops:
    """Offsets that are added to the reported SINR in dB; kept between a device's messages and requests.

    A device has an offset for each rank, as the layers of a block fail by what was not reported of each of them.

    A success with the highest MCS says nothing about the offset: no larger one would have led to another choice. It
    does not raise the offset, but is put in reserve for failures with that MCS, up to some steps. A failure with the
    lowest MCS and one layer does not lower the offset, which would help nobody, but takes from what successes with that
    MCS would raise it by.

    Args:
        channel: Channels.
        errors: Error curves.
        direction: Uplink or downlink.
        ceiling: Linear SINR beyond which a report does not count.
        lowest_db: Lowest offset.
        codewords: What blocks of several antennas carry; None where one antenna sends.
        cqi: What reports keep of an SINR; None is all.

    Attributes:
        by_rank: Linear, [max_layers, num_devices].
        offset: That of the rank which each device's blocks have now, [num_devices].
        warm_up: Blocks before the run.
    """

    def __init__(
        self,
        channel: RadioChannel,
        errors: BlockErrors,
        direction: Direction,
        ceiling: float,
        lowest_db: float,
        codewords: Codewords | None = None,
        cqi: CqiReports | None = None,
    ) -> None:
        settings = channel.settings
        loop = OuterLoop(settings.target_bler, max(settings.olla_step_db, 1e-9), lowest_db)
        self._adapts = settings.olla_step_db > 0 and settings.mcs is None
        steps_db = (-loop.nack_step_db, loop.ack_step_db) if self._adapts else (0.0, 0.0)
        self._steps = 10 ** (steps_db[0] / 10), 10 ** (steps_db[1] / 10)
        self._range = 10 ** (loop.min_offset_db / 10), 10 ** (loop.max_offset_db / 10)
        num_blocks = settings.olla_warm_up_blocks if self._adapts else 0
        self.warm_up = OuterLoopWarmUp(channel, errors, direction, num_blocks or _SAMPLES, ceiling, lowest_db, cqi)
        count = channel.num_devices
        max_layers = channel.spatial.max_layers[direction] if codewords else 1
        self._layered = LayeredWarmUp(self.warm_up, channel, errors, codewords) if codewords else None
        self.by_rank = np.ones((max_layers, count))
        # With one rank, the same numbers.
        self.offset = self.by_rank[0] if max_layers == 1 else np.ones(count)
        self._rank = np.ones(count, dtype=np.int64)
        self._cold = set(range(count)) if num_blocks else set()
        self._num_blocks = [[0] * count for _ in range(max_layers)]
        # In steps of a failure: what a success counts, and what each device has in reserve.
        self._success_share = loop.ack_step_db / loop.nack_step_db
        self._reserve = [[0.0] * count for _ in range(max_layers)]
        self._debt = [0.0] * count
        self._first = self.by_rank.copy()

    def prepare(self, devices: Indices, num_prb: list[int], num_symbols: int) -> Indices | None:
        """Warm up the loops of devices that are about to get their first block, on so many PRBs; which, if any were."""
        if not self._cold:
            return None
        warmed = []
        for device, width in zip(devices.tolist(), num_prb, strict=True):
            if device in self._cold:
                if self._layered is None:
                    self.offset[device] = self._first[0, device] = self.warm_up.offset(device, width, num_symbols)
                else:
                    self.by_rank[:, device] = self._first[:, device] = self._layered.offsets(device, width, num_symbols)
                    self.offset[device] = self.by_rank[self._rank[device] - 1, device]
                self._cold.remove(device)
                warmed.append(device)
        return np.array(warmed, dtype=np.int64) if warmed else None

    def use_ranks(self, rows: Indices, ranks: Indices) -> None:
        """Blocks of some devices have so many layers from now on."""
        self._rank[rows] = ranks
        self.offset[rows] = self.by_rank[ranks - 1, rows]

    def learn(
        self, device: int, received: bool, is_highest: bool = False, num_layers: int = 1, is_lowest: bool = False
    ) -> None:
        """Move a device's offset by the outcome of a first transmission, with the highest or lowest MCS or another."""
        rank = num_layers - 1
        self._num_blocks[rank][device] += 1
        if is_highest and self._is_paid(self._reserve[rank], device, received):
            return
        if is_lowest and num_layers == 1 and self._is_owed(device, received):
            return
        own = self.by_rank[rank]
        moved = own.item(device) * self._steps[received]
        own[device] = moved = min(max(moved, self._range[0]), self._range[1])
        if self._rank.item(device) == num_layers:
            self.offset[device] = moved

    def _is_paid(self, held: list[float], device: int, received: bool) -> bool:
        """Whether the reserve takes the outcome of a block with the highest MCS, so that the offset stays."""
        reserve = held[device] + (self._success_share if received else -1.0)
        if reserve < -1e-9:
            return False
        held[device] = min(reserve, _CREDIT_STEPS)
        return True

    def _is_owed(self, device: int, received: bool) -> bool:
        """Whether the outcome of a block with the lowest MCS is set off against others, so that the offset stays."""
        debt = self._debt[device]
        self._debt[device] = min(max(debt + (-self._success_share if received else 1.0), 0.0), _CREDIT_STEPS)
        return not received or debt > 1e-9

    def restart(self) -> None:
        """Count the figures from now on."""
        self._num_blocks = [[0] * len(counts) for counts in self._num_blocks]
        self._first = self.by_rank.copy()

    def figures(self) -> dict[str, float]:
        """How far the loops have converged, over devices and ranks with blocks; NaN without any.

        Returns:
            ``olla_offset_mean_db``, the mean offset, and ``olla_drift_db``, by how much it has moved since the figures
            began: a mean over these of the absolute difference. A drift of much more than the step says that the loop
            was still on its way.
        """
        seen = np.array(self._num_blocks) > 0
        if not self._adapts or not seen.any():
            return {"olla_offset_mean_db": float("nan"), "olla_drift_db": float("nan")}
        now_db, first_db = (10 * np.log10(values[seen]) for values in (self.by_rank, self._first))
        return {
            "olla_offset_mean_db": float(now_db.mean()),
            "olla_drift_db": float(np.abs(now_db - first_db).mean()),
        }
