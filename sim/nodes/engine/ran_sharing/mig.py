"""Fixed slices of one GPU (NVIDIA MIG): of seven of arithmetic and of eight of memory and its bandwidth."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from sim.nodes.engine.ran_sharing.registry import SHARING_MODES, SharingMode

COMPUTE_SLICES, MEMORY_SLICES = 7, 8


@SHARING_MODES.register("mig")
class Mig(SharingMode):
    """Layer 1 has ``layer1_compute_slices`` and ``layer1_memory_slices``, the model the rest, idle or not."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        compute, memory = int(settings.layer1_compute_slices), int(settings.layer1_memory_slices)
        self._layer1_share = min(compute / COMPUTE_SLICES, memory / MEMORY_SLICES)
        self.compute_share = 1 - compute / COMPUTE_SLICES
        self.memory_share = 1 - memory / MEMORY_SLICES

    @override
    def layer1_s(self, alone_s: float, is_busy: bool, since_s: float) -> float:
        return alone_s / self._layer1_share

    @override
    def lost_s(self, alone_s: float) -> float:
        return 0.0
