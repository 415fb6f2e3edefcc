"""Both at the same time, by weights, with interference on the memory's bandwidth (NVIDIA MPS)."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from sim.serving.ran_sharing.registry import SHARING_MODES, Seconds, SharingMode


@SHARING_MODES.register("mps")
class Mps(SharingMode):
    """While both work, layer 1 runs at ``layer1_weight`` and the model at the rest, both slower by ``interference``."""

    is_movable = True

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._weight = float(settings.layer1_weight)

    @property
    @override
    def layer1_share(self) -> float:
        return self._weight

    @override
    def move(self, share: float) -> None:
        self._weight = share

    @override
    def layer1_s(self, alone_s: Seconds, is_busy: bool, since_s: Seconds) -> Seconds:
        return self._together_s(alone_s) if is_busy else alone_s

    @override
    def lost_s(self, alone_s: Seconds) -> Seconds:
        speed = (1 - self._weight) / (1 + float(self.settings.interference))
        return self._together_s(alone_s) * (1 - speed)

    def _together_s(self, alone_s: Seconds) -> Seconds:
        return alone_s * (1 + float(self.settings.interference)) / self._weight
