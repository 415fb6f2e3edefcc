"""A sequence: one request's text at one model, the memory it holds, and what is to be computed of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim.compute.base import WorkSize
from sim.serving.base import Job, RequestInfo

OrderKey = tuple[float, ...]
RankOf = Callable[[RequestInfo, int], OrderKey]
"""Place in order of service of a request, given how many came before it."""
KeyOf = Callable[[Job, int], OrderKey]
"""Place of a job among the waiting ones, given how many were submitted before it."""


class Batching(ABC):
    """Chooses which of the drafts that a step could verify now it takes; others wait for a later one."""

    @abstractmethod
    def choose(
        self, offers: Sequence[SequenceState], away: Sequence[SequenceState], now_ns: int
    ) -> Sequence[SequenceState]:
        """Sequences to serve, in order.

        Args:
            offers: Those whose job at the head could be computed, in order of service; prompts are none of them.
            away: Those whose next job has not come yet.
            now_ns: Simulated time.
        """

    def learn(self, sizes: Sequence[WorkSize], duration_ns: int) -> None:  # noqa: B027 (an offer)
        """A step of these parts has taken this long."""

    def learn_round(self, request: int, num_tokens: int, num_drafted: int) -> None:  # noqa: B027 (an offer)
        """A request's next job has come: so many tokens came of the draft before it.

        Args:
            request: Its number.
            num_tokens: Tokens that it has more.
            num_drafted: Tokens that were drafted.
        """

    def forget(self, request: int) -> None:  # noqa: B027 (an offer)
        """A request has ended."""


@dataclass(slots=True, eq=False)
class PendingJob:
    """A job of a sequence.

    Attributes:
        job: The job.
        key: Its place among the waiting ones, smallest first.
        progress: Tokens of the text whose keys and values are in memory; None before its first step and after a
            preemption.
        extent: Tokens in memory when the job is done: the text, and every node of a drafted tree.
    """

    job: Job
    key: OrderKey
    progress: int | None = None
    extent: int = field(init=False)

    def __post_init__(self) -> None:
        self.extent = self.job.base_tokens + self.job.size.new_tokens

    @property
    def is_ahead(self) -> bool:
        """Whether nobody waits for it: a prompt that is computed ahead of the first job."""
        return self.job.event is None


@dataclass(slots=True, eq=False)
class SequenceState:
    """One request at one model.

    Attributes:
        request: The request.
        rank: Place in order of service among all sequences; the largest loses its memory first.
        hashes: Hashes of the prompt's full blocks, as far as they may be shared.
        blocks: Blocks it holds.
        computed: Tokens whose keys and values are in them.
        num_registered: Leading blocks that the prefix cache knows.
        pending: Its jobs, the one that is computed first at the head.
        owed_joules: Energy of its prompt that no job was charged for yet.
        is_running: Whether it holds a place in the running set.
        in_step: Whether the step under way computes a part of it.
        is_released: Whether it has ended.
        verified: Tokens of the text before the draft that came last, and tokens drafted; None before the first.
    """

    request: RequestInfo
    rank: OrderKey
    hashes: list[int]
    blocks: list[int] = field(default_factory=list)
    computed: int = 0
    num_registered: int = 0
    pending: deque[PendingJob] = field(default_factory=deque)
    owed_joules: float = 0.0
    is_running: bool = False
    in_step: bool = False
    is_released: bool = False
    verified: tuple[int, int] | None = None

    @property
    def is_prefill(self) -> bool:
        """Whether more is to be computed than the job itself asks for: its prompt, or what was preempted."""
        base = self.pending[0].job.base_tokens
        return base == 0 or self.computed < base

    def start(self) -> int:
        """Tokens that need not be computed for the job at the head.

        Those in memory that belong to its text; the rows that it wants are computed in any case.
        """
        pending = self.pending[0]
        if pending.progress is not None:
            return pending.progress
        job = pending.job
        of_its_text = max(job.base_tokens, self.request.num_prompt_tokens)
        return min(self.computed, of_its_text, pending.extent - job.size.num_rows)

    def remaining(self) -> int:
        """Tokens left to compute for the job at the head."""
        return self.pending[0].extent - self.start()

    def charge(self, job: Job, start_ns: int, end_ns: int, joules: float) -> None:
        """Charge a step to the job that it computed a part of, or to the one that waits for its prompt.

        Args:
            job: What the step computed a part of.
            start_ns: When the step began.
            end_ns: When it ended.
            joules: The job's share of its energy.
        """
        if job.event is not None:
            job.joules += joules
        else:
            self.owed_joules += joules
            behind = [pending.job for pending in self.pending if not pending.is_ahead]
            if not behind:
                return
            job = behind[0]
        job.compute_ns += end_ns - max(start_ns, job.arrived_ns)
