"""One after the other."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.serving.base import RequestInfo
from sim.serving.routing.registry import ROUTINGS, Routing


@ROUTINGS.register("round_robin")
class RoundRobin(Routing):
    """Replicas take turns, whatever their load."""

    def __init__(self) -> None:
        self._next = 0

    @override
    def choose(self, request: RequestInfo, load: Sequence[int]) -> int:
        """The next one."""
        chosen = self._next % len(load)
        self._next += 1
        return chosen
