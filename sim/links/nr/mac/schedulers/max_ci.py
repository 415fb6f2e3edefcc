"""Maximum carrier to interference: the device with the best channel first."""

from __future__ import annotations

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("max_ci")
class MaxCi(Scheduler):
    """Serves the highest rate in each PRB group; most bits per slot, and none for the cell edge under load."""

    sees_messages = False

    def priority(self, queues: QueueView) -> Array:
        """R_ig."""
        return queues.rate_bps
