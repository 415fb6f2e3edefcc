"""Fixed slices of one GPU (NVIDIA MIG): of seven of arithmetic and of eight of memory and its bandwidth."""

from __future__ import annotations

import math
from typing import Any

from typing_extensions import override

from sim.serving.ran_sharing.registry import SHARING_MODES, Seconds, SharingMode

COMPUTE_SLICES, MEMORY_SLICES = 7, 8


@SHARING_MODES.register("mig")
class Mig(SharingMode):
    """Layer 1 has ``layer1_compute_slices`` and ``layer1_memory_slices``, the model the rest, idle or not."""

    is_movable = True

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._set(int(settings.layer1_compute_slices), int(settings.layer1_memory_slices))

    def _set(self, compute: int, memory: int) -> None:
        self._compute = compute
        self._layer1_rate = min(compute / COMPUTE_SLICES, memory / MEMORY_SLICES)
        self.compute_share = 1 - compute / COMPUTE_SLICES
        self.memory_share = 1 - memory / MEMORY_SLICES

    @property
    @override
    def layer1_share(self) -> float:
        return self._compute / COMPUTE_SLICES

    @override
    def move(self, share: float) -> None:
        """Slices of arithmetic that make up the share, and as many of memory as keep pace with them."""
        self._set(*_slices(share))

    @override
    def memory_share_at(self, share: float) -> float:
        return 1 - _slices(share)[1] / MEMORY_SLICES

    @override
    def layer1_s(self, alone_s: Seconds, is_busy: bool, since_s: Seconds) -> Seconds:
        return alone_s / self._layer1_rate

    @override
    def lost_s(self, alone_s: Seconds) -> Seconds:
        return 0.0 * alone_s


def _slices(share: float) -> tuple[int, int]:
    """Slices of arithmetic and of memory for a share of the GPU; the model keeps one of each at least."""
    compute = min(max(math.ceil(share * COMPUTE_SLICES - 1e-9), 1), COMPUTE_SLICES - 1)
    return compute, min(math.ceil(compute * MEMORY_SLICES / COMPUTE_SLICES), MEMORY_SLICES - 1)
