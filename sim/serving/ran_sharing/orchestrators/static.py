"""Static: what the keys of the mode say, all day."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.ran_sharing.orchestrators.base import Orchestrator, Report
from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS


@ORCHESTRATORS.register("static")
class Static(Orchestrator):
    """Shares stay as they are."""

    @override
    def share(self, report: Report) -> float:
        return report.kept_share
