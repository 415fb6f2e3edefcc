"""Bandwidths, draft lengths and batches of cohorts against brute force."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from sim.decoding import theory
from sim.decoding.cohorts import CohortUser, dip_sd, equal_finish, multi_spin, multi_spin_rate


def cohort(seed: int, count: int) -> list[CohortUser]:
    rng = np.random.default_rng(seed)
    return [
        CohortUser(*(float(x) for x in (rng.uniform(0.4, 0.95), rng.uniform(0.002, 0.02), 2000, rng.uniform(0.5, 6))))
        for _ in range(count)
    ]


def test_uploads_end_together_and_no_earlier_end_is_possible():
    rng = np.random.default_rng(1)
    bits, efficiencies = rng.uniform(1e3, 1e5, 100), rng.uniform(0.2, 6, 100)
    shares, end_s = equal_finish(list(bits), list(efficiencies), 25e6)
    assert sum(shares) == pytest.approx(25e6)
    assert [size / (e * share) for size, e, share in zip(bits, efficiencies, shares, strict=True)] == pytest.approx(
        [end_s] * 100
    )
    equal_shares_s = max(bits / efficiencies) / (25e6 / 100)
    assert end_s == pytest.approx((bits / efficiencies).mean() / (bits / efficiencies).max() * equal_shares_s)
    assert 1 - end_s / equal_shares_s > 0.449  # of 100 users in 25 MHz, the published gain and more of batching alone


def test_uploads_that_begin_as_drafts_are_ready_end_together():
    bits, efficiencies, ready_s = [4e4, 1e4, 2e4], [1.0, 2.0, 4.0], [0.01, 0.03, 0.0]
    shares, end_s = equal_finish(bits, efficiencies, 1e6, ready_s)
    assert sum(shares) == pytest.approx(1e6)
    ends = [r + size / (e * s) for r, size, e, s in zip(ready_s, bits, efficiencies, shares, strict=True)]
    assert ends == pytest.approx([end_s] * 3)
    at_once, end_at_once_s = equal_finish(bits, efficiencies, 1e6, [0.0] * 3)
    closed, closed_s = equal_finish(bits, efficiencies, 1e6)
    assert at_once == pytest.approx(closed) and end_at_once_s == pytest.approx(closed_s)


@pytest.mark.parametrize("seed", range(4))
def test_multi_spin_lengths_are_those_of_brute_force(seed):
    users = cohort(seed, 3)
    lengths, rate = multi_spin(users, 2e6, 0.03, 5)
    best = max(product(range(1, 6), repeat=3), key=lambda some: multi_spin_rate(users, some, 2e6, 0.03)[0])
    assert rate == pytest.approx(multi_spin_rate(users, best, 2e6, 0.03)[0], rel=1e-12)
    assert rate >= multi_spin(users, 2e6, 0.03, 5, equal_lengths=True)[1]
    assert len(lengths) == 3


def test_large_cohorts_are_climbed_and_no_worse_than_equal_lengths():
    users = cohort(5, 8)
    lengths, rate = multi_spin(users, 4e6, 0.03, 5)
    equal, equal_rate = multi_spin(users, 4e6, 0.03, 5, equal_lengths=True)
    assert rate > equal_rate and lengths != equal


def test_bandwidth_helps_weak_users_under_equal_lengths():
    users = [CohortUser(0.8, 0.005, 2000, efficiency) for efficiency in (0.5, 4.0)]
    _, (weak_hz, strong_hz) = multi_spin_rate(users, (4, 4), 1e6, 0.03)
    assert weak_hz == pytest.approx(8 * strong_hz)


def partitions(users: list[int]) -> Iterator[list[list[int]]]:
    """All ways to put users into batches."""
    if not users:
        yield []
        return
    first, *rest = users
    for batches in partitions(rest):
        yield [[first], *batches]
        for index in range(len(batches)):
            yield [*batches[:index], [first, *batches[index]], *batches[index + 1 :]]


def brute_force(users, upload_s, fixed_s, token_s, max_length) -> float:
    best = 0.0
    for lengths in product(range(1, max_length + 1), repeat=len(users)):
        tokens = sum(theory.expected_tokens(user.alpha, length) for user, length in zip(users, lengths, strict=True))
        away_s = [u.draft_token_s * length + s for u, length, s in zip(users, lengths, upload_s, strict=True)]
        for batches in partitions(list(range(len(users)))):
            verify_s = [fixed_s + token_s * sum(lengths[u] + 1 for u in batch) for batch in batches]
            slowest_s = max(t + away_s[u] for t, batch in zip(verify_s, batches, strict=True) for u in batch)
            best = max(best, tokens / max(sum(verify_s), slowest_s))
    return best


@pytest.mark.parametrize(("count", "max_length"), [(1, 6), (2, 6), (3, 5), (4, 4), (5, 3), (6, 2)])
def test_dip_sd_equals_brute_force(count, max_length):
    for seed in range(2):
        users = cohort(10 * count + seed, count)
        upload_s = [0.004 * (index + 1) for index in range(count)]
        plan = dip_sd(users, upload_s, 0.01, 0.0015, max_length)
        assert plan.tokens_per_s == pytest.approx(brute_force(users, upload_s, 0.01, 0.0015, max_length), rel=1e-12)
        assert sorted(user for batch in plan.batches for user in batch) == list(range(count))


def test_batches_that_follow_one_another_beat_one_large_batch():
    """Two halves hide each other's drafting where drafting takes as long as verifying."""
    users = [CohortUser(0.8, 0.01, 0, 1.0)] * 6
    plan = dip_sd(users, [0.0] * 6, 0.005, 0.001, 4)
    tokens = sum(theory.expected_tokens(0.8, length) for length in plan.lengths)
    assert len(plan.batches) > 1
    one_batch_s = 0.005 + 0.001 * sum(length + 1 for length in plan.lengths) + 0.01 * max(plan.lengths)
    assert plan.tokens_per_s > tokens / one_batch_s
