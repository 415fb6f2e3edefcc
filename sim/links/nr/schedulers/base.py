"""What a scheduler is: one method that turns the queues in view into priorities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queues that may be served in a slot, as the base station knows them; arrays over queues.

    Attributes:
        device: Whose queue, [num_queues].
        backlog_bytes: Bytes that wait, as reported (uplink) or held (downlink), [num_queues].
        num_prb_needed: PRBs that the backlog needs at the reported channel, [num_queues].
        message_prb_needed: PRBs that the rest of the first message needs, [num_queues].
        head_of_line_s: Time since the first message was sent, [num_queues].
        time_to_deadline_s: Until the first message should arrive; negative when late, [num_queues].
        tokens_at_stake: Tokens that the first message may unblock, [num_queues].
        rate_bps: Rate of each PRB group at the reported channel, [num_queues, num_groups].
        average_rate_bps: Rate served, averaged over the window, [num_queues].
        slots_since_served: Slots since the queue last had a grant, [num_queues].
    """

    device: npt.NDArray[np.int64]
    backlog_bytes: npt.NDArray[np.int64]
    num_prb_needed: npt.NDArray[np.int64]
    message_prb_needed: Array
    head_of_line_s: Array
    time_to_deadline_s: Array
    tokens_at_stake: Array
    rate_bps: Array
    average_rate_bps: Array
    slots_since_served: npt.NDArray[np.int64]


class Scheduler(ABC):
    """An order of service.

    Args:
        delay_budget_s: Time in which a message without a deadline should arrive.
    """

    def __init__(self, delay_budget_s: float = 0.1) -> None:
        self.delay_budget_s = delay_budget_s

    @abstractmethod
    def priority(self, queues: QueueView) -> Array:
        """Priority of each queue in each PRB group, highest first; ties go to the lower device.

        Returns:
            [num_queues, num_groups], or [num_queues, 1] where groups do not differ; finite.
        """
