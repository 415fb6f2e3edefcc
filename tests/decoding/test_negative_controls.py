"""Known mistakes: each must fail the very assertion that the correct code passes, with its known distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sim.decoding.analysis.exact import analyse, output_distribution
from sim.decoding.core.drafting import draw_candidates
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row, largest, residual
from sim.decoding.verification.base import Choice, find_rule
from sim.decoding.verification.recursive_without_replacement import RecursiveWithoutReplacement
from sim.decoding.verification.single import Single
from tests.decoding.laws import P, Q, assert_law_equal, law_of, random_pairs, rows, total_variation

Scheme = Callable[[Row, Row, RandomSource], int]


def accept_or_correct(p: Row, q: Row, token: int, rng: RandomSource) -> int:
    return find_rule("single", "iid", 1).choose(p, q, [token], rng.at("verify", 0)).token


def best(q: Row, count: int) -> Row:
    """A row truncated to its most probable tokens and renormalised."""
    ids = largest(q.dense(), count)
    return Row.sparse_row(q.vocab_size, ids, q.dense()[ids])


class InvertedRatio(Single):
    """Accepts with q/p."""

    def choose(self, p: Row, q: Row, candidates: Sequence[int], draw: RandomSource) -> Choice:
        (token,) = candidates
        p_token = p.prob(token)
        if p_token > 0 and draw.bernoulli(q.prob(token) / p_token):
            return Choice(0, token)
        return Choice(None, draw.categorical(residual(p, q)))


class ReSorted(RecursiveWithoutReplacement):
    """Tests the candidates by falling probability instead of in draw order."""

    def choose(self, p: Row, q: Row, candidates: Sequence[int], draw: RandomSource) -> Choice:
        return super().choose(p, q, sorted(candidates, key=lambda token: -q.prob(token)), draw)


def test_inverted_ratio_looks_better_and_is_wrong():
    output, accepted = analyse(InvertedRatio(), P, Q)
    with pytest.raises(AssertionError, match="law differs"):
        assert_law_equal(output, P)
    assert round(total_variation(output, P), 3) == 0.350
    assert round(accepted, 2) == 0.90  # the right ratio accepts 0.65


# rule, way of drawing, distance from the target on the vector
FORCED = [
    ("recursive", "top_k", 0.367),
    ("recursive", "without_replacement", 0.006),
    (ReSorted(), "without_replacement", 0.202),
]


@pytest.mark.parametrize(("rule", "mode", "distance"), FORCED)
def test_rules_paired_with_the_wrong_draw(rule, mode, distance):
    output, _ = analyse(rule, P, Q, 2, draw=mode)
    with pytest.raises(AssertionError, match="law differs"):
        assert_law_equal(output, P)
    assert round(total_variation(output, P), 3) == distance


def sample_then_sparsify(p: Row, q: Row, rng: RandomSource) -> int:
    token = rng.at("draft", 0).categorical(q)
    q_hat = best(q, 2)
    if q_hat.prob(token) == 0:  # a ratio of p over nothing
        return token if p.prob(token) > 0 else rng.at("verify", 0).categorical(residual(p, q_hat))
    return accept_or_correct(p, q_hat, token, rng)


def sparsify_then_verify_with_full_row(p: Row, q: Row, rng: RandomSource) -> int:
    return accept_or_correct(p, q, rng.at("draft", 0).categorical(best(q, 2)), rng)


def sharpened_draft(p: Row, q: Row, rng: RandomSource) -> int:
    return accept_or_correct(p, q, rng.at("draft", 0).categorical(Row.dense_row(q.dense() ** 2)), rng)


VECTOR_CONTROLS = [(sample_then_sparsify, 0.155), (sparsify_then_verify_with_full_row, 0.193), (sharpened_draft, 0.150)]


@pytest.mark.parametrize(("scheme", "distance"), VECTOR_CONTROLS)
def test_rows_that_are_not_the_ones_drawn_from(scheme, distance):
    p, q = rows(P, Q)
    output = law_of(lambda rng: scheme(p, q, rng))
    with pytest.raises(AssertionError, match="law differs"):
        assert_law_equal(output, P)
    assert round(total_variation(output, P), 3) == distance


def test_sparsify_then_sample_is_right():
    p, q = rows(P, Q)
    assert_law_equal(
        law_of(lambda rng: accept_or_correct(p, best(q, 2), rng.at("draft", 0).categorical(best(q, 2)), rng)), P
    )


# ---- mistakes of implementations, over random pairs -----------------------------------------------------------------


def half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float64)


def accept(rng: RandomSource, ratio: float) -> bool:
    return rng.at("verify", 0).bernoulli(ratio)


def correct(rng: RandomSource, row: Row) -> int:
    return rng.at("correct", 0).categorical(row)


def unnormalised_half(p: Row, q: Row, rng: RandomSource) -> int:
    """The device draws from the renormalised fp16 row, the edge takes the raw values."""
    raw = half(q.dense())
    token = rng.at("draft", 0).categorical(Row.dense_row(raw))
    if accept(rng, p.prob(token) / raw[token]):
        return token
    rest = np.maximum(p.dense() - raw, 0.0)
    return correct(rng, Row.dense_row(rest) if rest.sum() > 0 else p)


def rounded_scalar(rounding: Callable[[float], float]) -> Scheme:
    """DSSD where the scalar sent is not the probability drawn with."""

    def scheme(p: Row, q: Row, rng: RandomSource) -> int:
        token = rng.at("draft", 0).categorical(q)
        return token if accept(rng, p.prob(token) / rounding(q.prob(token))) else correct(rng, residual(p, q))

    return scheme


def split(corrected: Callable[[Row], np.ndarray]) -> Scheme:
    """DSSD where the target's row that comes down is not the one that was tested against."""

    def scheme(p: Row, q: Row, rng: RandomSource) -> int:
        token = rng.at("draft", 0).categorical(q)
        if accept(rng, p.prob(token) / q.prob(token)):
            return token
        return correct(rng, residual(Row.dense_row(corrected(p)), q))

    return scheme


def top_3(p: Row) -> np.ndarray:
    return best(p, 3).dense()


def no_residual(p: Row, q: Row, rng: RandomSource) -> int:
    token = rng.at("draft", 0).categorical(q)
    return token if accept(rng, p.prob(token) / q.prob(token)) else correct(rng, p)


def softmax_of_residual(p: Row, q: Row, rng: RandomSource) -> int:
    token = rng.at("draft", 0).categorical(q)
    if accept(rng, p.prob(token) / q.prob(token)):
        return token
    return correct(rng, Row.dense_row(np.exp(residual(p, q).dense())))


def draft_row_not_renormalised(p: Row, q: Row, rng: RandomSource) -> int:
    """Distinct candidates tested against q instead of q less the earlier ones."""
    target = p
    for index, token in enumerate(draw_candidates("without_replacement", q, 2, rng.at("draft", 0))):
        if rng.at("verify", index).bernoulli(target.prob(token) / q.prob(token)):
            return token
        target = residual(target, q)
    return correct(rng, target)


def duplicates_removed(p: Row, q: Row, rng: RandomSource) -> int:
    drawn = draw_candidates("iid", q, 3, rng.at("draft", 0))
    return find_rule("recursive", "iid", 3).choose(p, q, list(dict.fromkeys(drawn)), rng.at("verify", 0)).token


def withheld(keep: Callable[[Row, int], bool]) -> Scheme:
    """The device sends its draft only if it likes it, else the edge draws from the target."""

    def scheme(p: Row, q: Row, rng: RandomSource) -> int:
        token = rng.at("draft", 0).categorical(q)
        return accept_or_correct(p, q, token, rng) if keep(q, token) else correct(rng, p)

    return scheme


def gives_up(proposals: int | None) -> Scheme:
    """Interactive residual: the device takes the first y drawn from p that passes 1 - q(y)/p(y)."""

    def scheme(p: Row, q: Row, rng: RandomSource) -> int:
        token = rng.at("draft", 0).categorical(q)
        if accept(rng, p.prob(token) / q.prob(token)):
            return token
        for index in range(proposals if proposals is not None else 1):
            token = rng.at("proposal", index).categorical(p)
            if rng.at("taken", index).bernoulli(1 - q.prob(token) / p.prob(token)):
                return token
        return token if proposals is not None else correct(rng, residual(p, q))

    return scheme


def rows_longest_match(p: Row, q: Row, rng: RandomSource) -> int:
    """Each candidate has a draw of the target of its own, and any match is kept."""
    candidates = draw_candidates("without_replacement", q, 2, rng.at("draft", 0))
    draws = [rng.at("row", index).categorical(p) for index in range(len(candidates))]
    for token, drawn in zip(candidates, draws, strict=True):
        if token == drawn:
            return token
    return draws[0]


def lost(survives: Callable[[int], float]) -> Scheme:
    """An erased draft is replaced by a draw from the target."""

    def scheme(p: Row, q: Row, rng: RandomSource) -> int:
        token = rng.at("draft", 0).categorical(q)
        if rng.at("air", 0).bernoulli(survives(token)):
            return accept_or_correct(p, q, token, rng)
        return correct(rng, p)

    return scheme


# name, wrong scheme, the least that its worst distance must be (orders of magnitude published for such mistakes)
MISTAKES: list[tuple[str, Scheme, float]] = [
    ("fp16 values not renormalised", unnormalised_half, 1e-5),
    ("scalar in fp16, draw unrounded", rounded_scalar(lambda q: float(np.float16(q))), 1e-5),
    ("scalar in eighths of an octave", rounded_scalar(lambda q: 2 ** (round(8 * np.log2(q)) / 8)), 3e-3),
    ("row down truncated to three", split(top_3), 0.02),
    ("row down in fp16", split(lambda p: half(p.dense())), 1e-6),
    ("resampled from the target", no_residual, 0.1),
    ("softmax of the residual", softmax_of_residual, 0.2),
    ("distinct draws, row not renormalised", draft_row_not_renormalised, 0.03),
    ("duplicates removed", duplicates_removed, 0.01),
    ("own unlikely token withheld", withheld(lambda q, token: q.prob(token) > 0.2), 0.1),
    ("interactive residual gives up", gives_up(2), 0.02),
    ("one target draw per candidate", rows_longest_match, 0.05),
    ("erasure by the token's code length", lost(lambda token: 0.9 - 0.15 * token), 5e-3),
]


def worst_pair(scheme: Scheme) -> tuple[float, dict[int, float], np.ndarray]:
    found = []
    # Generic pairs: rows with zeros make some wrong schemes fail for other reasons.
    for p, q in random_pairs(11, 5, 60)[::10]:
        target, draft = rows(p, q)
        output = law_of(lambda rng, target=target, draft=draft: scheme(target, draft, rng))
        found.append((total_variation(output, p), output, p))
    return max(found, key=lambda entry: entry[0])


@pytest.mark.parametrize(("scheme", "least"), [entry[1:] for entry in MISTAKES], ids=[entry[0] for entry in MISTAKES])
def test_mistakes_are_caught(scheme, least):
    distance, output, p = worst_pair(scheme)
    with pytest.raises(AssertionError, match="law differs"):
        assert_law_equal(output, p)
    assert distance > least


# The nearest correct relatives of the mistakes above pass the same assertion.
CORRECT: list[tuple[str, Scheme]] = [
    ("scalar unrounded", rounded_scalar(lambda q: q)),
    ("row down exact", split(lambda p: p.dense())),
    ("withheld by the row alone", withheld(lambda q, token: q.probs.max() < 0.5)),
    ("residual after one failed proposal", gives_up(None)),
    ("erasure at random", lost(lambda token: 0.7)),
]


@pytest.mark.parametrize("scheme", [entry[1] for entry in CORRECT], ids=[entry[0] for entry in CORRECT])
def test_their_correct_relatives_pass(scheme):
    _, output, p = worst_pair(scheme)
    assert_law_equal(output, p)


def test_a_late_second_slice_biases_a_chain_whose_size_depends_on_its_tokens():
    """Two drafted tokens; the second slice is late, and dropped, when the first token's successors need many bits."""
    p = [Row.dense_row([0.6, 0.4]), {0: Row.dense_row([0.3, 0.7]), 1: Row.dense_row([0.8, 0.2])}]
    q = [Row.dense_row([0.4, 0.6]), {0: Row.dense_row([0.5, 0.5]), 1: Row.dense_row([0.9, 0.1])}]
    expected = {(a, b): p[0].prob(a) * p[1][a].prob(b) for a in (0, 1) for b in (0, 1)}

    def chain(rng: RandomSource, late: Callable[[int, int], bool]) -> tuple[int, int]:
        first = rng.at("draft", 0).categorical(q[0])
        second = rng.at("draft", 1).categorical(q[1][first])
        kept = accept_or_correct(p[0], q[0], first, rng.at("first", 0))
        if kept != first or late(first, second):
            return kept, rng.at("bonus", 1).categorical(p[1][kept])
        return kept, accept_or_correct(p[1][first], q[1][first], second, rng.at("second", 1))

    assert_law_equal(output_distribution(lambda rng: chain(rng, lambda first, second: first == 1)), expected)
    biased = output_distribution(lambda rng: chain(rng, lambda first, second: second == 1))
    with pytest.raises(AssertionError, match="law differs"):
        assert_law_equal(biased, expected)
