"""Turns of a fixed length on the whole GPU (time-slicing of processes)."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.ran_sharing.registry import SHARING_MODES, Seconds, SharingMode


@SHARING_MODES.register("time_slice")
class TimeSlice(SharingMode):
    """A slot's work waits until the model's turn of ``slice_s`` ends; each change of turn costs ``switch_s``."""

    follows_steps = True

    @override
    def layer1_s(self, alone_s: Seconds, is_busy: bool, since_s: Seconds) -> Seconds:
        if not is_busy:
            return alone_s
        slice_s = float(self.settings.slice_s)
        wait_s = slice_s - since_s % slice_s
        others = alone_s // slice_s  # turns of the model in between, where the work is longer than one turn
        return wait_s + float(self.settings.switch_s) * (1 + 2 * others) + alone_s + others * slice_s

    @override
    def lost_s(self, alone_s: Seconds) -> Seconds:
        turns = 1 + alone_s // float(self.settings.slice_s)
        return alone_s + 2 * float(self.settings.switch_s) * turns
