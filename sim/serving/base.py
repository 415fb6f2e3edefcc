"""What an engine is: it takes jobs, chooses what the next step computes, and is called when that step has ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.compute.base import ComputeModel, WorkSize

Text = Callable[[], Sequence[int]]
"""Gives a text, whose tokens few want to have put together."""


@dataclass(slots=True, eq=False)
class RequestInfo:
    """What a server knows of a request.

    Attributes:
        id: Unique in a run.
        prompt: Token ids of the prompt.
        num_prompt_tokens: Its length where it is more than the ids that are known; else that of these.
        shared_tokens: Leading prompt tokens that other requests may share, such as a system prompt.
        salt: Whose requests may share the rest of the text, such as a chat session's number; None if nobody's.
        text_blocks: What the prompt's blocks of 512 tokens are known by, where that is all that is known of it.
        priority: Larger is more urgent.
        issued_ns: When it was issued.
        ttft_ns: Its objective for the time to first token, None if there is none; the others likewise.
        tpot_ns: Its objective for the time per output token.
        deadline_ns: When it is given up, counted from its issue.
        verify_batch: The batch that a controller has put its drafts in; None if it is in none.
        device: Index of the device that issued it.
        served: What the edge's sites note of it; None where there is one site only.
    """

    id: int
    prompt: Sequence[int]
    num_prompt_tokens: int = 0
    shared_tokens: int = 0
    salt: int | None = None
    text_blocks: Sequence[int] = ()
    priority: int = 0
    issued_ns: int = 0
    ttft_ns: int | None = None
    tpot_ns: int | None = None
    deadline_ns: int | None = None
    verify_batch: int | None = None
    device: int = 0
    served: Any = None

    def __post_init__(self) -> None:
        self.num_prompt_tokens = self.num_prompt_tokens or len(self.prompt)

    def due_ns(self, num_tokens: int) -> float:
        """When the token after the first ``num_tokens`` generated ones is due; infinite without an objective."""
        due = float("inf") if self.deadline_ns is None else float(self.issued_ns + self.deadline_ns)
        if num_tokens == 0 and self.ttft_ns is not None:
            due = min(due, self.issued_ns + self.ttft_ns)
        elif num_tokens and self.tpot_ns is not None:
            due = min(due, self.issued_ns + (self.ttft_ns or 0) + self.tpot_ns * num_tokens)
        return due


@dataclass(slots=True, eq=False)
class Job:
    """A forward pass that somebody waits for, or a prompt that is computed ahead of the first one.

    Attributes:
        request: Whose.
        model: Role of the model.
        size: The whole of it, whatever number of steps it takes.
        arrived_ns: When it was submitted.
        work: The forward pass itself when live, else None.
        event: What those who wait for it wait for; None if nobody does.
        compute_ns: Duration of the steps since its arrival that computed a part of it.
        joules: Its share of their energy.
        base_tokens: Tokens of the text whose keys and values are taken as computed before.
    """

    request: RequestInfo
    model: str
    size: WorkSize
    arrived_ns: int
    work: Any = None
    event: Any = None
    compute_ns: int = 0
    joules: float = 0.0
    base_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.base_tokens = max(0, self.size.context_tokens - self.size.new_tokens)

    @property
    def num_generated(self) -> int:
        """Tokens that the request had generated when it submitted this."""
        return max(0, self.base_tokens + 1 - self.request.num_prompt_tokens)


@dataclass(slots=True, eq=False)
class StepItem:
    """One job's part of a step.

    Attributes:
        job: The job.
        size: What of it is computed.
        finishes: Whether it is done then.
        sequence: What the engine keeps of its request.
    """

    job: Job
    size: WorkSize
    finishes: bool = True
    sequence: Any = None


@dataclass(slots=True, eq=False)
class EngineStep:
    """What a server computes in one go.

    Attributes:
        model: Role of the model.
        items: At least one.
    """

    model: str
    items: list[StepItem]

    @property
    def sizes(self) -> list[WorkSize]:
        """What the step is priced by."""
        return [item.size for item in self.items]


@dataclass(slots=True)
class EngineState:
    """What an engine holds at one moment.

    Attributes:
        running: Requests that are in the step under way or keep their place in the next one.
        waiting: Jobs that no step has room for yet.
        kv_share: Share of the key-value memory that requests hold.
        preemptions: Requests that lost their memory so far; likewise the following.
        prefix_queries: Prompt tokens looked up in the prefix cache.
        prefix_hits: Of these the ones found.
    """

    running: int = 0
    waiting: int = 0
    kv_share: float = 0.0
    preemptions: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0


class Engine(ABC):
    """Decides what a server computes next.

    Attributes:
        window_ns: How long an idle server waits for company after a first arrival.
        unattributed_joules: Energy of work that no job was charged for, such as a prompt whose request was given up.
    """

    window_ns: int = 0
    unattributed_joules: float = 0.0

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job.

        Raises:
            InputError: It can never be computed here.
        """

    @abstractmethod
    def next_step(self, now_ns: int = 0) -> EngineStep | None:
        """What to compute now; None if there is nothing that can be, or if it had better wait for a job to come."""

    @abstractmethod
    def complete(self, step: EngineStep, start_ns: int, end_ns: int, joules: Sequence[float]) -> None:
        """The step has ended: charge its duration and each item's share of its energy to the jobs."""

    @property
    @abstractmethod
    def has_work(self) -> bool:
        """Whether jobs wait."""

    @property
    def is_full(self) -> bool:
        """Whether a step formed now would gain nothing by waiting for company."""
        return True

    def prefill(  # noqa: B027 (an offer)
        self, request: RequestInfo, model: str, now_ns: int, tokens: int | None = None
    ) -> None:
        """A text has arrived: compute it ahead of the request's next job, if the engine does such a thing.

        Args:
            request: Whose.
            model: Role of the model.
            now_ns: Now.
            tokens: Tokens to compute; None for the prompt but for its last one, which the first job feeds.
        """

    def held_tokens(self, request: RequestInfo, model: str) -> int | None:  # noqa: ARG002
        """Tokens of a request whose keys and values are in memory; None if the engine knows no memory."""
        return None

    def adopt(self, request: RequestInfo, model: str, tokens: int) -> bool:  # noqa: ARG002
        """Take keys and values that another server has computed; False if there is no room for them."""
        return True

    @abstractmethod
    def lose_all(self) -> None:
        """The server has failed: drop all jobs and requests. The step under way, if any, is completed after this."""

    def forget(self) -> None:  # noqa: B027 (an offer)
        """Drop what the memory holds of requests that have ended."""

    def release(self, request: RequestInfo, text: Text | None) -> None:  # noqa: B027 (an offer)
        """A request has ended or was given up: drop its jobs and free its memory.

        Args:
            request: Which.
            text: Gives its prompt and generated tokens, to be kept for followers; None if it was given up.
        """

    def state(self) -> EngineState:
        """What it holds now."""
        return EngineState()


@dataclass(frozen=True)
class EngineMemory:
    """Memory for keys and values that an engine may fill.

    Attributes:
        kv_bytes: Bytes; None if nothing is known.
        bytes_per_token: Bytes of one token's keys and values at all models that run there.
    """

    kv_bytes: float | None = None
    bytes_per_token: float = 0.0

    def num_blocks(self, block_tokens: int) -> int | None:
        """Blocks of every model, each as many as the others'; None if not limited."""
        if self.kv_bytes is None or self.bytes_per_token <= 0:
            return None
        return int(self.kv_bytes // (self.bytes_per_token * block_tokens))


def engine_memory(cost_models: Sequence[ComputeModel], memory_share: float | None) -> EngineMemory:
    """What a site's memory leaves for keys and values beside the weights of the models that run there.

    Args:
        cost_models: Compute models of these.
        memory_share: Share of the memory that weights, keys and values may fill together; None if it is no matter.
    """
    memory_bytes = [model.memory_bytes for model in cost_models if model.memory_bytes is not None]
    weights = [model.weights_bytes for model in cost_models if model.weights_bytes is not None]
    per_token = [model.kv_bytes_per_token for model in cost_models if model.kv_bytes_per_token is not None]
    known = len(memory_bytes) == len(weights) == len(per_token) == len(cost_models) > 0
    if memory_share is None or not known:
        return EngineMemory()
    return EngineMemory(min(memory_bytes) * memory_share - sum(weights), sum(per_token))
