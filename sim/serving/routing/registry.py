"""The routing policies that YAML may name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from sim.core.registry import Registry
from sim.serving.base import RequestInfo


class Routing(ABC):
    """Chooses a replica for each request; it may remember what it chose."""

    @abstractmethod
    def choose(self, request: RequestInfo, load: Sequence[int]) -> int:
        """Index of the replica.

        Args:
            request: The request.
            load: Requests under way at each replica.
        """


ROUTINGS: Registry[Callable[[], Routing]] = Registry("routing", "sim.serving.routing")
