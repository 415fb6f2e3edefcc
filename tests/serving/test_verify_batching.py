"""Which drafts a step verifies: WISP's deadlines and goodput density, and batches of a cohort."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest

from sim.compute.base import WorkSize
from sim.runs.world import World
from sim.serving.base import EngineStep, RequestInfo
from sim.serving.blocks import BlockPool
from sim.serving.policies.cohort import CohortBatching
from sim.serving.policies.registry import POLICIES
from sim.serving.policies.wisp import Draft, VerifyTime, WispBatching, best_batch
from sim.serving.sequence import Batching, SequenceState
from sim.serving.step_scheduler import StepLimits, StepScheduler
from tests.serving.test_step_scheduler import finish, job, request
from tests.worlds import drawn_inputs, small_scenario

INF = float("inf")


def scheduler(batching: Batching, max_num_seqs: int = 16) -> StepScheduler:
    """A scheduler whose drafts are chosen by this."""
    order = POLICIES.find("fcfs").make()
    limits = StepLimits(max_num_seqs, 512)
    return StepScheduler("target", limits, BlockPool(None), order.key_of, order.rank_of, batching)


def draft(tokens: float, own_s: float, left_s: float = INF, is_forced: bool = False) -> Draft:
    return Draft(SequenceState(RequestInfo(0, [0]), (0,), []), tokens, own_s, left_s, is_forced)


def test_the_verify_time_is_fitted_to_steps():
    """Steps of 20 ms + 0.1 ms a token + 2 us a token of context: within 0.1 %; and no part is ever negative."""
    rng, fitted = np.random.default_rng(3), VerifyTime()
    for _ in range(30):
        sizes = [WorkSize(int(rng.integers(1, 9)), int(rng.integers(100, 900)), 1) for _ in range(rng.integers(1, 12))]
        seconds = 0.02 + 1e-4 * sum(s.new_tokens for s in sizes) + 2e-6 * sum(s.context_tokens for s in sizes)
        fitted.learn(sizes, seconds)
    assert fitted.coefficients == pytest.approx([0.02, 1e-4, 2e-6], rel=1e-3)
    falling = VerifyTime()
    for new_tokens in (1, 2, 3):
        falling.learn([WorkSize(new_tokens, 100, 1)], 0.1 - 0.01 * new_tokens)
    assert (falling.coefficients >= 0).all()


@pytest.mark.parametrize("seed", range(40))
def test_without_deadlines_the_batch_has_the_highest_goodput_of_all_subsets(seed):
    rng = np.random.default_rng(seed)
    drafts = [draft(float(rng.uniform(1, 4)), float(rng.uniform(1e-3, 3e-2))) for _ in range(rng.integers(1, 8))]
    fixed_s = float(rng.uniform(0, 0.03))

    def goodput(some) -> float:
        return sum(d.tokens for d in some) / (fixed_s + sum(d.own_s for d in some))

    subsets = chain.from_iterable(combinations(drafts, count) for count in range(1, len(drafts) + 1))
    assert goodput(best_batch(drafts, fixed_s)) == pytest.approx(max(map(goodput, subsets)), rel=1e-12)


def test_an_urgent_draft_comes_first_and_nobody_makes_it_late():
    urgent, cheap, large = draft(1.0, 0.02, left_s=0.05), draft(3.0, 0.01), draft(4.0, 0.03)
    assert best_batch([large, cheap, urgent], 0.01) == [urgent, cheap]
    assert best_batch([large, cheap, draft(1.0, 0.02, left_s=0.5)], 0.01)[0] is cheap
    lost = draft(1.0, 0.02, left_s=0.001)  # it can no longer be met: no reason to hurry
    assert best_batch([large, cheap, lost], 0.01)[0] is cheap


def test_a_draft_that_was_passed_over_is_not_passed_over_again():
    poor, rich = draft(1.0, 0.1), [draft(4.0, 0.001) for _ in range(20)]
    assert poor not in best_batch([poor, *rich], 0.001)
    assert best_batch([draft(1.0, 0.1, is_forced=True), *rich], 0.001)[0].is_forced


def test_the_server_learns_acceptance_from_the_growth_of_texts():
    """A draft of 4 of which 2 were accepted: the next text is 3 tokens longer."""
    batching = WispBatching()
    engine = scheduler(batching)
    info = request(1, prompt=20)
    for base in (0, 19, 22, 27):
        new = 24 if base == 0 else 5
        engine.submit(job(info, new, base + new, rows=5))
        finish(engine, engine.next_step())
    # Rounds after the first: 3 tokens of a draft of 4, and 5 of 4: accepted 2 of 3 tested, and 4 of 4.
    assert batching.acceptance(1) == pytest.approx((2 + 4 + 2.8) / (3 + 4 + 4))
    engine.release(info, None)
    assert batching.acceptance(1) == pytest.approx(0.7)


def cohort_of(engine: StepScheduler, batches: list[int | None]) -> list[RequestInfo]:
    """Requests whose prompts are computed, in these batches."""
    infos = [request(number) for number in range(len(batches))]
    for info, batch in zip(infos, batches, strict=True):
        engine.submit(job(info, 16, 16))
        finish(engine, engine.next_step())
        info.verify_batch = batch
    return infos


def ids(step: EngineStep | None) -> list[int]:
    return [] if step is None else [item.job.request.id for item in step.items]


def test_a_batch_waits_until_it_is_whole():
    engine = scheduler(CohortBatching())
    infos = cohort_of(engine, [0, 1, 0, None])
    engine.submit(job(infos[0], 4, 20))
    assert ids(engine.next_step()) == []
    engine.submit(job(infos[1], 4, 20))
    step = engine.next_step()
    assert ids(step) == [1]
    finish(engine, step)
    engine.submit(job(infos[3], 4, 20))
    step = engine.next_step()
    assert ids(step) == [3]  # in no batch: it waits for nobody
    finish(engine, step)
    engine.submit(job(infos[2], 4, 20))
    assert ids(engine.next_step()) == [0, 2]


def test_a_batch_does_not_wait_for_who_has_ended_nor_for_who_has_no_place():
    engine = scheduler(CohortBatching())
    infos = cohort_of(engine, [0, 0])
    engine.submit(job(infos[0], 4, 20))
    assert ids(engine.next_step()) == []
    engine.release(infos[1], None)
    assert ids(engine.next_step()) == [0]
    narrow = scheduler(CohortBatching(), max_num_seqs=1)
    infos = cohort_of(narrow, [0, 0])
    for info in infos:
        narrow.submit(job(info, 4, 20))
    assert len(ids(narrow.next_step())) == 1


def tight_and_loose(policy: str) -> tuple[list[float], list[float]]:
    """Seconds per output token of 8 devices with an objective of 0.16 s and of 16 with none, at one busy server."""
    often = {"requests": 3, "think_time_s": 0.3}
    scenario = small_scenario(
        devices=[
            {"name": "tight", "count": 8, **often, "slo": {"ttft_s": 0.05, "tpot_s": 0.16}},
            {"name": "loose", "count": 16, **often},
        ],
        workload={"max_new_tokens": 20},
        link={"kind": "fixed", "uplink_mbps": 50, "downlink_mbps": 50},
        edge={"policy": policy},
        compute={
            "device": {"kind": "fixed", "per_forward_s": 0.002},
            "edge": {"kind": "fixed", "per_forward_s": 0.005, "per_token_s": 0.005},
            "cloud": {"kind": "fixed"},
        },
    )
    rows = World(scenario, drawn_inputs(scenario)).run().requests
    return tuple([row["tpot_s"] for row in rows if row["kind"] == kind] for kind in ("tight", "loose"))


def test_wisp_serves_those_with_an_objective_faster_and_the_others_little_slower():
    tight, loose = tight_and_loose("fcfs")
    tight_by_wisp, loose_by_wisp = tight_and_loose("wisp")
    assert np.mean(tight_by_wisp) < 0.92 * np.mean(tight)
    assert np.mean(loose_by_wisp) < 1.08 * np.mean(loose)
    assert sum(value <= 0.16 for value in tight_by_wisp) > sum(value <= 0.16 for value in tight)
