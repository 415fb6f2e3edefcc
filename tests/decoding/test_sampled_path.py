"""The sampled path: what the keyed random source really draws follows the target, by G-tests with family-wise control.

Exactness is proved by enumeration elsewhere; this checks the wiring of the production random source. 3,000 draws
catch a total variation of 0.05 with a power of 0.999; the negative controls show it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sim.decoding import decode
from sim.decoding.core.drafting import candidate_rng, draw_candidates
from sim.decoding.core.random_source import KeyedRandom, RandomSource
from sim.decoding.core.rows import Row, Sampling
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.verification.base import MODES, RULES, find_rule
from tests.decoding.laws import P, Q, rows, table_pair, target_sequence_distribution
from tests.decoding.test_negative_controls import (
    InvertedRatio,
    no_residual,
    sample_then_sparsify,
    sparsify_then_verify_with_full_row,
)

DRAWS = 3000
FAMILY_WISE = 1e-3


def g_test(counts: np.ndarray, probs: np.ndarray) -> float:
    """p-value of counts against probabilities; cells are pooled from the rarest until 5 are expected."""
    from scipy.stats import chi2

    if counts[probs == 0].any():
        return 0.0
    order = np.argsort(-probs, kind="stable")
    order = order[probs[order] > 0]
    observed, expected = counts[order].astype(float), probs[order] * counts.sum()
    cells = len(order)
    while cells > 1 and expected[cells - 1 :].sum() < 5:
        cells -= 1
    observed = np.append(observed[: cells - 1], observed[cells - 1 :].sum())
    expected = np.append(expected[: cells - 1], expected[cells - 1 :].sum())
    if cells == 1:
        return 1.0
    seen = observed > 0
    statistic = 2 * float((observed[seen] * np.log(observed[seen] / expected[seen])).sum())
    return float(chi2.sf(statistic, cells - 1))


def holm_rejects(p_values: dict[str, float], level: float = FAMILY_WISE) -> list[str]:
    """Names rejected by Holm's step-down procedure."""
    rejected = []
    ranked = sorted(p_values, key=lambda name: p_values[name])
    for rank, name in enumerate(ranked):
        if p_values[name] > level / (len(ranked) - rank):
            break
        rejected.append(name)
    return rejected


def sampled(run: Callable[[RandomSource], int], stream: int) -> np.ndarray:
    counts = np.zeros(len(P))
    for index in range(DRAWS):
        counts[run(KeyedRandom(2024, "stream", stream, index))] += 1
    return counts


def verified(name: str, mode: str, candidates: int, q: Row) -> Callable[[RandomSource], int]:
    p = Row.dense_row(P)
    rule = find_rule(name, mode, candidates)

    def run(rng: RandomSource) -> int:
        drawn = draw_candidates(mode, q, candidates, candidate_rng(mode, rng, 0))
        return rule.choose(p, q, drawn, rng.at("verify", 0)).token

    return run


def lossless_schemes() -> dict[str, Callable[[RandomSource], int]]:
    schemes = {}
    full = Row.dense_row(Q)
    for entry in RULES:
        candidates = min(2, entry.make.max_candidates or 2)
        for mode in MODES:
            if mode in entry.make.exact_for:
                count = 1 if mode == "shared_noise" else candidates
                schemes[f"{entry.name}, {mode}"] = verified(entry.name, mode, count, full)
    for values in ("fp16", "log8", "lattice"):
        coded = RowCodec(len(Q), RowFormat(top_k=3, values=values, lattice_levels=15)).code(full).row
        schemes[f"single, top 3 in {values}"] = verified("single", "iid", 1, coded)
    return schemes


def test_every_rule_draws_the_targets_law():
    p_values = {
        name: g_test(sampled(run, stream), np.array(P)) for stream, (name, run) in enumerate(lossless_schemes().items())
    }
    assert holm_rejects(p_values) == []


def wrong_schemes() -> dict[str, Callable[[RandomSource], int]]:
    p, q = rows(P, Q)

    def inverted(rng: RandomSource) -> int:
        return InvertedRatio().choose(p, q, [rng.at("draft", 0).categorical(q)], rng.at("verify", 0)).token

    return {
        "inverted ratio": inverted,
        "no residual": lambda rng: no_residual(p, q, rng),
        "sample, then sparsify": lambda rng: sample_then_sparsify(p, q, rng),
        "sparsify, verify with the full row": lambda rng: sparsify_then_verify_with_full_row(p, q, rng),
        "biased by 0.06": lambda rng: rng.categorical(Row.dense_row(np.array(P) + np.array([0.06, -0.06, 0, 0, 0]))),
    }


def test_the_same_family_of_tests_rejects_every_wrong_scheme():
    right = lossless_schemes()
    kept = dict(list(right.items())[:3])
    family = kept | wrong_schemes()
    p_values = {
        name: g_test(sampled(run, 100 + stream), np.array(P)) for stream, (name, run) in enumerate(family.items())
    }
    assert sorted(holm_rejects(p_values)) == sorted(wrong_schemes())


def test_null_families_raise_no_alarm():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(150):
        p_values = {str(k): g_test(rng.multinomial(DRAWS, P), np.array(P)) for k in range(20)}
        alarms += bool(holm_rejects(p_values))
    assert alarms <= 2  # 0.15 expected at a family-wise 1e-3; three or more have probability 5e-4


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("edge_only", {}),
        ("tslt", {"draft_length": 2, "top_k": 2}),
        ("tslt", {"draft_length": 2, "candidates": [2, 1], "values": "log8"}),
    ],
)
def test_first_two_tokens_of_decoded_texts_follow_the_target(protocol, settings):
    draft, target = table_pair(5)
    exact = target_sequence_distribution(target, (0,), 2, Sampling())
    texts = sorted(exact)
    counts = np.zeros(len(texts))
    for seed in range(1000):
        tokens = decode(protocol, draft, target, [0], seed=seed, max_new_tokens=2, **settings).tokens
        counts[texts.index(tuple(tokens))] += 1
    # Three tests at a family-wise 1e-3.
    assert g_test(counts, np.array([exact[text] for text in texts])) > FAMILY_WISE / 3
