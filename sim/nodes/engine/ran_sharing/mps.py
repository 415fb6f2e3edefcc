"""Both at the same time, by weights, with interference on the memory's bandwidth (NVIDIA MPS)."""

from __future__ import annotations

from typing_extensions import override

from sim.nodes.engine.ran_sharing.registry import SHARING_MODES, SharingMode


@SHARING_MODES.register("mps")
class Mps(SharingMode):
    """While both work, layer 1 runs at ``layer1_weight`` and the model at the rest, both slower by ``interference``."""

    @override
    def layer1_s(self, alone_s: float, is_busy: bool, since_s: float) -> float:
        return self._together_s(alone_s) if is_busy else alone_s

    @override
    def lost_s(self, alone_s: float) -> float:
        speed = (1 - float(self.settings.layer1_weight)) / (1 + float(self.settings.interference))
        return self._together_s(alone_s) * (1 - speed)

    def _together_s(self, alone_s: float) -> float:
        return alone_s * (1 + float(self.settings.interference)) / float(self.settings.layer1_weight)
