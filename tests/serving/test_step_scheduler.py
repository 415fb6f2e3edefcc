"""What a step holds: decoding first, prompts in chunks of what is left, memory that is never overdrawn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.compute.base import WorkSize
from sim.core.errors import InputError
from sim.serving.base import EngineStep, Job, RequestInfo
from sim.serving.blocks import BlockPool
from sim.serving.policies.registry import POLICIES
from sim.serving.step_scheduler import StepLimits, StepScheduler


def scheduler(
    num_blocks: int | None = None, policy: str = "fcfs", max_num_seqs: int = 16, max_tokens: int = 512, **limits: bool
) -> StepScheduler:
    """A scheduler of blocks of 16 tokens."""
    order = POLICIES.find(policy).make()
    return StepScheduler(
        "target", StepLimits(max_num_seqs, max_tokens, **limits), BlockPool(num_blocks), order.key_of, order.rank_of
    )


def request(number: int, prompt: int = 16, **keys: int) -> RequestInfo:
    """A request whose prompt is like no other's."""
    return RequestInfo(number, range(1000 * number, 1000 * number + prompt), **keys)


def job(info: RequestInfo, new: int, context: int, rows: int = 1, arrived_ns: int = 0) -> Job:
    """A job that somebody waits for."""
    return Job(info, "target", WorkSize(new, context, rows), arrived_ns, event="somebody")


def first_job(info: RequestInfo, drafted: int = 0) -> Job:
    """The whole prompt and a draft."""
    length = len(info.prompt) + drafted
    return job(info, length, length, drafted + 1)


def finish(engine: StepScheduler, step: EngineStep | None) -> list[int]:
    """Complete a step; returns whose jobs have ended."""
    assert step is not None
    engine.complete(step, 0, 1, [0.0] * len(step.items))
    engine.memory.pool.check()
    return [item.job.request.id for item in step.items if item.finishes]


def parts(step: EngineStep | None) -> list[tuple[int, int, int, int]]:
    """Request, new tokens, context and rows of a step's items."""
    assert step is not None
    sizes = [(item.job.request.id, item.size) for item in step.items]
    return [(number, size.new_tokens, size.context_tokens, size.num_rows) for number, size in sizes]


def test_a_prompt_is_computed_in_chunks_and_decoding_goes_on_beside_it() -> None:
    engine = scheduler()
    for number in range(15):
        engine.submit(first_job(request(number), drafted=4))
    finish(engine, engine.next_step())
    engine.submit(first_job(request(99, prompt=2048)))
    steps = []
    for turn in range(5):
        for number in range(15):
            base = 16 + 5 * turn
            engine.submit(job(request(number), 5, base + 5, 5))
        step = engine.next_step()
        steps.append([part for part in parts(step) if part[0] == 99])
        assert step is not None and len(step.items) == 16 and sum(size.new_tokens for size in step.sizes) <= 512
        finish(engine, step)
    assert steps == [
        [(99, 437, 437, 0)],
        [(99, 437, 874, 0)],
        [(99, 437, 1311, 0)],
        [(99, 437, 1748, 0)],
        [(99, 300, 2048, 1)],
    ]


def test_a_whole_prompt_runs_in_one_step() -> None:
    engine = scheduler(chunked=False)
    engine.submit(first_job(request(1, prompt=2048)))
    engine.submit(first_job(request(2, prompt=2048)))
    assert parts(engine.next_step()) == [(1, 2048, 2048, 1)]


def test_rows_are_not_cut_apart() -> None:
    engine = scheduler(max_tokens=10)
    engine.submit(first_job(request(1, prompt=18), drafted=4))
    steps = []
    while engine.has_work:
        step = engine.next_step()
        steps.append(*parts(step))
        finish(engine, step)
    assert steps == [(1, 10, 10, 0), (1, 7, 17, 0), (1, 5, 22, 5)]


def test_a_prompt_computed_ahead_leaves_the_draft_and_its_last_token() -> None:
    engine = scheduler()
    info = request(1, prompt=400)
    engine.prefill(Job(info, "target", WorkSize(399, 399, 0), 0))
    assert finish(engine, engine.next_step()) == [1]
    assert not engine.has_work
    engine.submit(first_job(info, drafted=4))
    assert parts(engine.next_step()) == [(1, 5, 404, 5)]


def test_a_job_that_comes_with_its_prompt_is_one_piece() -> None:
    engine = scheduler()
    info = request(1, prompt=400)
    engine.prefill(Job(info, "target", WorkSize(399, 399, 0), 0))
    engine.submit(first_job(info))
    assert parts(engine.next_step()) == [(1, 400, 400, 1)]


def test_a_job_that_comes_during_its_prompt_pays_for_both_and_waits_for_neither() -> None:
    engine = scheduler()
    info = request(1, prompt=400)
    engine.prefill(Job(info, "target", WorkSize(399, 399, 0), 0))
    step = engine.next_step()
    late = first_job(info, drafted=4)
    late.arrived_ns = 30
    engine.submit(late)
    assert step is not None
    engine.complete(step, 0, 100, [3.0])
    step = engine.next_step()
    assert parts(step) == [(1, 5, 404, 5)] and step is not None
    engine.complete(step, 100, 110, [1.0])
    assert late.compute_ns == 80 and late.joules == 4.0


def test_the_running_set_keeps_its_place_while_it_decodes() -> None:
    """Sixteen of 64 requests run to their end before any other begins."""
    engine = scheduler(max_num_seqs=16)
    infos = [request(number) for number in range(64)]
    for info in infos:
        engine.submit(first_job(info))
    seen: list[list[int]] = []
    for turn in range(8):
        ended = finish(engine, engine.next_step())
        seen.append(sorted(ended))
        for number in ended:
            if turn % 4 == 3:
                engine.release(infos[number], None)
            else:
                engine.submit(job(infos[number], 1, 17 + turn % 4))
    assert seen == [list(range(16))] * 4 + [list(range(16, 32))] * 4


def test_who_waits_for_a_draft_gives_up_the_place_and_keeps_the_memory() -> None:
    engine = scheduler(num_blocks=8, max_num_seqs=1)
    one, two = request(1), request(2)
    engine.submit(first_job(one))
    engine.submit(first_job(two))
    assert finish(engine, engine.next_step()) == [1]
    assert finish(engine, engine.next_step()) == [2]
    assert engine.memory.pool.num_used == 2
    engine.submit(job(one, 5, 21, 5))
    assert parts(engine.next_step()) == [(1, 5, 21, 5)]


def test_the_last_to_come_loses_its_memory_and_is_computed_anew() -> None:
    engine = scheduler(num_blocks=4, max_num_seqs=4)
    one, two = request(1, prompt=32), request(2, prompt=32)
    for info in (one, two):
        engine.submit(first_job(info))
    assert finish(engine, engine.next_step()) == [1, 2]
    for info in (one, two):
        engine.submit(job(info, 1, 33))
    step = engine.next_step()
    assert parts(step) == [(1, 1, 33, 1)] and engine.num_preemptions == 1
    finish(engine, step)
    assert engine.next_step() is None  # one block is left, and three are needed
    engine.release(one, None)
    assert parts(engine.next_step()) == [(2, 33, 33, 1)]


def test_a_prompt_that_loses_its_memory_half_way_begins_anew() -> None:
    engine = scheduler(num_blocks=4, max_tokens=20)
    first, second = request(1), request(2, prompt=40)
    engine.submit(first_job(first))
    engine.submit(first_job(second))
    step = engine.next_step()
    assert parts(step) == [(1, 16, 16, 1), (2, 4, 4, 0)]
    finish(engine, step)
    engine.submit(job(first, 5, 21, 5))
    step = engine.next_step()
    assert parts(step) == [(1, 5, 21, 5)] and engine.state().preemptions == 1
    finish(engine, step)
    engine.release(first, None)
    steps = []
    while engine.has_work:
        step = engine.next_step()
        steps.append(*parts(step))
        finish(engine, step)
    assert steps == [(2, 20, 20, 0), (2, 20, 40, 1)]


def test_a_block_whose_last_row_is_wanted_is_computed_whole() -> None:
    """Two blocks of prompt are known; the second holds the position whose row is wanted and is not written into."""
    engine = scheduler(prefix_cache=True)
    prompt = range(32)
    for number, computed in ((1, 32), (2, 16)):
        info = RequestInfo(number, prompt, shared_tokens=32)
        engine.submit(first_job(info))
        step = engine.next_step()
        assert parts(step) == [(number, computed, 32, 1)]
        finish(engine, step)


def test_a_text_that_never_fits_is_refused() -> None:
    engine = scheduler(num_blocks=4)
    with pytest.raises(InputError, match="a text of 65 tokens needs 5 blocks of key-value memory, and the target"):
        engine.submit(first_job(request(1, prompt=65)))


def test_shared_prefixes_are_found_once_they_are_computed() -> None:
    engine = scheduler()
    system = tuple(range(64))
    infos = [RequestInfo(n, (*system, *range(100 * n, 100 * n + 36)), shared_tokens=64) for n in range(1, 4)]
    engine.submit(first_job(infos[0]))
    finish(engine, engine.next_step())
    engine.submit(first_job(infos[1]))
    assert parts(engine.next_step()) == [(2, 36, 100, 1)]
    assert engine.memory.pool.num_used == 7 + 3  # four blocks are shared
    assert (engine.memory.prefix_hits, engine.memory.prefix_queries) == (64, 200)


def test_a_chat_session_finds_its_history() -> None:
    engine = scheduler()
    first = RequestInfo(1, tuple(range(40)), salt=5)
    engine.submit(first_job(first))
    finish(engine, engine.next_step())
    answer = tuple(range(500, 530))
    for number in range(1, 30):
        engine.submit(job(first, 1, 40 + number))
        finish(engine, engine.next_step())
    engine.release(first, lambda: (*first.prompt, *answer))
    followed = RequestInfo(2, (*first.prompt, *answer, *range(600, 620)), salt=5)
    stranger = RequestInfo(3, followed.prompt, salt=6)
    engine.submit(first_job(followed))
    assert parts(engine.next_step()) == [(2, 90 - 64, 90, 1)]
    engine.submit(first_job(stranger))
    assert parts(engine.next_step()) == [(3, 90, 90, 1)]


@pytest.mark.parametrize(("policy", "first"), [("fcfs", 1), ("priority", 2), ("edf", 3)])
def test_order_of_service(policy: str, first: int) -> None:
    engine = scheduler(policy=policy, max_num_seqs=1)
    engine.submit(first_job(request(1)))
    engine.submit(first_job(request(2, priority=1)))
    engine.submit(first_job(request(3, ttft_ns=10)))
    assert parts(engine.next_step())[0][0] == first


Actions = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(1, 6)), min_size=1, max_size=80)


@settings(max_examples=150, deadline=None)
@given(
    actions=Actions,
    num_blocks=st.integers(6, 20),
    max_num_seqs=st.integers(1, 5),
    max_tokens=st.integers(1, 40),
    chunked=st.booleans(),
    policy=st.sampled_from(["fcfs", "priority", "edf"]),
)
def test_memory_is_never_overdrawn_and_everybody_is_served(
    actions: list[tuple[int, int, int]], num_blocks: int, max_num_seqs: int, max_tokens: int, chunked: bool, policy: str
) -> None:
    """Whatever requests do, every job ends, all memory comes back, and each step keeps its limits."""
    engine = scheduler(num_blocks, policy, max_num_seqs, max_tokens, chunked=chunked)
    infos = {n: RequestInfo(n, (*range(20), *[n] * n), shared_tokens=n % 2 * 20, priority=n % 3) for n in range(8)}
    lengths: dict[int, int] = {}
    waiting: set[int] = set()
    step: EngineStep | None = None

    def end_step() -> None:
        nonlocal step
        if step is not None:
            waiting.difference_update(finish(engine, step))
            step = None

    for action, number, size in actions:
        info = infos[number]
        if action <= 1 and number not in waiting:
            base = lengths.get(number, 0)
            length = (base or len(info.prompt)) + size
            if -(-length // 16) > num_blocks:
                continue
            lengths[number] = length
            waiting.add(number)
            engine.submit(job(info, length - base, length, size))
        elif action == 2 and number not in lengths:
            tokens = len(info.prompt) - 1
            engine.prefill(Job(info, "target", WorkSize(tokens, tokens, 0), 0))
        elif action == 3:
            end_step()
            step = engine.next_step()
            if step is not None:
                assert len(step.items) <= max_num_seqs
                over = sum(size.new_tokens for size in step.sizes) > max_tokens
                assert not over or len(step.items) == 1 or not chunked
        elif action == 4:
            engine.release(info, None)
            lengths.pop(number, None)
            waiting.discard(number)
            engine.memory.pool.check()
    end_step()
    while (step := engine.next_step()) is not None:
        end_step()
    blocked = set(waiting)
    for number in [number for number in infos if number not in blocked]:
        engine.release(infos[number], None)  # those that hold memory and ask for nothing leave
    while (step := engine.next_step()) is not None:
        done = set(waiting)
        end_step()
        for number in done - waiting:
            engine.release(infos[number], None)
    assert not waiting and not engine.has_work
    for info in infos.values():
        engine.release(info, None)
    engine.memory.pool.check()
    assert engine.memory.pool.num_used == 0
