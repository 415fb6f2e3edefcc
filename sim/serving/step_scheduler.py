"""Continuous batching of one model: who is in the running set, and what of whom the next step computes.

Steps are formed as vLLM and Sarathi-Serve form them (A. Agrawal et al., OSDI 2024): sequences whose text is in memory
come first, each with all that its job needs; prompts fill what is left of the token budget, chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from sim.compute.base import WorkSize
from sim.core.errors import InputError
from sim.serving.base import EngineState, EngineStep, Job, RequestInfo, StepItem, Text
from sim.serving.blocks import BlockPool
from sim.serving.sequence import Batching, KeyOf, OrderKey, PendingJob, RankOf, SequenceState
from sim.serving.sequence_memory import SequenceMemory
from sim.serving.sequence_queues import SequenceQueues


@dataclass(frozen=True, slots=True)
class StepLimits:
    """What bounds a step.

    Attributes:
        max_num_seqs: Sequences in the running set.
        max_tokens: New tokens per step.
        chunked: Whether a prompt may be cut to what is left of them; otherwise one prompt at a time runs whole.
        block_tokens: Tokens per block of key-value memory.
        prefix_cache: Whether prompts share the blocks of prefixes that they have in common.
    """

    max_num_seqs: int
    max_tokens: int
    chunked: bool = True
    block_tokens: int = 16
    prefix_cache: bool = True


class StepScheduler:
    """The sequences of one model on one server.

    A sequence is in the running set while its jobs follow each other without a gap, as those of a decoding request do.
    One whose next job has yet to arrive, such as the next draft of a device, keeps its memory and gives up its place.

    Args:
        model: Role of the model.
        limits: Bounds of a step.
        pool: Its key-value memory.
        key_of: Order of waiting jobs.
        rank_of: Order of service, by which memory is taken away.
        batching: Chooses the drafts that a step takes; None takes all that fit.
    """

    def __init__(
        self,
        model: str,
        limits: StepLimits,
        pool: BlockPool,
        key_of: KeyOf,
        rank_of: RankOf,
        batching: Batching | None = None,
    ) -> None:
        self.model = model
        self.limits = limits
        self.memory = SequenceMemory(pool, limits.block_tokens, limits.prefix_cache)
        self.running: list[SequenceState] = []
        self.num_preemptions = 0
        self._key_of = key_of
        self._rank_of = rank_of
        self._batching = batching
        self._sequences: dict[int, SequenceState] = {}
        self._queues = SequenceQueues()  # of those without a place in the running set
        self._num_jobs = count()
        self._num_sequences = count()

    def submit(self, job: Job) -> None:
        """Take a job; the first one of a request takes over from its prompt that is computed ahead.

        Raises:
            InputError: The memory does not hold it, even if nobody else is served.
        """
        sequence = self._sequences.get(job.request.id)
        pending = PendingJob(job, self._key_of(job, next(self._num_jobs)))
        needed, num_blocks = self.memory.num_blocks(pending.extent), self.memory.pool.num_blocks
        if num_blocks is not None and needed > num_blocks:
            raise InputError(
                f"a text of {pending.extent} tokens needs {needed} blocks of key-value memory, and the {self.model} "
                f"model has {num_blocks} of {self.limits.block_tokens} tokens: "
                "use hardware with more memory or fewer bytes"
            )
        if sequence is None:
            sequence = self._sequences[job.request.id] = self._make_sequence(job.request)
        if sequence.pending and sequence.pending[-1].is_ahead:
            pending.key = sequence.pending[-1].key
            if not sequence.in_step:
                sequence.pending[-1] = pending
                return
        self._learn_round(sequence, job)
        sequence.pending.append(pending)
        if len(sequence.pending) == 1 and not sequence.is_running:
            self._queues.add(sequence)

    def _learn_round(self, sequence: SequenceState, job: Job) -> None:
        """Tell the batching what came of a request's last draft."""
        if self._batching is None:
            return
        before, sequence.verified = sequence.verified, (job.base_tokens, job.size.num_rows - 1)
        if before is not None and 0 < before[0] < job.base_tokens:
            self._batching.learn_round(job.request.id, job.base_tokens - before[0], before[1])

    def prefill(self, job: Job) -> None:
        """Compute a prompt ahead of the request's first job."""
        if job.size.new_tokens > 0 and job.request.id not in self._sequences:
            self.submit(job)

    def _make_sequence(self, request: RequestInfo) -> SequenceState:
        rank = self._rank_of(request, next(self._num_sequences))
        return SequenceState(request, rank, self.memory.prompt_hashes(request))

    @property
    def has_work(self) -> bool:
        """Whether any job is left."""
        return bool(self._queues) or any(sequence.pending for sequence in self.running)

    @property
    def num_waiting(self) -> int:
        """Sequences with a job and without a place in the running set."""
        return len(self._queues)

    @property
    def first_key(self) -> OrderKey:
        """Place of the job that comes first; only where there is one."""
        keys = [sequence.pending[0].key for sequence in self.running if sequence.pending]
        return min([*keys, *self._queues.keys])

    def next_step(self, now_ns: int = 0) -> EngineStep | None:
        """Form a step; None if nobody can have the memory that is needed, or all drafts are to wait for others."""
        self._drop_idle()
        self._fill_running_set()
        ordered = sorted(self.running, key=lambda sequence: sequence.pending[0].key)
        items: list[StepItem] = []
        budget = self.limits.max_tokens
        for sequence in self._chosen(ordered, now_ns):
            if sequence.is_running and not sequence.is_prefill:
                budget -= self._add_whole(sequence, budget, items)
        may_overrun = not self.limits.chunked
        for sequence in ordered:
            if sequence.is_running and not sequence.in_step and sequence.is_prefill:
                tokens = self._add_prefill(sequence, budget, may_overrun, items)
                may_overrun = may_overrun and not tokens
                budget -= tokens
        return EngineStep(self.model, items) if items else None

    def _chosen(self, ordered: Sequence[SequenceState], now_ns: int) -> Sequence[SequenceState]:
        """Of the running sequences those whose drafts this step may take."""
        if self._batching is None:
            return ordered
        offers = [sequence for sequence in ordered if not sequence.is_prefill]
        away = [sequence for sequence in self._sequences.values() if not sequence.pending]
        return self._batching.choose(offers, away, now_ns) if offers else ()

    def _drop_idle(self) -> None:
        for sequence in self.running:
            sequence.is_running = bool(sequence.pending)
        self.running = [sequence for sequence in self.running if sequence.is_running]

    def _fill_running_set(self) -> None:
        """Take in waiting jobs in their order; new ones only while memory and the step's budget have room."""
        prompt_tokens = sum([sequence.remaining() for sequence in self.running if sequence.is_prefill])
        may_admit = True
        while len(self.running) < self.limits.max_num_seqs:
            has_room = may_admit and prompt_tokens < self.limits.max_tokens
            sequence = self._queues.first_waiting() if has_room else None
            if sequence is not None:
                if not self.memory.admit(sequence):
                    may_admit = False
                    continue
                self._queues.pop_waiting()
                prompt_tokens += sequence.remaining()
            else:
                sequence = self._queues.pop_ready()
                if sequence is None:
                    return
            sequence.is_running = True
            self.running.append(sequence)

    def _add_whole(self, sequence: SequenceState, budget: int, items: list[StepItem]) -> int:
        """Add a job whose text is in memory; one that is larger than any budget runs alone."""
        tokens = sequence.remaining()
        if (tokens > budget and items) or not self._grow(sequence):
            return 0
        items.append(self._item(sequence, tokens))
        return tokens

    def _add_prefill(self, sequence: SequenceState, budget: int, may_overrun: bool, items: list[StepItem]) -> int:
        """Add what there is room for of a prompt; the positions whose rows are wanted are not cut apart."""
        tokens, rows = sequence.remaining(), sequence.pending[0].job.size.num_rows
        if tokens > budget and not may_overrun:
            cut = min(budget, tokens - rows) if self.limits.chunked else 0
            if cut <= 0 and items:
                return 0
            tokens = cut if cut > 0 else tokens
        if not self._grow(sequence):
            return 0
        items.append(self._item(sequence, tokens))
        return tokens

    def _item(self, sequence: SequenceState, tokens: int) -> StepItem:
        pending = sequence.pending[0]
        whole, reached = pending.job.size, sequence.start() + tokens
        finishes = reached == pending.extent
        if finishes and tokens == whole.new_tokens:
            part = whole
        elif finishes:
            part = WorkSize(tokens, whole.context_tokens, whole.num_rows)
        else:
            part = WorkSize(tokens, reached, 0)
        sequence.in_step = True
        pending.progress = reached
        return StepItem(pending.job, part, finishes, sequence)

    def _grow(self, sequence: SequenceState) -> bool:
        """Get the blocks for a sequence's job, if need be from those that come after it in order of service."""
        missing = self.memory.num_missing(sequence)
        if missing <= 0:
            return True
        while missing > self.memory.pool.num_available:
            others = (other for other in self._sequences.values() if other.blocks and not other.in_step)
            last = max(others, key=lambda other: other.rank)
            if last is sequence:
                return False
            self._preempt(last)
        self.memory.extend(sequence, missing)
        return True

    def _preempt(self, sequence: SequenceState) -> None:
        """Take a sequence's memory; what was computed is computed anew when its turn comes again."""
        self.num_preemptions += 1
        self._queues.remove(sequence)
        self.memory.free(sequence)
        for pending in sequence.pending:
            pending.progress = None
        if sequence.is_running:
            sequence.is_running = False
            self.running.remove(sequence)
        if sequence.pending:
            self._queues.add(sequence)

    def complete(self, step: EngineStep, start_ns: int, end_ns: int, joules: Iterable[float]) -> float:
        """Note what a step has computed; returns the joules that nobody is left to be charged for."""
        left_joules = 0.0
        if self._batching is not None:
            self._batching.learn(step.sizes, end_ns - start_ns)
        for item, share in zip(step.items, joules, strict=True):
            sequence: SequenceState = item.sequence
            sequence.in_step = False
            if sequence.is_released:
                left_joules += share
                self.memory.free(sequence)
                continue
            sequence.charge(item.job, start_ns, end_ns, share)
            pending = sequence.pending[0]
            assert pending.job is item.job and pending.progress is not None
            sequence.computed = pending.progress
            self.memory.register(sequence)
            if item.finishes or (pending.is_ahead and len(sequence.pending) > 1):
                sequence.pending.popleft()
            if item.finishes and not pending.is_ahead:
                item.job.joules += sequence.owed_joules
                sequence.owed_joules = 0.0
        return left_joules

    def release(self, request: RequestInfo, text: Text | None) -> float:
        """Free a request's memory; with its text, followers of the same salt find it in the prefix cache.

        Returns:
            Joules of its prompt that no job was charged for.
        """
        sequence = self._sequences.pop(request.id, None)
        if sequence is None:
            return 0.0
        if self._batching is not None:
            self._batching.forget(request.id)
        if sequence.pending and not sequence.is_running:
            self._queues.remove(sequence)
        if sequence.is_running:
            sequence.is_running = False
            self.running.remove(sequence)
        left_joules = sequence.owed_joules + sum(pending.job.joules for pending in sequence.pending)
        sequence.is_released = True
        sequence.pending.clear()
        if sequence.in_step:
            return left_joules
        if text is not None and sequence.hashes and request.salt is not None:
            self.memory.register_text(sequence, text())
        self.memory.free(sequence)
        return left_joules

    def held_tokens(self, request: RequestInfo) -> int:
        """Tokens of a request whose keys and values are in memory."""
        sequence = self._sequences.get(request.id)
        return 0 if sequence is None else sequence.computed

    def adopt(self, request: RequestInfo, tokens: int) -> bool:
        """Give a request memory that holds the keys and values of so many tokens, unless there are too few blocks."""
        if request.id in self._sequences:
            return False
        sequence = self._make_sequence(request)
        if not self.memory.adopt(sequence, tokens):
            return False
        self._sequences[request.id] = sequence
        return True

    def lose_all(self) -> float:
        """Drop all sequences; returns the joules that nobody was charged for."""
        return sum([self.release(sequence.request, None) for sequence in list(self._sequences.values())])

    def state(self) -> EngineState:
        """What it holds now."""
        memory = self.memory
        return EngineState(
            len(self.running),
            len(self._queues),
            memory.pool.used_share,
            self.num_preemptions,
            memory.prefix_queries,
            memory.prefix_hits,
        )
