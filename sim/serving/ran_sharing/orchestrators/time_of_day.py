"""By time of day: a share for each part of the day, as an operator writes it down."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.serving.ran_sharing.orchestrators.base import Orchestrator, Report
from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS


class TimeOfDaySettings(Settings):
    """Keys of ``time_of_day``."""

    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.25, 0.25, 0.4, 0.4, 0.5, 0.57, 0.57, 0.5], min_length=1
    )
    """Share of the GPU that layer 1 has in each equal part of the day."""


@ORCHESTRATORS.register("time_of_day", TimeOfDaySettings)
class TimeOfDay(Orchestrator):
    """The share of the part of the day that it is."""

    @override
    def share(self, report: Report) -> float:
        shares: list[float] = self.settings.shares
        return shares[min(int(report.time_of_day * len(shares)), len(shares) - 1)]
