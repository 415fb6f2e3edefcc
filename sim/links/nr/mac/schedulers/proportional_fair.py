"""Proportional fair: priority is the achievable rate over the average rate served."""

from __future__ import annotations

import numpy as np

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("proportional_fair")
class ProportionalFair(Scheduler):
    """Serves the best ratio of present to average rate in each PRB group (Kelly 1998; Viswanath et al. 2002)."""

    sees_messages = False

    def priority(self, queues: QueueView) -> Array:
        """R_ig / T_i."""
        return queues.rate_bps / np.maximum(queues.average_rate_bps, 1e-3)[:, None]
