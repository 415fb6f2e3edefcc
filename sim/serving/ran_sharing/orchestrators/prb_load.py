"""By predicted PRB load: enough for the fullest slot that the next period is expected to have, with a margin.

Level and trend of the periods' fullest slots are smoothed exponentially (C. C. Holt, "Forecasting seasonals and trends
by exponentially weighted moving averages", 1957), and so is the size of the errors of these predictions, as round-trip
times are in TCP (RFC 6298): the prediction is level, trend and ``margin`` mean errors. The share is that with which a
slot as full as that is done in time.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.serving.ran_sharing.orchestrators.base import Orchestrator, Report
from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS


class PrbLoadSettings(Settings):
    """Keys of ``prb_load``."""

    smoothing: float = Field(default=0.5, gt=0, le=1)
    """Weight of the last period in level, trend and mean error."""
    margin: float = Field(default=2.0, ge=0, le=100)
    """Mean errors above the prediction that are provided for."""
    headroom: float = Field(default=0.1, ge=0, le=10)
    """Share of the time of a slot that is provided beside it."""


@ORCHESTRATORS.register("prb_load", PrbLoadSettings)
class PrbLoad(Orchestrator):
    """Follows the load of the cells."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._level: float | None = None
        self._trend = self._error = 0.0

    @override
    def share(self, report: Report) -> float:
        weight: float = self.settings.smoothing
        if self._level is None:
            self._level = report.peak_cells
        else:
            error = report.peak_cells - self._level - self._trend
            self._error += weight * (abs(error) - self._error)
            self._level += self._trend + weight * error
            self._trend += weight**2 * error
        predicted: float = self._level + self._trend + self.settings.margin * self._error
        predicted = min(max(predicted, 0.0), float(report.num_cells))
        return report.slot_s(predicted) * (1 + float(self.settings.headroom)) / report.deadline_s
