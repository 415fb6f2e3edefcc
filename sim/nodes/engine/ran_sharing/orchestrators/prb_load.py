"""By predicted PRB load: enough for the fullest slot that the next period is expected to have, with a margin.

Mean and mean deviation of the periods' fullest slots are smoothed exponentially, as round-trip times are in TCP (RFC
6298): the prediction is the mean and ``margin`` deviations. The share is that with which such a slot is done in time.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.nodes.engine.ran_sharing.orchestrators.base import Orchestrator, Report
from sim.nodes.engine.ran_sharing.orchestrators.registry import ORCHESTRATORS


class PrbLoadSettings(Settings):
    """Keys of ``prb_load``."""

    smoothing: float = Field(default=0.25, gt=0, le=1)
    """Weight of the last period in the smoothed mean; of the deviation twice as much, at most 1."""
    margin: float = Field(default=4.0, ge=0, le=100)
    """Mean deviations above the mean that are provided for."""
    headroom: float = Field(default=0.1, ge=0, le=10)
    """Share of the time of a slot that is provided beside it."""


@ORCHESTRATORS.register("prb_load", PrbLoadSettings)
class PrbLoad(Orchestrator):
    """Follows the load of the cells."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._mean: float | None = None
        self._deviation = 0.0

    @override
    def share(self, report: Report) -> float:
        weight = self.settings.smoothing
        if self._mean is None:
            self._mean, self._deviation = report.peak_cells, 0.0
        else:
            away = abs(report.peak_cells - self._mean)
            self._deviation += min(1.0, 2 * weight) * (away - self._deviation)
            self._mean += weight * (report.peak_cells - self._mean)
        predicted: float = min(self._mean + self.settings.margin * self._deviation, float(report.num_cells))
        return report.slot_s(predicted) * (1 + float(self.settings.headroom)) / report.deadline_s
