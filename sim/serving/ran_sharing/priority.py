"""Layer 1 first: it preempts the model between kernels."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.ran_sharing.registry import SHARING_MODES, Seconds, SharingMode


@SHARING_MODES.register("priority")
class Priority(SharingMode):
    """A slot's work waits for the kernel under way (``kernel_s``); the model stands still until it is done."""

    @override
    def layer1_s(self, alone_s: Seconds, is_busy: bool, since_s: Seconds) -> Seconds:
        return alone_s + (float(self.settings.kernel_s) if is_busy else 0.0)

    @override
    def lost_s(self, alone_s: Seconds) -> Seconds:
        return alone_s + float(self.settings.relaunch_s)
