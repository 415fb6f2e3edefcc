"""Service-level objectives of requests, and when they are given up."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sim.core.settings import Settings


class SloSettings(Settings):
    """What a request's latencies are held against; goodput counts those that meet all objectives that are set."""

    OBJECTIVES: ClassVar[tuple[str, ...]] = ("ttft_s", "tpot_s", "e2e_s")

    ttft_s: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Longest time to first token."""
    tpot_s: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Longest time per output token after the first."""
    e2e_s: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Longest end-to-end time."""
    deadline_s: float | None = Field(default=None, ge=1e-6, le=1e6)
    """When a request that has not ended is given up, counted from its issue: it leaves all servers' queues at once,
    what its device computes or sends at that moment is still finished, and it counts as failed."""

    def met(self, latencies: dict[str, float]) -> dict[str, bool]:
        """Which of the objectives that are set a request's latencies meet; without a second token, tpot is met."""
        limits = {name: getattr(self, name) for name in self.OBJECTIVES}
        return {name: not latencies[name] > limit for name, limit in limits.items() if limit is not None}
