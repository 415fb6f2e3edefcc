"""Where the session's history is."""

from __future__ import annotations

from collections.abc import Sequence

from sim.serving.base import RequestInfo
from sim.serving.routing.registry import ROUTINGS, Routing


@ROUTINGS.register("session_affinity")
class SessionAffinity(Routing):
    """The replica that had the chat session's last turn; the least loaded one for a session's first."""

    def __init__(self) -> None:
        self._replica_of: dict[int, int] = {}

    def choose(self, request: RequestInfo, load: Sequence[int]) -> int:
        """The session's own."""
        if request.salt is not None and request.salt in self._replica_of:
            return self._replica_of[request.salt]
        chosen = min(range(len(load)), key=lambda index: load[index])
        if request.salt is not None:
            self._replica_of[request.salt] = chosen
        return chosen
