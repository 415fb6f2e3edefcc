"""What a scheduler is: one method that turns the queues in view into priorities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class QueueView(Protocol):
    """The queues that may be served in a slot, as the base station knows them; arrays over queues, made when read.

    Deadlines and tokens are assistance information that a message carries to the scheduler.
    """

    @property
    def device(self) -> Indices:
        """Whose queue, [num_queues]."""

    @property
    def backlog_bytes(self) -> Indices:
        """Bytes that wait, as reported (uplink) or held (downlink), [num_queues]."""

    @property
    def num_prb_needed(self) -> Indices:
        """PRBs that the backlog needs at the reported channel, [num_queues]."""

    @property
    def message_prb_needed(self) -> Array:
        """PRBs that the rest of the first message needs, [num_queues]."""

    @property
    def head_of_line_s(self) -> Array:
        """Time since the first message was sent, [num_queues]."""

    @property
    def time_to_deadline_s(self) -> Array:
        """Until the first message should arrive; negative when late, [num_queues]."""

    @property
    def tokens_at_stake(self) -> Array:
        """Tokens that the first message may unblock, [num_queues]."""

    @property
    def weight(self) -> Array:
        """Sum of 100 less the priority level over the 5QIs of the flows that wait, times what an xApp sets.

        [num_queues].
        """

    @property
    def is_delay_critical(self) -> npt.NDArray[np.bool_]:
        """Whether the first message is of a delay-critical 5QI, [num_queues]."""

    @property
    def rate_bps(self) -> Array:
        """Rate of each PRB group at the reported channel, [num_queues, num_groups]."""

    @property
    def average_rate_bps(self) -> Array:
        """Rate served, averaged over the window, [num_queues]."""

    @property
    def slots_since_served(self) -> Indices:
        """Slots since the queue last had a grant, [num_queues]."""


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
    weight: Array
    is_delay_critical: npt.NDArray[np.bool_]
    rate_bps: Array
    average_rate_bps: Array
    slots_since_served: Indices


class Scheduler(ABC):
    """An order of service.

    Args:
        delay_budget_s: Time in which a message without a deadline should arrive.

    Attributes:
        sees_messages: Whether it looks at first messages: their bytes, ages, deadlines, tokens or 5QI. Keeping note of
            them takes time with every block.
        shares_evenly: Whether an uplink slot is cut into equal shares where some devices have not the power for all
            PRBs. Else priorities by PRB group say what a PRB is worth to a queue as long as its power reaches; it is
            worth less beyond, and each goes where it is worth most. Priorities without groups are an order: who comes
            first may go up to its power headroom, but not below an equal share.
    """

    sees_messages: ClassVar[bool] = True
    shares_evenly: bool = False

    def __init__(self, delay_budget_s: float = 0.1) -> None:
        self.delay_budget_s = delay_budget_s

    @abstractmethod
    def priority(self, queues: QueueView) -> Array:
        """Priority of each queue in each PRB group, highest first; ties go to the lower device.

        Returns:
            [num_queues, num_groups], or [num_queues, 1] where groups do not differ; finite.
        """
