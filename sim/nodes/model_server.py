"""A site with a model server: a first-come-first-served queue of forwards that are run in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import simpy

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.core.clock import to_ns
from sim.core.kernel import LAST, FastTimeout, Pending
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.models.interface import ForwardPass, LanguageModel, Logits


class ForwardResult(NamedTuple):
    """How a forward fared at a site.

    Attributes:
        queue_ns: Waiting for company and for the batches before it.
        compute_ns: Duration of its batch.
        joules: Its share of the batch's energy.
        logits: The forward's rows when live, else None.
    """

    queue_ns: int
    compute_ns: int
    joules: float
    logits: Logits | None


class _Job(Pending):
    """A forward that waits for its batch, and the event of its end."""

    def __init__(self, env: simpy.Environment, record: ComputeRecord, work: ForwardPass | None) -> None:
        super().__init__(env)
        self.size = WorkSize(record.new_tokens, record.context_tokens, record.num_rows)
        self.model = record.model
        self.work = work
        self.arrived_ns = int(env.now)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch that a site has run, for figures and timelines."""

    start_ns: int
    end_ns: int
    model: str
    size: int
    new_tokens: int


def run_batch(
    works: Sequence[ForwardPass | None],
    model: LanguageModel | None,
    cost_model: ComputeModel,
    sizes: Sequence[WorkSize],
) -> tuple[list[Logits | None], Cost]:
    """Really run a batch if it is live, and price it by its sizes, or by the clock where the cost_model needs one."""
    logits: list[Logits | None] = [None] * len(works)
    live = [work for work in works if work is not None]
    if not live:
        return logits, cost_model.price(sizes)
    assert model is not None
    start = perf_counter()
    rows: list[Any] = list(model.forward(live))
    elapsed_s = perf_counter() - start
    if cost_model.needs_wall_clock:
        return rows, cost_model.price_measured(elapsed_s)
    return rows, cost_model.price(sizes)


class ModelServer:
    """A model server behind a batching queue.

    Args:
        env: SimPy environment in nanoseconds.
        cost_models: Compute model by model role.
        models: Language models by role, needed when forwards are live.
        max_batch: Most forwards per batch.
        max_batch_tokens: Most new tokens per batch; a single larger forward runs alone.
        batch_window_s: How long an idle site waits for company after a first arrival.
    """

    def __init__(
        self,
        env: simpy.Environment,
        cost_models: Mapping[str, ComputeModel],
        models: Mapping[str, LanguageModel],
        max_batch: int,
        max_batch_tokens: int,
        batch_window_s: float,
    ) -> None:
        self.env = env
        self.cost_models = cost_models
        self.models = models
        self.max_batch = max_batch
        self.max_batch_tokens = max_batch_tokens
        self.window_ns = to_ns(batch_window_s)
        self.busy_ns = 0
        self.num_batches = 0
        self.num_forwards = 0
        self.joules = 0.0
        self.on_batch: Any = None
        self._queue: deque[_Job] = deque()
        self._busy = False
        self._is_starting = False
        self._gathering: simpy.Event | None = None

    def submit(self, record: ComputeRecord, work: ForwardPass | None) -> simpy.Event:
        """Queue a forward; the event succeeds with a ``ForwardResult`` when its batch is done."""
        job = _Job(self.env, record, work)
        self._queue.append(job)
        if not self._busy and not self._is_starting:
            self._gather()
        return job

    def _gather(self) -> None:
        """Start a batch now, or when the window that the first arrival opened is over."""
        if self.window_ns == 0 or len(self._queue) >= self.max_batch:
            self._gathering = None
            self._start_at_the_end_of_this_instant()
        elif self._gathering is None:
            self._gathering = FastTimeout(self.env, self.window_ns, self._window_over, priority=LAST)

    def _start_at_the_end_of_this_instant(self) -> None:
        """Form the batch when all else that happens now has happened.

        A request that gets a result now may submit again now, and of several that arrive at once none is the first: a
        batch formed at once would split those that run in lockstep for ever.
        """
        if not self._is_starting:
            self._is_starting = True
            FastTimeout(self.env, 0, self._end_of_instant, priority=LAST)

    def _end_of_instant(self, _: simpy.Event) -> None:
        self._is_starting = False
        if self._queue and not self._busy:
            self._start()

    def _window_over(self, window: simpy.Event) -> None:
        if self._gathering is window and not self._busy:
            self._start()

    def _start(self) -> None:
        self._gathering = None
        jobs = self._take_batch()
        model = jobs[0].model
        sizes = [job.size for job in jobs]
        logits, price = run_batch([job.work for job in jobs], self.models.get(model), self.cost_models[model], sizes)
        start_ns, duration_ns = int(self.env.now), to_ns(price.seconds)
        self._busy = True
        self.busy_ns += duration_ns
        self.num_batches += 1
        self.num_forwards += len(jobs)
        self.joules += price.joules
        if self.on_batch is not None:
            new_tokens = sum(size.new_tokens for size in sizes)
            self.on_batch(Batch(start_ns, start_ns + duration_ns, model, len(jobs), new_tokens))

        def finish(_: simpy.Event) -> None:
            share = price.joules / len(jobs)
            for job, rows in zip(jobs, logits, strict=True):
                job.succeed_later(ForwardResult(start_ns - job.arrived_ns, duration_ns, share, rows))
            self._busy = False
            if self._queue:
                # Work that waited behind a batch needs no further window: it has had company already.
                self._start_at_the_end_of_this_instant()

        FastTimeout(self.env, duration_ns, finish)

    def _take_batch(self) -> list[_Job]:
        """The head of the queue and, in order, those behind it that fit: same model, batch and token limits."""
        first = self._queue[0]
        taken: list[_Job] = []
        left: deque[_Job] = deque()
        tokens = 0
        sessions = set()
        while self._queue:
            job = self._queue.popleft()
            fits = len(taken) < self.max_batch and tokens + job.size.new_tokens <= self.max_batch_tokens
            own_session = job.work is None or job.work.session not in sessions
            if job is first or (job.model == first.model and fits and own_session):
                taken.append(job)
                tokens += job.size.new_tokens
                if job.work is not None:
                    sessions.add(job.work.session)
            else:
                left.append(job)
                if not fits and job.model == first.model:
                    break
        left.extend(self._queue)
        self._queue = left
        return taken
