"""Earliest deadline first."""

from __future__ import annotations

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("earliest_deadline")
class EarliestDeadline(Scheduler):
    """Serves the message that is due first; one without a deadline is due when the delay budget ends."""

    def priority(self, queues: QueueView) -> Array:
        """Minus the time left."""
        return -queues.time_to_deadline_s[:, None]
