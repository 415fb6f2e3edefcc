"""Quality of service: proportional fair, weighted by the priority levels of the flows that wait."""

from __future__ import annotations

import numpy as np

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS

_MIN_LEFT_S = 1e-3


@SCHEDULERS.register("qos")
class QualityOfService(Scheduler):
    """Proportional fair, weighted by the 5QIs of the flows that wait (as 5G-LENA's QoS scheduler).

    A queue's weight is the sum over its flows of 100 less the priority level. Saturated queues of weights w_i get rates
    in proportion to w_i where their channels are alike and ``average_window_slots`` holds several turns of each. A
    delay-critical message counts the more the less of its delay budget is left.
    """

    def priority(self, queues: QueueView) -> Array:
        """w_i D_i R_ig / T_i, D_i = budget / time left for delay-critical messages and 1 for others."""
        left = np.maximum(queues.time_to_deadline_s, _MIN_LEFT_S)
        budget = np.maximum(queues.time_to_deadline_s + queues.head_of_line_s, _MIN_LEFT_S)
        delay = np.where(queues.is_delay_critical, np.maximum(budget / left, 1.0), 1.0)
        weight = queues.weight * delay / np.maximum(queues.average_rate_bps, 1e-3)
        return np.asarray(queues.rate_bps * weight[:, None])
