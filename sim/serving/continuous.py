"""Continuous batching with paged key-value memory: the engine of today's servers (vLLM, SGLang, TensorRT-LLM)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, field_validator

from sim.compute.base import WorkSize
from sim.core.clock import to_ns
from sim.core.errors import InputError
from sim.serving.base import Engine, EngineMemory, EngineState, EngineStep, Job, RequestInfo, Text
from sim.serving.blocks import BlockPool
from sim.serving.policies.registry import POLICIES
from sim.serving.registry import ENGINES
from sim.serving.settings import ServerSettings
from sim.serving.step_scheduler import StepLimits, StepScheduler


class ContinuousSettings(ServerSettings):
    """Keys of ``continuous``."""

    max_num_seqs: int = Field(default=256, ge=1)
    """Most requests in the running set: those whose jobs share a step."""
    max_batch: int | None = Field(default=None, ge=1)
    """The same by the name that `fcfs` has for it; the smaller one counts."""
    max_batch_tokens: int = Field(default=2048, ge=1)
    """Token budget: most new tokens in one step. A single larger piece that cannot be cut runs alone."""
    batch_window_s: float = Field(default=0.0, ge=0)
    """How long an idle server waits for company after a first arrival."""
    chunked_prefill: bool = True
    """Whether a prompt is computed in chunks of what decoding leaves of the token budget; else whole, one a step."""
    prefill_on_arrival: bool = True
    """Whether a prompt is computed as soon as it has arrived; otherwise with the request's first forward pass."""
    prefix_cache: bool = True
    """Whether prompts with a prefix in common share its key-value blocks, and chat sessions find their history."""
    block_tokens: int = Field(default=16, ge=1, le=4096)
    """Tokens per block of key-value memory."""
    memory_share: float = Field(default=0.9, gt=0, le=1)
    """Share of the hardware's memory that weights, keys and values may fill."""
    kv_blocks: int | None = Field(default=None, ge=1)
    """Blocks of key-value memory per model; without it what the hardware's memory leaves beside the weights, and no
    limit where the compute model knows no memory."""
    policy: str = "fcfs"
    """Order among waiting jobs: `fcfs`, `priority` (that of the kind of device) or `edf` (by the objectives); `wisp`
    (urgent drafts by deadline, others by goodput density) and `cohort` (a draft waits for its batch) also choose which
    of them a step takes."""

    @field_validator("policy")
    @classmethod
    def _policy_is_known(cls, name: str) -> str:
        try:
            return POLICIES.find(name).name
        except InputError as error:
            raise ValueError(str(error)) from error

    @property
    def limits(self) -> StepLimits:
        """What bounds a step."""
        return StepLimits(
            min(self.max_num_seqs, self.max_batch or self.max_num_seqs),
            self.max_batch_tokens,
            self.chunked_prefill,
            self.block_tokens,
            self.prefix_cache,
        )


class ContinuousEngine(Engine):
    """A running set per model; one step at a time, of the model whose job has waited longest.

    Args:
        settings: Limits, memory and order of service.
        num_blocks: Blocks of key-value memory of each model; None if not limited.
    """

    def __init__(self, settings: ContinuousSettings, num_blocks: int | None) -> None:
        self.window_ns = to_ns(settings.batch_window_s)
        self.num_blocks = num_blocks
        self._limits = settings.limits
        self._prefills = settings.prefill_on_arrival
        self._policy = POLICIES.find(settings.policy).make()
        self._schedulers: dict[str, StepScheduler] = {}

    def _scheduler(self, model: str) -> StepScheduler:
        scheduler = self._schedulers.get(model)
        if scheduler is None:
            pool, policy = BlockPool(self.num_blocks), self._policy
            batching = policy.make_batching() if policy.make_batching is not None else None
            scheduler = StepScheduler(model, self._limits, pool, policy.key_of, policy.rank_of, batching)
            self._schedulers[model] = scheduler
        return scheduler

    def submit(self, job: Job) -> None:
        """Take a job.

        Raises:
            InputError: The memory does not hold it, even if nobody else is served.
        """
        self._scheduler(job.model).submit(job)

    def prefill(self, request: RequestInfo, model: str, now_ns: int, tokens: int | None = None) -> None:
        """Compute a prompt but for its last token, which the first job feeds; or as many tokens as are given."""
        if self._prefills:
            tokens = request.num_prompt_tokens - 1 if tokens is None else tokens
            self._scheduler(model).prefill(Job(request, model, WorkSize(tokens, tokens, 0), now_ns))

    @property
    def has_work(self) -> bool:
        """Whether jobs wait."""
        return any(scheduler.has_work for scheduler in self._schedulers.values())

    @property
    def is_full(self) -> bool:
        """Whether the running set of a model would be full."""
        return any(s.num_waiting >= self._limits.max_num_seqs for s in self._schedulers.values())

    def next_step(self, now_ns: int = 0) -> EngineStep | None:
        """A step of the model whose job comes first; of another one if its requests wait for memory."""
        able = [scheduler for scheduler in self._schedulers.values() if scheduler.has_work]
        for scheduler in sorted(able, key=lambda scheduler: scheduler.first_key) if len(able) > 1 else able:
            step = scheduler.next_step(now_ns)
            if step is not None:
                return step
        return None

    def complete(self, step: EngineStep, start_ns: int, end_ns: int, joules: Sequence[float]) -> None:
        """Charge the jobs and note what is in memory now."""
        self.unattributed_joules += self._schedulers[step.model].complete(step, start_ns, end_ns, joules)

    def release(self, request: RequestInfo, text: Text | None) -> None:
        """Free a request's memory at all models."""
        for scheduler in self._schedulers.values():
            self.unattributed_joules += scheduler.release(request, text)

    def held_tokens(self, request: RequestInfo, model: str) -> int | None:
        """Tokens of a request whose keys and values are in memory."""
        return self._scheduler(model).held_tokens(request)

    def adopt(self, request: RequestInfo, model: str, tokens: int) -> bool:
        """Take keys and values that another server has computed; False if there are too few blocks for them."""
        return self._scheduler(model).adopt(request, tokens)

    def lose_all(self) -> None:
        """Drop all sequences; energy of theirs that no job was charged for is nobody's."""
        for scheduler in self._schedulers.values():
            self.unattributed_joules += scheduler.lose_all()

    def forget(self) -> None:
        """Empty the prefix cache."""
        for scheduler in self._schedulers.values():
            scheduler.memory.pool.forget()

    def state(self) -> EngineState:
        """Sums over the models; of their memory the fullest."""
        states = [scheduler.state() for scheduler in self._schedulers.values()]
        if len(states) == 1:
            return states[0]
        return EngineState(
            running=sum(state.running for state in states),
            waiting=sum(state.waiting for state in states),
            kv_share=max((state.kv_share for state in states), default=0.0),
            preemptions=sum(state.preemptions for state in states),
            prefix_queries=sum(state.prefix_queries for state in states),
            prefix_hits=sum(state.prefix_hits for state in states),
        )


@ENGINES.register("continuous", ContinuousSettings, memory_share=lambda settings: settings.memory_share)
def make_continuous(settings: ContinuousSettings, memory: EngineMemory) -> ContinuousEngine:
    """Continuous batching: a running set, chunked prefill, key-value memory in blocks, preemption, prefix cache."""
    num_blocks = settings.kv_blocks if settings.kv_blocks is not None else memory.num_blocks(settings.block_tokens)
    if num_blocks is not None and num_blocks < 1:
        raise InputError(
            f"the weights leave no key-value memory in {settings.memory_share:g} of it: give a larger share, use "
            "hardware with more memory, or fewer bytes per weight",
            "memory_share",
        )
    return ContinuousEngine(settings, num_blocks)
