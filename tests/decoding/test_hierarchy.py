"""The hierarchy planner against brute force over every chain and every choice of blocks, and against decoding."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from sim.decoding import decode
from sim.decoding.analysis.hierarchy import HopCosts, best_chain, chain_token_s
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.decoding.theory import expected_tokens, walltime_ratio
from sim.models.tabular import TabularModel


def brute_force(costs, acceptance, max_block, hop_costs=None) -> float:
    target = len(costs) - 1
    best = costs[target]
    for size in range(1, len(costs)):
        for below in combinations(range(target), size):
            for blocks in product(range(1, max_block + 1), repeat=size):
                best = min(best, chain_token_s(costs, acceptance, (*below, target), blocks, hop_costs))
    return best


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    num_models = int(rng.integers(2, 5))
    costs = np.sort(rng.uniform(0.01, 1.0, num_models))
    acceptance = rng.uniform(0.2, 0.98, (num_models, num_models))
    return costs, (acceptance + acceptance.T) / 2


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("with_hops", [False, True])
def test_plan_is_the_best_of_all_chains(seed, with_hops):
    costs, acceptance = random_case(seed)
    rng = np.random.default_rng(seed + 100)
    shape = acceptance.shape
    hops = HopCosts(rng.uniform(0, 0.3, shape), rng.uniform(0, 0.05, shape)) if with_hops else None
    found = best_chain(costs, acceptance, 4, hops)
    assert found.token_s == pytest.approx(brute_force(costs, acceptance, 4, hops), rel=1e-12)
    assert found.chain[-1] == len(costs) - 1
    assert list(found.chain) == sorted(found.chain)
    assert len(found.blocks) == len(found.chain) - 1
    assert chain_token_s(costs, acceptance, found.chain, found.blocks, hops) == pytest.approx(found.token_s, rel=1e-12)


def test_cases_cover_chains_of_every_depth():
    depths = {len(best_chain(*random_case(seed), 4).chain) for seed in range(200)}
    assert {1, 2, 3} <= depths


def test_two_models_at_one_site_are_ordinary_speculative_decoding():
    found = best_chain([0.1, 1.0], [[1, 0.8], [0.8, 1]], 16)
    best = max(range(1, 17), key=lambda gamma: walltime_ratio(0.8, gamma, 0.1))
    assert found.chain == (0, 1)
    assert found.blocks == (best,)
    assert found.token_s == pytest.approx(1 / walltime_ratio(0.8, best, 0.1))


def test_a_cheap_close_middle_model_earns_its_place():
    acceptance = np.array([[1.0, 0.85, 0.4], [0.85, 1.0, 0.9], [0.4, 0.9, 1.0]])
    found = best_chain([0.005, 0.08, 1.0], acceptance, 16)
    assert found.chain == (0, 1, 2)
    assert found.token_s < best_chain([0.005, 1.0], acceptance[np.ix_([0, 2], [0, 2])], 16).token_s
    assert found.token_s < best_chain([0.08, 1.0], acceptance[1:, 1:], 16).token_s


def test_a_long_hop_lengthens_blocks_and_then_ends_speculation():
    costs, acceptance = [0.02, 1.0], [[1, 0.8], [0.8, 1]]
    near = best_chain(costs, acceptance, 32, [[0, 0.0], [0, 0]])
    far = best_chain(costs, acceptance, 32, [[0, 1.5], [0, 0]])
    beyond = best_chain(costs, acceptance, 32, [[0, 9.0], [0, 0]])
    assert near.blocks[0] < far.blocks[0]
    assert beyond.chain == (1,)
    assert beyond.token_s == 1.0
    n = far.blocks[0]
    assert far.token_s == pytest.approx((n * 0.02 + 1.0 + 1.5) / expected_tokens(0.8, n))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="costs must be positive"):
        best_chain([0.0, 1.0], np.ones((2, 2)), 4)
    with pytest.raises(ValueError, match=r"acceptance must have shape \(2, 2\)"):
        best_chain([0.1, 1.0], np.ones((3, 3)), 4)
    with pytest.raises(ValueError, match=r"acceptance must lie in 0\.\.1"):
        best_chain([0.1, 1.0], [[1, 1.2], [1, 1]], 4)
    with pytest.raises(ValueError, match="max_block must be at least 1"):
        best_chain([0.1, 1.0], np.ones((2, 2)), 0)
    with pytest.raises(ValueError, match="hop_costs must be non-negative"):
        best_chain([0.1, 1.0], np.ones((2, 2)), 4, [[0, -1], [0, 0]])


# ---- against decoding -----------------------------------------------------------------------------------------------

# One row per model whatever the text, so that acceptance is independent from token to token, as the plan supposes.
ROWS = {
    "draft": [0.30, 0.30, 0.15, 0.15, 0.10],
    "middle": [0.50, 0.25, 0.12, 0.08, 0.05],
    "target": [0.60, 0.22, 0.10, 0.05, 0.03],
}
SECONDS = {"draft": 0.002, "middle": 0.02, "target": 0.2}


def decoded_token_s(chain: list[str], blocks: list[int]) -> tuple[float, float]:
    """Seconds per token of forwards really run, and the acceptance rate at the top."""
    models = {role: TabularModel.from_table({}, default=row, name=role) for role, row in ROWS.items()}
    settings = {"chain": chain, "blocks": blocks, "sites": ["device", *["edge"] * (len(chain) - 1)], "values": "fp32"}
    middle, tokens = {"middle": models["middle"]}, 700
    done = decode("hsd", models["draft"], models["target"], (0,), max_new_tokens=tokens, models=middle, **settings)
    spent_s = sum(SECONDS[step.model] for step in done.steps if isinstance(step, ComputeRecord))
    return spent_s / tokens, done.acceptance_rate


def test_the_plan_predicts_what_decoding_costs():
    """Planned from the models' overlaps: the best chain has three models, and decoding it costs what was predicted.

    The closed form is the limit of long buffers; inner blocks that are cut to fit cost a few per cent more. Some 90
    rounds of 8 tokens, which spread by 5 each, leave a standard error of 7 %: twice that is allowed.
    """
    rows = [np.array(row) for row in ROWS.values()]
    acceptance = np.array([[np.minimum(first, second).sum() for second in rows] for first in rows])
    costs = list(SECONDS.values())
    best = best_chain(costs, acceptance, 16)
    assert best.chain == (0, 1, 2)
    token_s, accepted = decoded_token_s(list(ROWS), list(best.blocks))
    assert accepted == pytest.approx(acceptance[1, 2], abs=0.04)
    assert token_s == pytest.approx(best.token_s, rel=0.14)
    pair = best_chain([costs[0], costs[2]], acceptance[np.ix_([0, 2], [0, 2])], 16)
    pair_s, _ = decoded_token_s(["draft", "target"], list(pair.blocks))
    assert pair_s == pytest.approx(pair.token_s, rel=0.14)
    assert token_s < pair_s
