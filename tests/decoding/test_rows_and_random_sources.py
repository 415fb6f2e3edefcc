"""Rows and their filters; random numbers that are keyed, not consumed."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.analysis.exact import output_distribution
from sim.decoding.core.random_source import KeyedRandom, exponentials, first_finisher, uniforms
from sim.decoding.core.rows import Row, Sampling, largest, nucleus, overlap, residual
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from tests.decoding.laws import EXACT, P, Q, assert_law_equal, random_pairs, rows

# ---- rows -----------------------------------------------------------------------------------------------------------


def sparse(vocab_size: int, entries: dict[int, float]) -> Row:
    return Row.sparse_row(
        vocab_size, np.array(sorted(entries)), np.array([entries[token] for token in sorted(entries)])
    )


def test_sparse_and_dense_rows_say_the_same():
    row = sparse(5, {1: 0.5, 4: 1.5})
    assert [row.prob(token) for token in range(5)] == [0.0, 0.25, 0.0, 0.0, 0.75]
    assert row.dense().tolist() == [0.0, 0.25, 0.0, 0.0, 0.75]
    assert row.entropy_bits == pytest.approx(Row.dense_row(row.dense()).entropy_bits)


def test_without_removes_and_renormalises():
    for row in (Row.dense_row([0.5, 0.3, 0.2, 0.0]), sparse(4, {0: 0.5, 1: 0.3, 2: 0.2})):
        rest = row.without([0])
        assert rest is not None
        assert rest.dense() == pytest.approx([0.0, 0.6, 0.4, 0.0])
        assert row.without([0, 1, 2]) is None


@pytest.mark.parametrize("as_sparse", [False, True])
def test_residual_and_overlap_against_their_definitions(as_sparse):
    for p, q in random_pairs(31, 6, 40):
        target, draft = rows(p, q)
        if as_sparse:
            draft = Row.sparse_row(6, np.flatnonzero(q > 0), q[q > 0])
        assert overlap(target, draft) == pytest.approx(np.minimum(p, q).sum(), abs=EXACT)
        rest = np.maximum(p - q, 0.0)
        if rest.sum() > EXACT:
            assert residual(target, draft).dense() == pytest.approx(rest / rest.sum(), abs=1e-9)


def test_residual_of_equal_rows_is_the_row():
    p = Row.dense_row(P)
    assert residual(p, p) is p


def test_largest_keeps_the_lowest_ids_among_ties():
    values = np.array([0.1, 0.3, 0.2, 0.2, 0.2])
    assert largest(values, 2).tolist() == [1, 2]
    assert largest(values, 3).tolist() == [1, 2, 3]
    assert largest(values, 9).tolist() == [0, 1, 2, 3, 4]


def test_nucleus_is_the_smallest_set_with_the_mass():
    probs = np.array([0.1, 0.4, 0.2, 0.3])
    assert nucleus(probs, 0.4).tolist() == [1]
    assert nucleus(probs, 0.41).tolist() == [1, 3]
    assert nucleus(probs, 0.7).tolist() == [1, 3]
    assert nucleus(probs, 1.0).tolist() == [0, 1, 2, 3]
    assert nucleus(np.array([0.0, 1.0]), 0.5).tolist() == [1]


@pytest.mark.parametrize("top_k", [None, 1, 3])
@pytest.mark.parametrize("top_p", [None, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampling_filters_are_temperature_then_top_k_then_top_p(temperature, top_k, top_p):
    logits = np.random.default_rng(1).normal(0, 2, 8)
    weights = np.exp(logits / temperature)
    if top_k is not None:
        weights[np.argsort(-weights)[top_k:]] = 0.0
    if top_p is not None:
        order = np.argsort(-weights)
        before = np.cumsum(weights[order]) - weights[order]
        weights[order[before >= top_p * weights.sum()]] = 0.0
    row = Sampling(temperature, top_k, top_p).row(logits)
    assert row.probs == pytest.approx(weights / weights.sum(), abs=EXACT)
    # Logits in single precision make a row that is as accurate as they are, and sums to 1 in double all the same.
    single = Sampling(temperature, top_k, top_p).row(logits.astype(np.float32))
    assert single.probs == pytest.approx(row.probs, abs=1e-6)
    assert single.probs.sum() == pytest.approx(1.0, abs=EXACT)


def test_temperature_zero_is_one_hot_at_the_first_maximum():
    assert Sampling(0.0).row(np.array([1.0, 3.0, 3.0])).probs.tolist() == [0.0, 1.0, 0.0]


def test_logits_of_minus_infinity_and_of_any_size_are_fine():
    row = Sampling().row(np.array([-np.inf, 1e4, 1e4 - np.log(3)]))
    assert row.probs == pytest.approx([0.0, 0.75, 0.25])


# ---- random sources --------------------------------------------------------------------------------------------------


def test_an_address_gives_the_same_luck_whenever_it_is_asked():
    row = Row.dense_row(np.full(50, 0.02))
    first = KeyedRandom(1, "request", 3)
    picks = [first.at("verify", position).categorical(row) for position in range(20)]
    again = KeyedRandom(1, "request", 3)
    assert [again.at("verify", position).categorical(row) for position in reversed(range(20))] == picks[::-1]
    assert len(set(picks)) > 5


@pytest.mark.parametrize(
    "other",
    [
        KeyedRandom(2, "request", 3),
        KeyedRandom(1, "request", 4),
        KeyedRandom(1, "request", 3).at("draft", 0),
    ],
)
def test_other_seeds_requests_and_purposes_have_luck_of_their_own(other):
    row = Row.dense_row(np.full(1000, 1e-3))
    here = KeyedRandom(1, "request", 3)
    same = sum(here.at("x", i).categorical(row) == other.at("x", i).categorical(row) for i in range(100))
    assert same < 5  # by chance 0.1


def test_successive_draws_at_one_address_differ_and_flips_do_not_shift_picks():
    row = Row.dense_row(np.full(1000, 1e-3))
    draw, other = KeyedRandom(7).at("a", 0), KeyedRandom(7).at("a", 0)
    picks = [draw.categorical(row) for _ in range(5)]
    assert len(set(picks)) == 5
    flipped = []
    for _ in range(5):
        other.bernoulli(0.5)
        flipped.append(other.categorical(row))
    assert flipped == picks


def test_certain_flips_are_certain():
    draw = KeyedRandom(0)
    assert all(draw.bernoulli(1.0) for _ in range(100))
    assert not any(draw.bernoulli(0.0) for _ in range(100))
    assert all(draw.bernoulli(1.7) for _ in range(10))


def test_picks_never_land_on_zeros_and_sparse_picks_equal_dense_ones():
    for index, (p, _) in enumerate(random_pairs(32, 6, 40)):
        alive = np.flatnonzero(p > 0)
        dense, thin = Row.dense_row(p), Row.sparse_row(6, alive, p[alive])
        for place in range(10):
            token = KeyedRandom(index).at("x", place).categorical(dense)
            assert p[token] > 0
            assert KeyedRandom(index).at("x", place).categorical(thin) == token


def test_rounding_hardly_ever_moves_a_pick():
    rng = np.random.default_rng(4)
    moved = 0
    for place in range(500):
        weights = rng.dirichlet(np.full(200, 0.3))
        noisy = weights * (1 + 1e-7 * rng.normal(size=200))
        draw = KeyedRandom(1).at("x", place)
        moved += draw.categorical(Row.dense_row(weights)) != KeyedRandom(1).at("x", place).categorical(
            Row.dense_row(noisy)
        )
    assert moved == 0


def test_the_earliest_finisher_wins():
    """Against the race written out: token x takes noise / probability."""
    ids = np.arange(40)
    for place in range(200):
        weights = np.random.default_rng(place).dirichlet(np.full(40, 0.3))
        noise = exponentials(uniforms((3, "x", place, "pick", 0), ids))
        assert KeyedRandom(3).at("x", place).categorical(Row(40, weights)) == int((noise / weights).argmin())


def test_contenders_include_the_winner():
    """Against the race written out in full, over peaked, flat and partly empty rows."""
    for place in range(300):
        rng = np.random.default_rng(place)
        probs = rng.dirichlet(np.full(300, rng.choice([0.01, 0.3, 30.0])))
        uniform = rng.random(300)
        assert first_finisher(probs, uniform) == int((probs / exponentials(uniform)).argmax())


def test_noise_is_exponential_and_independent_over_ids_and_addresses():
    """Four moments, a Kolmogorov-Smirnov test, and correlations at lags in ids and addresses; false alarm 1e-6 each."""
    from scipy.stats import kstest

    noise = np.stack(
        [exponentials(uniforms((11, "request", place, "pick", 0), np.arange(8192))) for place in range(64)]
    )
    assert noise.min() > 0
    assert kstest(noise.ravel(), "expon").pvalue > 1e-6
    five = 4.9 / np.sqrt(noise.size)
    for power, (mean, sd) in {1: (1, 1), 2: (2, np.sqrt(20)), 3: (6, np.sqrt(684))}.items():
        assert abs((noise**power).mean() - mean) < five * sd
    for lag in (1, 2, 3, 64, 256, 1024):
        assert abs(((noise[:, lag:] - 1) * (noise[:, :-lag] - 1)).mean()) < 1.1 * five
    for lag in (1, 2, 7):
        assert abs(((noise[lag:] - 1) * (noise[:-lag] - 1)).mean()) < 1.1 * five


def test_each_token_s_noise_has_the_law_of_the_race():
    """The winner among three tokens of fixed ids follows the row over 20,000 addresses; false alarm 1e-6."""
    from scipy.stats import chisquare

    row = Row.sparse_row(8192, np.array([5, 6, 8191]), np.array([0.6, 0.3, 0.1]))
    wins = [KeyedRandom(9).at("x", place).categorical(row) for place in range(20_000)]
    counts = [wins.count(token) for token in (5, 6, 8191)]
    assert chisquare(counts, 20_000 * row.probs).pvalue > 1e-6


def test_enumeration_gives_the_law_of_picks_and_flips():
    p, q = rows(P, Q)
    assert_law_equal(output_distribution(lambda rng: rng.categorical(p)), P)
    both = output_distribution(lambda rng: (rng.categorical(p), rng.categorical(q)))
    assert_law_equal(both, {(a, b): P[a] * Q[b] for a in range(5) for b in range(5)})
    assert_law_equal(output_distribution(lambda rng: rng.bernoulli(0.3)), {True: 0.3, False: 0.7})
    assert output_distribution(lambda rng: rng.bernoulli(1.5)) == {True: 1.0}


def test_enumeration_gives_up_where_told():
    with pytest.raises(RuntimeError, match="more than 4 paths"):
        output_distribution(lambda rng: rng.categorical(Row.dense_row(P)), max_paths=4)


# ---- truncation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", [1, 3, 32, 400])
def test_truncation_costs_at_most_the_tail_that_it_drops(top_k):
    """TV(q, q_hat) = eps and |alpha_K - alpha| <= eps, eps the dropped mass (TSLT, arXiv 2512.16273)."""
    codec = RowCodec(400, RowFormat(top_k=top_k, values="fp32"))
    rng = np.random.default_rng(top_k)
    for _ in range(200):
        shared = rng.normal(0, 2, 400)
        p, q = (Sampling().row(shared + rng.normal(0, rng.uniform(0.1, 2), 400)) for _ in range(2))
        coded = codec.code(q)
        # Single precision moves a probability by at most 6e-8 of itself.
        assert np.abs(coded.row.dense() - q.probs).sum() / 2 == pytest.approx(coded.tail_mass, abs=1e-7)
        alpha, truncated = overlap(p, q), overlap(p, coded.row)
        assert abs(truncated - alpha) <= coded.tail_mass + 1e-7
        kept = coded.ids
        assert truncated >= np.minimum(p.probs, q.probs)[kept].sum() - 1e-7


def test_entropy_is_in_bits():
    assert Row.dense_row(np.full(8, 1 / 8)).entropy_bits == pytest.approx(3.0)
    assert Row.dense_row(np.array([0.5, 0.25, 0.25, 0.0])).entropy_bits == pytest.approx(1.5)
    assert Row.dense_row(np.array([0.0, 1.0])).entropy_bits == pytest.approx(0.0, abs=1e-12)
