"""A model server: computes what its engine says, one step at a time, each priced by the work in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import simpy

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.core.clock import to_ns
from sim.core.kernel import LAST, FastTimeout, Pending
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.models.interface import ForwardPass, LanguageModel, Logits
from sim.nodes.monitor import QueueMonitor, ServerMonitor
from sim.serving.base import Engine, EngineStep, Job, RequestInfo, Text
from sim.serving.ran_sharing.gpu import SharedGpu


class ForwardResult(NamedTuple):
    """How a forward fared at a server.

    Attributes:
        queue_ns: Time in which nothing of it was computed.
        compute_ns: Duration of the steps that computed a part of it.
        joules: Its share of their energy.
        logits: The forward's rows when live, else None.
        transport_ns: Time in which it waited for a text, or for keys and values, that were sent to another site.
    """

    queue_ns: int
    compute_ns: int
    joules: float
    logits: Logits | None
    transport_ns: int = 0


class SiteLost(NamedTuple):
    """A forward's site has failed, and no other goes on with its request.

    Attributes:
        waited_ns: Time since it was submitted.
    """

    waited_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One step that a server has computed, for figures and timelines."""

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
    """Really run a batch if it is live, and price it by its sizes, or by the clock where the cost_model needs one.

    Args:
        works: DraftSegment that end with this batch; None where it is not live, or does not end.
        model: Runs them.
        cost_model: Prices the batch.
        sizes: Sizes of all its parts.
    """
    logits: list[Logits | None] = [None] * len(works)
    live = [work for work in works if work is not None]
    if not live:
        return logits, cost_model.price(sizes)
    assert model is not None
    start = perf_counter()
    rows = iter(model.forward(live))
    elapsed_s = perf_counter() - start
    logits = [None if work is None else next(rows) for work in works]
    if cost_model.needs_wall_clock:
        return logits, cost_model.price_measured(elapsed_s)
    return logits, cost_model.price(sizes)


class ModelServer:
    """A model server.

    Args:
        env: SimPy environment in nanoseconds.
        engine: Says what a step computes.
        cost_models: Compute model by model role.
        models: Language models by role, needed when forwards are live.
        monitor: Counts what it does.
        gpu: What it shares its GPU by with layer 1; None where it has it alone.
    """

    def __init__(
        self,
        env: simpy.Environment,
        engine: Engine,
        cost_models: Mapping[str, ComputeModel],
        models: Mapping[str, LanguageModel],
        monitor: ServerMonitor | None = None,
        gpu: SharedGpu | None = None,
    ) -> None:
        self.env = env
        self.engine = engine
        self.cost_models = cost_models
        self.models = models
        self.gpu = gpu
        self.monitor = monitor if monitor is not None else ServerMonitor("server")
        self.jobs = QueueMonitor(self.monitor.name)
        self.on_batch: Any = None
        self.spent_ns = 0
        self._open: dict[int, list[Job]] = {}
        self._busy = False
        self._is_starting = False
        self._gathering: simpy.Event | None = None
        self._under_way: tuple[EngineStep, Cost, int] | None = None
        self._num_crashes = 0

    @property
    def num_jobs(self) -> int:
        """Jobs waiting or being computed."""
        return self.jobs.num_inside

    def num_waiting(self) -> int:
        """Jobs that wait."""
        return self.engine.state().waiting

    def submit(self, record: ComputeRecord, work: ForwardPass | None, request: RequestInfo) -> simpy.Event:
        """Queue a forward.

        Returns:
            An event that succeeds with a ``ForwardResult`` when the step that ends it is done, or with None when its
            request is given up.
        """
        now_ns = int(self.env.now)
        done = Pending(self.env)
        size = WorkSize(record.new_tokens, record.context_tokens, record.num_rows)
        job = Job(request, record.model, size, now_ns, work, done)
        self.engine.submit(job)
        self._open.setdefault(request.id, []).append(job)
        self.jobs.enter(now_ns)
        self._wake()
        return done

    def prefill(self, request: RequestInfo, model: str, tokens: int | None = None) -> None:
        """A text has arrived; the engine may compute it ahead of the request's next forward.

        Args:
            request: Whose.
            model: Role of the model.
            tokens: How much of it; None for the prompt.
        """
        if not self.cost_models[model].needs_wall_clock:  # a real pass is timed with the forward that it belongs to
            self.engine.prefill(request, model, int(self.env.now), tokens)
            self._wake()

    def priced(self, model: str) -> ComputeModel:
        """What a model's work costs on what there is of the GPU now."""
        return self.cost_models[model] if self.gpu is None else self.gpu.priced(self.cost_models[model])

    def release(self, request: RequestInfo, text: Text | None) -> None:
        """A request has ended, with this text; or was given up, with None."""
        self._end_jobs(request.id)
        self.engine.release(request, text)
        self._wake()

    def _end_jobs(self, request: int) -> None:
        """Those who wait for jobs of a request get None."""
        for job in self._open.pop(request, ()):
            self.spent_ns += int(self.env.now) - job.arrived_ns
            self.jobs.leave(int(self.env.now))
            event, job.event = job.event, None
            event.succeed_later(None)

    def crash(self) -> None:
        """Lose all jobs, the step under way and the memory; those who wait get None. It is up again at once."""
        self._num_crashes += 1
        for request in list(self._open):
            self._end_jobs(request)
        self.engine.lose_all()
        if self._under_way is not None:
            step, price, start_ns = self._under_way
            shares = self.cost_models[step.model].split(step.sizes, price.joules)
            self.engine.complete(step, start_ns, int(self.env.now), shares)
            if self.gpu is not None:
                self.gpu.end_step()
        self.engine.forget()
        self._under_way = self._gathering = None
        self._busy = False
        self._observe()
        self.monitor.is_busy = False

    def check(self, now_ns: int) -> None:
        """Little's law of its jobs.

        Raises:
            RunError: It does not hold.
        """
        inside_ns = sum(now_ns - job.arrived_ns for jobs in self._open.values() for job in jobs)
        self.jobs.check(now_ns, self.spent_ns + inside_ns)

    def _wake(self) -> None:
        """Start a step now, or when the window that the first arrival opened is over."""
        self._observe()
        if self._busy or self._is_starting or not self.engine.has_work:
            return
        if self.engine.window_ns == 0 or self.engine.is_full:
            self._gathering = None
            self._start_at_the_end_of_this_instant()
        elif self._gathering is None:
            self._gathering = FastTimeout(self.env, self.engine.window_ns, self._window_over, priority=LAST)

    def _observe(self) -> None:
        """Note what the engine holds from now on."""
        self.monitor.note(int(self.env.now), self.engine.state(), self.engine.unattributed_joules)

    def _start_at_the_end_of_this_instant(self) -> None:
        """Form the step when all else that happens now has happened.

        A device that gets a result now may submit again now, and of several that arrive at once none is the first: a
        step formed at once would split those that run in lockstep for ever.
        """
        if not self._is_starting:
            self._is_starting = True
            FastTimeout(self.env, 0, self._end_of_instant, priority=LAST)

    def _end_of_instant(self, _: simpy.Event) -> None:
        self._is_starting = False
        if not self._busy:
            self._start()

    def _window_over(self, window: simpy.Event) -> None:
        if self._gathering is window and not self._busy:
            self._start()

    def _start(self) -> None:
        self._gathering = None
        step = self.engine.next_step(int(self.env.now))
        if step is None:
            self._observe()
            return
        works = [item.job.work if item.finishes else None for item in step.items]
        wait_ns = 0 if self.gpu is None else self.gpu.begin_step()
        cost_model = self.priced(step.model)
        logits, price = run_batch(works, self.models.get(step.model), cost_model, step.sizes)
        start_ns, duration_ns = int(self.env.now), wait_ns + to_ns(price.seconds)
        self._under_way, num_crashes = (step, price, start_ns), self._num_crashes
        self._observe()
        self._busy = self.monitor.is_busy = True
        self._count(step, price, start_ns, start_ns + duration_ns)

        def finish(_: simpy.Event) -> None:
            if num_crashes == self._num_crashes:
                self._finish(step, price, logits, start_ns)

        if self.gpu is None:
            FastTimeout(self.env, duration_ns, finish)
        else:
            self._wait_on_shared_gpu(self.gpu, duration_ns, finish)

    def _wait_on_shared_gpu(self, gpu: SharedGpu, duration_ns: int, finish: Callable[[simpy.Event], None]) -> None:
        """A step whose end moves on by what the slots that begin while it is under way take from it."""
        since_ns, num_crashes = int(self.env.now), self._num_crashes

        def go_on(event: simpy.Event) -> None:
            nonlocal since_ns
            if num_crashes != self._num_crashes:
                return
            now_ns = int(self.env.now)
            more_ns, since_ns = gpu.lost_ns(since_ns, now_ns), now_ns
            if more_ns > 0:
                FastTimeout(self.env, more_ns, go_on)
                return
            gpu.end_step()
            finish(event)

        FastTimeout(self.env, duration_ns, go_on)

    def _count(self, step: EngineStep, price: Cost, start_ns: int, end_ns: int) -> None:
        counts, new_tokens = self.monitor.counts, sum([item.size.new_tokens for item in step.items])
        counts.steps += 1
        counts.jobs += len(step.items)
        counts.new_tokens += new_tokens
        counts.joules += price.joules
        if self.on_batch is not None:
            self.on_batch(Batch(start_ns, end_ns, step.model, len(step.items), new_tokens))

    def _finish(self, step: EngineStep, price: Cost, logits: Sequence[Logits | None], start_ns: int) -> None:
        now_ns = int(self.env.now)
        self.engine.complete(step, start_ns, now_ns, self.cost_models[step.model].split(step.sizes, price.joules))
        self._observe()
        self._busy = self.monitor.is_busy = False
        self._under_way = None
        for item, rows in zip(step.items, logits, strict=True):
            if item.finishes and item.job.event is not None:
                self._succeed(item.job, rows, now_ns)
        if self.engine.has_work:
            # Work that waited behind a step needs no further window: others had the time to join it.
            self._start_at_the_end_of_this_instant()

    def _succeed(self, job: Job, rows: Logits | None, now_ns: int) -> None:
        spent_ns = now_ns - job.arrived_ns
        queue_ns = spent_ns - job.compute_ns
        self._open[job.request.id].remove(job)
        self.jobs.leave(now_ns)
        self.spent_ns += spent_ns
        self.monitor.counts.finished += 1
        self.monitor.counts.queue_ns += queue_ns
        job.event.succeed_later(ForwardResult(queue_ns, job.compute_ns, job.joules, rows))
