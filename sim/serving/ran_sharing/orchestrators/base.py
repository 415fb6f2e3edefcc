"""What an orchestrator is: one method that turns a report of the last period into a share of the GPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """What a GPU has done in one period.

    Attributes:
        time_s: End of the period, counted from the beginning of the first day.
        period_s: Its length.
        day_s: Length of a day.
        kept_share: Share of the GPU that is kept for layer 1 as it is.
        deadline_s: Time in which the work of a slot must be done.
        layer1_gpu_share: Time of the whole GPU that layer 1 took.
        model_gpu_share: Time of the whole GPU that the model had.
        slots: Slots with work for layer 1.
        late: Of these the ones that missed the deadline.
        full_cells: PRBs and layers in use, mean over the period's slots, in full cells.
        peak_cells: The most of them in a slot.
        waiting: Jobs that wait at the model server now.
        requests: Requests that ended.
        slo_met: Of these the ones that met all objectives.
        tokens: Tokens of these.
        slot_s: Time of a slot on the whole GPU by full cells.
        num_cells: Cells on the GPU.
    """

    time_s: float
    period_s: float
    day_s: float
    kept_share: float
    deadline_s: float
    layer1_gpu_share: float
    model_gpu_share: float
    slots: int
    late: int
    full_cells: float
    peak_cells: float
    waiting: int
    requests: int
    slo_met: int
    tokens: int
    slot_s: Callable[[float], float]
    num_cells: int

    @property
    def late_share(self) -> float:
        """Late ones of the slots with work."""
        return self.late / self.slots if self.slots else 0.0

    @property
    def slo_deficit(self) -> float:
        """Requests that missed an objective, of those that ended."""
        return 1 - self.slo_met / self.requests if self.requests else 0.0

    @property
    def time_of_day(self) -> float:
        """Share of the day that is over, from 0 to 1."""
        return self.time_s % self.day_s / self.day_s


class Orchestrator(ABC):
    """Decides what is kept for layer 1.

    Args:
        settings: Its own keys.
    """

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def share(self, report: Report) -> float:
        """Share of the GPU to keep for layer 1 from now on; bounds and slices are seen to by the caller."""
