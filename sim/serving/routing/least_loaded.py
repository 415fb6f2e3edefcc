"""Join the shortest queue."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.serving.base import RequestInfo
from sim.serving.routing.registry import ROUTINGS, Routing


@ROUTINGS.register("least_loaded")
class LeastLoaded(Routing):
    """The replica with the fewest requests under way, the first of equals."""

    @override
    def choose(self, request: RequestInfo, load: Sequence[int]) -> int:
        """The least loaded one."""
        return min(range(len(load)), key=lambda index: load[index])
