"""What layer 1 and a model have done on a GPU, over any stretch of time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sim.core.clock import NS_PER_S


@dataclass(slots=True)
class GpuCounts:
    """Counts up to a moment.

    Attributes:
        slots: Slots with work for layer 1.
        late: Of these the ones that missed their deadline.
        own_slots: Slots with blocks of simulated cells.
        own_late: Of these the ones that missed it, and so lost their blocks.
        layer1_s: Time that layer 1 alone would have taken on the whole GPU.
        prb_share: Sum over slots of PRBs and layers in use, in full cells.
        model_ns: Time of the whole GPU that steps of the model had, without what layer 1 and changes of shares took.
        step_ns: Time in which a step was under way.
        changes: Changes of shares.
    """

    slots: int = 0
    late: int = 0
    own_slots: int = 0
    own_late: int = 0
    layer1_s: float = 0.0
    prb_share: float = 0.0
    model_ns: float = 0.0
    step_ns: int = 0
    changes: int = 0

    def since(self, before: GpuCounts) -> GpuCounts:
        """The difference to an earlier moment."""
        names = [field.name for field in fields(self)]
        return GpuCounts(**{name: getattr(self, name) - getattr(before, name) for name in names})

    def copy(self) -> GpuCounts:
        """These counts, to be kept."""
        return GpuCounts(*[getattr(self, field.name) for field in fields(self)])

    @property
    def late_per_1e5(self) -> float:
        """Late ones of 1e5 slots with work."""
        return 1e5 * self.late / self.slots if self.slots else 0.0

    @property
    def own_late_per_1e5(self) -> float:
        """The same of slots with blocks of simulated cells."""
        return 1e5 * self.own_late / self.own_slots if self.own_slots else 0.0


def shares(counts: GpuCounts, duration_ns: int) -> dict[str, float]:
    """Shares of one GPU over a stretch.

    Args:
        counts: What was done in it.
        duration_ns: How long it was.
    """
    if not duration_ns:
        return {"layer1_gpu_share": 0.0, "model_gpu_share": 0.0}
    return {
        "layer1_gpu_share": counts.layer1_s * NS_PER_S / duration_ns,
        "model_gpu_share": max(0.0, counts.model_ns / duration_ns),
    }


def second_row(start_ns: int, duration_ns: int, counts: GpuCounts, slot_ns: int, kept: float) -> dict[str, Any]:
    """One row of ``gpu``: a second, or what is left of one.

    Args:
        start_ns: Its beginning.
        duration_ns: How long it is.
        counts: What was done in it.
        slot_ns: Duration of a slot.
        kept: Share of the GPU that is kept for layer 1 at its end.
    """
    return {
        "time_s": start_ns // NS_PER_S,
        **shares(counts, duration_ns),
        "layer1_kept_share": kept,
        "layer1_slots": counts.slots,
        "layer1_late": counts.late,
        "layer1_full_cells": counts.prb_share * slot_ns / duration_ns,
        "layer1_changes": counts.changes,
    }
