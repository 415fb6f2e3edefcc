"""A GPU for each: layer 1 and the model do not meet."""

from __future__ import annotations

from typing_extensions import override

from sim.nodes.engine.ran_sharing.registry import SHARING_MODES, SharingMode


@SHARING_MODES.register("dedicated")
class Dedicated(SharingMode):
    """Layer 1 has a GPU of its own; the model loses nothing."""

    @override
    def layer1_s(self, alone_s: float, is_busy: bool, since_s: float) -> float:
        return alone_s

    @override
    def lost_s(self, alone_s: float) -> float:
        return 0.0
