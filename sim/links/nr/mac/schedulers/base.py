"""What a scheduler is: one method that turns the queues in view into priorities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class QueueView(Protocol):
    """The queues that may be served in a slot, as the base station knows them; arrays over queues, made when read.

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

    Notes: deadlines and tokens are assistance information that a message carries to the scheduler.
    """

    @property
    def device(self) -> Indices: ...
    @property
    def backlog_bytes(self) -> Indices: ...
    @property
    def num_prb_needed(self) -> Indices: ...
    @property
    def message_prb_needed(self) -> Array: ...
    @property
    def head_of_line_s(self) -> Array: ...
    @property
    def time_to_deadline_s(self) -> Array: ...
    @property
    def tokens_at_stake(self) -> Array: ...
    @property
    def rate_bps(self) -> Array: ...
    @property
    def average_rate_bps(self) -> Array: ...
    @property
    def slots_since_served(self) -> Indices: ...


@dataclass(frozen=True, slots=True)
class QueueArrays:
    """A ``QueueView`` whose arrays are given."""

    device: Indices
    backlog_bytes: Indices
    num_prb_needed: Indices
    message_prb_needed: Array
    head_of_line_s: Array
    time_to_deadline_s: Array
    tokens_at_stake: Array
    rate_bps: Array
    average_rate_bps: Array
    slots_since_served: Indices


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
