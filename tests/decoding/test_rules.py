"""Verification rules at one position: exact law, closed-form acceptance, and the pairings that are refused."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from sim.core.errors import InputError
from sim.decoding import decode
from sim.decoding.analysis.exact import analyse, output_distribution
from sim.decoding.analysis.races import many_winners, race_probability
from sim.decoding.core.drafting import draw_candidates
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.rows import Row, overlap, residual
from sim.decoding.core.wire.row_codec import RowFormat
from sim.decoding.protocols.registry import PROTOCOLS
from sim.decoding.theory import gumbel_acceptance, multi_draft_optimum
from sim.decoding.verification import transport
from sim.decoding.verification.base import MODES, RULES, find_rule
from sim.decoding.verification.k_seq import inflation
from sim.models.tabular import TabularModel
from tests.decoding.laws import EXACT, P, Q, assert_law_equal, random_pairs, rows

NAMES = [
    "greedy_multi",
    "gumbel",
    "k_seq",
    "optimal",
    "recursive",
    "recursive_without_replacement",
    "single",
    "target_first",
]

# rule, candidates, way of drawing, acceptance on the vector P, Q
VECTOR = [
    ("single", 1, None, 0.650000),
    ("recursive", 2, "iid", 0.702500),
    ("recursive_without_replacement", 2, "without_replacement", 0.728556),
    ("k_seq", 2, "iid", 0.728201),
    ("optimal", 2, "iid", 0.777500),
    ("optimal", 2, "without_replacement", 0.838062),
    ("greedy_multi", 2, "top_k_plus_sample", 0.772727),
    ("target_first", 2, "iid", 0.374500),
    ("target_first", 2, "without_replacement", 0.431653),
    ("target_first", 2, "top_k", 0.450000),
    # sum_x 1 / sum_y max(q_y / q_x, p_y / p_x), worked out by its double sum
    ("gumbel", 1, "shared_noise", 0.620935),
]

PAIRINGS = [(name, mode) for name in NAMES for mode in MODES if mode in RULES.find(name).make.exact_for]


def test_all_rules_are_registered():
    assert RULES.names() == NAMES
    assert all(entry.summary for entry in RULES)


@pytest.mark.parametrize(("rule", "candidates", "mode", "acceptance"), VECTOR)
def test_acceptance_on_the_vector_to_six_digits(rule, candidates, mode, acceptance):
    output, accepted = analyse(rule, P, Q, candidates, draw=mode)
    assert_law_equal(output, P)
    assert round(accepted, 6) == acceptance


def test_every_rule_is_on_the_vector():
    assert {rule for rule, *_ in VECTOR} == set(NAMES)


def test_two_entries_of_the_vector_accept_less_and_stay_exact():
    """Top-2 truncation drops 0.30 of the draft's mass and accepts 0.45, within that of the whole row's 0.65."""
    output, accepted = analyse("single", P, Q, row_format=RowFormat(top_k=2, values="fp32"))
    assert_law_equal(output, P)
    assert accepted == pytest.approx(0.45, abs=1e-7)  # single precision of the two values
    assert 0.65 - accepted <= 0.30


# Mean acceptance over 200 other random pairs of rows over six tokens, Dirichlet(0.7).
MEANS = [
    ("single", 1, "iid", 0.470),
    ("recursive", 2, "iid", 0.565),
    ("k_seq", 2, "iid", 0.578),
    ("greedy_multi", 2, "top_k_plus_sample", 0.608),
    ("recursive_without_replacement", 2, "without_replacement", 0.612),
    ("recursive", 3, "iid", 0.617),
    ("recursive_without_replacement", 3, "without_replacement", 0.713),
    ("greedy_multi", 3, "top_k_plus_sample", 0.732),
]


@pytest.mark.parametrize(("rule", "candidates", "mode", "mean"), MEANS)
def test_mean_acceptance_over_random_pairs(rule, candidates, mode, mean):
    """Within four standard errors of a difference between two independent means."""
    rng = np.random.default_rng(11)
    found = [analyse(rule, *rng.dirichlet(np.full(6, 0.7), 2), candidates, draw=mode)[1] for _ in range(60)]
    assert np.mean(found) == pytest.approx(mean, abs=4 * np.std(found) * np.sqrt(1 / 60 + 1 / 200))


def test_inflation_of_k_seq_on_the_vector():
    assert round(inflation(np.array(P), np.array(Q), 2), 4) == 1.5213


def max_candidates(rule: str, mode: str) -> int:
    return 1 if mode == "shared_noise" else RULES.find(rule).make.max_candidates or 3


@pytest.mark.parametrize(("rule", "mode"), PAIRINGS)
@pytest.mark.parametrize("candidates", [1, 2, 3])
def test_the_output_law_is_the_target_for_every_exact_pairing(rule, mode, candidates):
    if candidates > max_candidates(rule, mode):
        with pytest.raises(InputError, match="1 candidate"):
            find_rule(rule, mode, candidates)
        return
    for p, q in random_pairs(candidates, 4, 10):
        output, accepted = analyse(rule, p, q, candidates, draw=mode)
        assert_law_equal(output, p)
        assert -EXACT <= accepted <= 1 + EXACT


@pytest.mark.parametrize("values", ["fp32", "fp16", "log8", "lattice"])
@pytest.mark.parametrize(("rule", "mode"), PAIRINGS)
def test_truncated_and_quantised_rows_stay_exact(rule, mode, values):
    candidates = min(2, max_candidates(rule, mode))
    for truncation in ({"top_k": 3}, {"top_p": 0.8}):
        row_format = RowFormat(values=values, lattice_levels=15, **truncation)
        for p, q in random_pairs(7, 5, 10):
            output, _ = analyse(rule, p, q, candidates, draw=mode, row_format=row_format)
            assert_law_equal(output, p)


def test_single_and_gumbel_acceptance_have_their_closed_forms():
    for p, q in random_pairs(1, 6, 30):
        assert analyse("single", p, q)[1] == pytest.approx(overlap(*rows(p, q)), abs=EXACT)
        assert analyse("gumbel", p, q)[1] == pytest.approx(gumbel_acceptance(p, q), abs=EXACT)


def test_recursive_acceptance_is_one_minus_the_product_of_distances():
    for p, q in random_pairs(2, 5, 10):
        target, proposal = rows(p, q)
        missed = 1.0
        for _ in range(3):
            missed *= 1 - overlap(target, proposal)
            target = residual(target, proposal)
        assert analyse("recursive", p, q, 3)[1] == pytest.approx(1 - missed, abs=EXACT)


@pytest.mark.parametrize("candidates", [2, 3])
def test_k_seq_accepts_as_its_paper_says(candidates):
    for p, q in random_pairs(3, 5, 10):
        ratio = inflation(p, q, candidates)
        beta = np.minimum(q, p / ratio).sum()
        accepted = analyse("k_seq", p, q, candidates)[1]
        assert accepted == pytest.approx(1 - (1 - beta) ** candidates, abs=1e-10)
        assert accepted >= (1 - np.exp(-1)) * multi_draft_optimum(p, q, candidates, replacement=True) - EXACT


def test_greedy_acceptance_has_its_closed_form():
    for p, q in random_pairs(4, 5, 10):
        best = np.argsort(-q, kind="stable")[:2]
        best = best[q[best] > 0]
        rest = q.copy()
        rest[best] = 0.0
        expected = p[best].sum()
        if rest.sum() > 0:
            outside = np.setdiff1d(np.arange(5), best)
            expected += np.minimum(p, rest / rest.sum())[outside].sum()
        assert analyse("greedy_multi", p, q, 3)[1] == pytest.approx(expected, abs=EXACT)


def test_target_first_accepts_the_target_mass_of_the_best_candidates():
    for p, q in random_pairs(5, 6, 10):
        best = np.argsort(-q, kind="stable")[:2]
        best = best[q[best] > 0]
        assert analyse("target_first", p, q, 2, draw="top_k")[1] == pytest.approx(p[best].sum(), abs=EXACT)


# The linear programme's own tolerance bounds how far its flow falls short of the optimum; the iid plan is exact.
@pytest.mark.parametrize(("mode", "tolerance"), [("iid", EXACT), ("without_replacement", 1e-7)])
@pytest.mark.parametrize("candidates", [1, 2, 3])
def test_optimal_reaches_the_optimum(mode, tolerance, candidates):
    for p, q in random_pairs(6, 5, 10):
        optimum = multi_draft_optimum(p, q, candidates, replacement=mode == "iid")
        assert analyse("optimal", p, q, candidates, draw=mode)[1] == pytest.approx(optimum, abs=tolerance)


@pytest.mark.parametrize("mode", ["iid", "without_replacement"])
def test_no_rule_beats_the_optimum_of_its_draw(mode):
    others = [name for name, way in PAIRINGS if way == mode and name != "single"]
    for p, q in random_pairs(8, 4, 10):
        optimum = multi_draft_optimum(p, q, 2, replacement=mode == "iid")
        for rule in others:
            assert analyse(rule, p, q, 2, draw=mode)[1] <= optimum + 1e-9


def test_coarse_borders_keep_the_optimal_rule_exact(monkeypatch):
    losses = []
    for p, q in random_pairs(9, 6, 10):
        best = analyse("optimal", p, q, 2)[1]
        monkeypatch.setattr(transport, "MAX_BORDERS", 3)
        output, accepted = analyse("optimal", p, q, 2)
        monkeypatch.undo()
        assert_law_equal(output, p)
        losses.append(best - accepted)
    assert min(losses) >= -EXACT
    assert max(losses) > 1e-3  # three borders are coarse indeed: the test would notice if nothing were coarsened


def test_coarse_borders_lose_little_at_a_thousand_tokens():
    rng = np.random.default_rng(0)
    p, q = (Row.dense_row(np.exp(rng.normal(0, 2, 1024)) / np.arange(1, 1025)) for _ in range(2))
    plan = transport.IndependentSelection(p, q, 2)
    assert plan.row.probs.sum() == pytest.approx(1.0, abs=EXACT)
    loss = multi_draft_optimum(p.probs, q.probs, 2, replacement=True) - overlap(p, plan.row)
    assert 0 <= loss < 1e-3


def test_optimal_refuses_too_many_sets_and_says_what_to_do():
    row = np.full(60, 1 / 60)
    with pytest.raises(InputError, match="up to 1024 sets of candidates; 2 out of 60 tokens make 1770"):
        find_rule("optimal", "without_replacement", 2).choose(*rows(row, row), [0, 1], KeyedRandom(0))


def test_optimal_without_replacement_is_refused_when_its_settings_are_read():
    """C(46, 2) = 1035 sets are over the limit and C(45, 2) = 990 are not; full rows are known when the text begins."""
    tree = {"candidates": 2, "rule": "optimal", "draw": "without_replacement"}
    tslt = PROTOCOLS.find("tslt").settings
    assert tslt(top_k=45, **tree).top_k == 45
    with pytest.raises(InputError, match="up to 1024 sets of candidates; 2 out of 46 tokens make 1035: lower top_k"):
        tslt(top_k=46, **tree)
    assert tslt(top_k=46, **{**tree, "draw": "iid"}).top_k == 46
    wide = TabularModel.random(1, 60)
    with pytest.raises(InputError, match="2 out of 60 tokens make 1770"):
        decode("tslt", wide, wide, (0,), max_new_tokens=2, **tree)


def test_set_probabilities_add_up_draw_orders():
    q = np.array([0.5, 0.3, 0.15, 0.05])
    for size in (1, 2, 3, 4):
        sets = np.array(list(combinations(range(4), size)))
        expected = []
        for members in sets:
            total = 0.0
            for order in permutations(members):
                left, chance = 1.0, 1.0
                for token in order:
                    chance *= q[token] / left
                    left -= q[token]
                total += chance
            expected.append(total)
        assert transport.set_probabilities(q, sets) == pytest.approx(expected, abs=EXACT)
        assert sum(expected) == pytest.approx(1.0)


def test_pairings_that_are_not_exact_are_refused():
    refused = 0
    for name in NAMES:
        rule = RULES.find(name).make
        for mode in MODES:
            if mode in rule.exact_for:
                continue
            with pytest.raises(InputError, match=f"{name!r} is not exact for candidates drawn {mode!r}|candidate"):
                find_rule(name, mode, 2)
            refused += 1
    assert refused == len(NAMES) * len(MODES) - len(PAIRINGS)


def test_one_candidate_is_drawn_alike_by_every_sampling_mode_but_not_by_top_k():
    assert find_rule("recursive", "without_replacement", 1).mode == "without_replacement"
    with pytest.raises(InputError, match="not exact"):
        find_rule("single", "top_k", 1)
    with pytest.raises(InputError, match="not exact"):
        find_rule("single", "shared_noise", 1)


def test_a_candidate_that_cannot_have_been_drawn_is_an_error():
    p, q = rows([0.5, 0.5, 0.0], [0.5, 0.0, 0.5])
    for name in NAMES:
        if name in ("target_first", "gumbel"):  # they do not look at q
            continue
        with pytest.raises(ValueError, match="no probability in the row it was drawn from"):
            find_rule(name, next(iter(RULES.find(name).make.exact_for)), 1).choose(p, q, [1], KeyedRandom(0))


def test_shared_noise_gives_one_candidate():
    with pytest.raises(ValueError, match="one candidate per position, got 2"):
        draw_candidates("shared_noise", Row.dense_row([0.5, 0.5]), 2, KeyedRandom(0))


def test_races_on_common_noise_have_laws_that_add_up():
    rng = np.random.default_rng(1)
    for _ in range(10):
        first, second, third = rng.dirichlet(np.ones(4), 3)
        pair = np.array([[race_probability([first, second], (a, b)) for b in range(4)] for a in range(4)])
        assert pair.sum(axis=1) == pytest.approx(first, abs=EXACT)
        assert pair.sum(axis=0) == pytest.approx(second, abs=EXACT)
        for a, b in ((0, 1), (2, 2), (3, 0)):
            given = [race_probability([first, second, third], (a, b, c)) for c in range(4)]
            assert sum(given) == pytest.approx(pair[a, b], abs=EXACT)


def test_the_planar_race_formula_is_the_general_one():
    rng = np.random.default_rng(2)
    for _ in range(20):
        first, second = rng.dirichlet(np.ones(5), 2)
        slopes = np.array([first / first[1], second / second[3]])
        general = many_winners(slopes[:, [1, 3]], np.delete(slopes, [1, 3], axis=1))
        assert race_probability([first, second], (1, 3)) == pytest.approx(general, abs=EXACT)


def test_enumeration_of_shared_addresses_matches_the_sampled_draws():
    """Two picks and two flips at one address share their noise in both random sources."""
    p, q = rows(P, Q)

    def both(rng):
        noisy = rng.at("here", 1)
        again = rng.at("here", 1)
        return noisy.categorical(p), again.categorical(q), noisy.bernoulli(0.3), again.bernoulli(0.6)

    exact = output_distribution(both)
    assert sum(exact.values()) == pytest.approx(1.0, abs=EXACT)
    assert not any(first and not second for _, _, first, second in exact)  # u < 0.3 implies u < 0.6
    draws = 4000
    counts: dict[tuple, int] = {}
    for index in range(draws):
        outcome = both(KeyedRandom(5, index))
        counts[outcome] = counts.get(outcome, 0) + 1
    assert counts.keys() <= exact.keys()
    for outcome, weight in exact.items():
        spread = np.sqrt(weight * (1 - weight) / draws)
        assert abs(counts.get(outcome, 0) / draws - weight) < 5 * spread + 1e-3
