"""By SLO deficit: what misses its objective gets more; layer 1 first."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from sim.core.settings import Settings
from sim.serving.ran_sharing.orchestrators.base import Orchestrator, Report
from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS


class SloDeficitSettings(Settings):
    """Keys of ``slo_deficit``."""

    step: float = Field(default=1 / 7, gt=0, le=1)
    """Share of the GPU that is moved at once."""
    max_late_per_1e5: float = Field(default=1.0, ge=0, le=1e5)
    """Late ones of 1e5 slots beyond which layer 1 gets more."""
    max_slo_deficit: float = Field(default=0.05, ge=0, le=1)
    """Share of the requests that may miss an objective; beyond it the model gets more, unless slots are late."""


@ORCHESTRATORS.register("slo_deficit", SloDeficitSettings)
class SloDeficit(Orchestrator):
    """A step of the share towards the side, layer 1 or the model, that misses its objective."""

    @override
    def share(self, report: Report) -> float:
        keys = self.settings
        if 1e5 * report.late_share > keys.max_late_per_1e5:
            return report.kept_share + float(keys.step)
        if report.slo_deficit > keys.max_slo_deficit:
            return report.kept_share - float(keys.step)
        return report.kept_share
