"""Modified largest weighted delay first: proportional fair, weighted by how long the first message has waited."""

from __future__ import annotations

import numpy as np

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("delay_weighted")
class DelayWeighted(Scheduler):
    """Proportional fair times head-of-line delay over budget (M-LWDF, Andrews et al., IEEE Commun. Mag. 2001)."""

    def priority(self, queues: QueueView) -> Array:
        """D_i / (D_i + time left) * R_ig / T_i, the first factor growing beyond 1 as a deadline passes."""
        waited = np.maximum(queues.head_of_line_s, 1e-6)
        budget = np.maximum(queues.time_to_deadline_s + waited, 1e-6)
        weight = waited / budget / np.maximum(queues.average_rate_bps, 1e-3)
        return queues.rate_bps * weight[:, None]
