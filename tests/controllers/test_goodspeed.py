"""The shared verify budget: what is granted, what it is worth to the users, and what it costs on the air."""

from __future__ import annotations

from itertools import product
from math import log

import numpy as np
import pytest

from sim.decoding.controllers.goodspeed import GoodputEstimates, GoodSpeed, GoodSpeedSettings
from sim.decoding.core.controller import Controls
from sim.decoding.core.messages import VerdictBody, VerdictLayout
from sim.decoding.core.request import Request
from sim.decoding.theory import expected_tokens
from tests.worlds import simulate, small_scenario


def play_slots(alphas: tuple[float, ...], budget: int, num_slots: int = 3000) -> tuple[GoodputEstimates, np.ndarray]:
    """Grant, draft, verify, learn, slot by slot; the estimates and each user's expected goodput, [num_users]."""
    rng = np.random.default_rng(4)
    estimates = GoodputEstimates(GoodSpeedSettings(verify_budget=budget, smoothing=0.02))
    tokens = np.zeros(len(alphas))
    for device in range(len(alphas)):
        estimates.serve(estimates.add_device(), Request(device, [0], 8, 10))
    for slot in range(num_slots):
        for device, length in estimates.grants().items():
            accepted = min(int(rng.geometric(1 - alphas[device])) - 1, length)
            estimates.learn(device, accepted + 1, min(length, accepted + 1), accepted)
            if slot >= num_slots // 3:
                tokens[device] += expected_tokens(alphas[device], length)
    return estimates, tokens / (num_slots - num_slots // 3)


USERS = [((0.9, 0.5, 0.3), 9), ((0.8, 0.8, 0.4, 0.6), 8), ((0.7, 0.7), 6)]


@pytest.mark.parametrize(("alphas", "budget"), USERS)
def test_log_utility_reaches_the_best_fixed_split(alphas, budget):
    """Sum log goodput is at least that of the best integer split, up to what estimating alpha costs, 1 % a user."""
    _, goodput = play_slots(alphas, budget)

    def utility(lengths: tuple[int, ...]) -> float:
        return sum(log(expected_tokens(alpha, length)) for alpha, length in zip(alphas, lengths, strict=True))

    splits = (split for split in product(range(budget + 1), repeat=len(alphas)) if sum(split) <= budget)
    best = max(utility(split) for split in splits)
    assert sum(log(x) for x in goodput) > best - 0.01 * len(alphas)
    assert sum(log(x) for x in goodput) < sum(log(1 / (1 - alpha)) for alpha in alphas)


@pytest.mark.parametrize(("alphas", "budget"), USERS)
def test_one_token_more_is_worth_the_same_to_everybody(alphas, budget):
    """Proportional fairness: after the grants no user values its next token above what another's last was worth."""
    estimates, _ = play_slots(alphas, budget)
    lengths = estimates.grants()
    assert sum(lengths.values()) == budget
    worth = [estimates.acceptance_rate(device) / estimates._goodput[device] for device in lengths]
    rates = [estimates.acceptance_rate(device) for device in lengths]
    next_worths = [w * a**k for w, a, k in zip(worth, rates, lengths.values(), strict=True)]
    last_worths = [w * a ** (k - 1) for w, a, k in zip(worth, rates, lengths.values(), strict=True) if k]
    assert max(next_worths) <= min(last_worths) + 1e-12


def test_equal_users_get_equal_goodput_and_the_book_forgets_nobody():
    estimates, goodput = play_slots((0.7, 0.7), 6)
    assert goodput[0] == pytest.approx(goodput[1], rel=0.02)
    assert set(estimates.grants()) == {0, 1}
    finished = Request(1, [0], 8, 1)
    finished.emit([1])
    estimates.serve(1, finished)
    assert estimates.grants() == {0: 6}  # a device without a request leaves the budget to the others


def test_grants_ride_on_verdicts_and_are_charged():
    scenario = small_scenario(controller={"name": "goodspeed", "verify_budget": 6, "max_draft_length": 7})
    output = simulate(scenario)
    controller = GoodSpeed(GoodSpeedSettings(max_draft_length=7))
    request = Request(0, [0], 16, 12, controller=controller)
    verdicts = VerdictLayout(16, 7)
    message = controller.on_verdicts(request, verdicts)(VerdictBody(2, 9))
    list(controller.decide(request, Controls.chain(4)))
    assert controller.grant_bits == 3
    assert verdicts.node_bits + verdicts.id_bits == 7
    assert len(message.to_bytes()) == 2  # 3 + 3 + 4 bits
    assert message.decode(message.to_bytes()) == VerdictBody(2, 9)
    assert controller._granted == 7
    for row in output.rounds:
        # Seven bits of a verdict become ten, hence two bytes.
        assert row["downlink_payload_bits"] == 16


def test_devices_of_one_run_share_one_budget():
    """Three devices at a budget of three: no more than three tokens are granted at once; alone, one takes them all."""
    keys = {"controller": {"name": "goodspeed", "verify_budget": 3}, "workload": {"max_new_tokens": 30}}
    together = simulate(small_scenario(devices={"count": 3, "requests": 1}, **keys))
    alone = simulate(small_scenario(devices={"count": 1, "requests": 1}, **keys))

    def mean_draft(rows: list[dict[str, float]]) -> float:
        return float(np.mean([row["drafted_tokens"] for row in rows if row["round"] > 1]))

    assert mean_draft(together.rounds) < 2.0 < mean_draft(alone.rounds)
