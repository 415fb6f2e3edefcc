"""First come, first served: forward passes run whole, in batches of one model, and memory is no matter."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from pydantic import Field

from sim.core.clock import to_ns
from sim.serving.base import Engine, EngineMemory, EngineState, EngineStep, Job, RequestInfo, StepItem, Text
from sim.serving.registry import ENGINES
from sim.serving.settings import ServerSettings


class FcfsSettings(ServerSettings):
    """Keys of ``fcfs``."""

    max_batch: int = Field(default=16, ge=1)
    """Most forward passes in one batch."""
    max_batch_tokens: int = Field(default=4096, ge=1)
    """Most new tokens in one batch; a single larger forward pass runs alone."""
    batch_window_s: float = Field(default=0.0, ge=0)
    """How long an idle server waits for company after a first arrival."""


class FcfsEngine(Engine):
    """One queue; a batch is its head and those behind it that fit.

    Args:
        settings: Limits of a batch.
    """

    def __init__(self, settings: FcfsSettings) -> None:
        self.window_ns = to_ns(settings.batch_window_s)
        self._max_batch = settings.max_batch
        self._max_tokens = settings.max_batch_tokens
        self._queue: deque[Job] = deque()
        self._running: list[StepItem] = []

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._queue.append(job)

    @property
    def has_work(self) -> bool:
        """Whether jobs wait."""
        return bool(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether as many wait as a batch takes."""
        return len(self._queue) >= self._max_batch

    def next_step(self, now_ns: int = 0) -> EngineStep | None:  # noqa: ARG002
        """The head of the queue and, in order, those behind it that fit: same model, batch and token limits."""
        if not self._queue:
            return None
        first = self._queue[0]
        taken: list[StepItem] = []
        left: deque[Job] = deque()
        tokens = 0
        requests = set()
        while self._queue:
            job = self._queue.popleft()
            fits = len(taken) < self._max_batch and tokens + job.size.new_tokens <= self._max_tokens
            if job is first or (job.model == first.model and fits and job.request.id not in requests):
                taken.append(StepItem(job, job.size))
                tokens += job.size.new_tokens
                requests.add(job.request.id)
            else:
                left.append(job)
                if not fits and job.model == first.model:
                    break
        left.extend(self._queue)
        self._queue = left
        self._running = taken
        return EngineStep(first.model, taken)

    def complete(self, step: EngineStep, start_ns: int, end_ns: int, joules: Sequence[float]) -> None:
        """Charge the jobs; nothing else is left of a batch."""
        for item, share in zip(step.items, joules, strict=True):
            if item.job.event is None:  # given up meanwhile
                self.unattributed_joules += share
            item.job.compute_ns += end_ns - start_ns
            item.job.joules += share
        self._running = []

    def release(self, request: RequestInfo, text: Text | None) -> None:
        """Drop the jobs of a request that was given up."""
        if text is None:
            self._queue = deque(job for job in self._queue if job.request.id != request.id)

    def lose_all(self) -> None:
        """Drop the queue; the batch under way is nobody's any more."""
        self._queue.clear()

    def state(self) -> EngineState:
        """Jobs in the batch and in the queue."""
        return EngineState(len(self._running), len(self._queue))


@ENGINES.register("fcfs", FcfsSettings)
def make_fcfs(settings: FcfsSettings, memory: EngineMemory) -> FcfsEngine:  # noqa: ARG001
    """First come, first served, whole forward passes in batches; keys and values cost no memory."""
    return FcfsEngine(settings)
