"""A GPU for each: layer 1 and the model do not meet."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.ran_sharing.registry import SHARING_MODES, Seconds, SharingMode


@SHARING_MODES.register("dedicated")
class Dedicated(SharingMode):
    """Layer 1 has a GPU of its own; the model loses nothing."""

    num_gpus = 2

    @override
    def layer1_s(self, alone_s: Seconds, is_busy: bool, since_s: Seconds) -> Seconds:
        return alone_s

    @override
    def lost_s(self, alone_s: Seconds) -> Seconds:
        return 0.0 * alone_s
