"""Round robin: the device that has waited longest for a grant first."""

from __future__ import annotations

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("round_robin")
class RoundRobin(Scheduler):
    """Serves the queue whose last grant lies furthest back, blind to channels and delays."""

    sees_messages = False
    shares_evenly = True

    def priority(self, queues: QueueView) -> Array:
        """Slots since the last grant."""
        return queues.slots_since_served[:, None].astype(float)
