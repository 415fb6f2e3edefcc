"""The fit finds the law behind timings, and what it prices never falls when work grows."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.compute.base import WorkSize
from sim.compute.calibration import Calibration, Coefficients, Host, fit

COUNTS = st.integers(1, 64)
WORK = st.builds(lambda new, past, rows: WorkSize(new, new + past, min(rows, new)), COUNTS, st.integers(0, 500), COUNTS)
BATCH = st.lists(WORK, min_size=1, max_size=16)
SECONDS = st.floats(0, 1, allow_subnormal=False)
LAWS = st.builds(Coefficients, SECONDS, SECONDS, SECONDS, SECONDS, SECONDS, SECONDS)


def designed_batches() -> list[list[WorkSize]]:
    sizes = [WorkSize(new, context, rows) for new in (1, 4, 16, 32) for context in (64, 512) for rows in {1, new}]
    return [[size] * batch for size in sizes for batch in (1, 4, 16)]


def test_recovers_exact_law(law: Coefficients) -> None:
    batches = designed_batches()
    result = fit(batches, [law.seconds(batch) for batch in batches])
    np.testing.assert_allclose(astuple(result.coefficients), astuple(law), rtol=1e-9)
    assert result.max_relative_error < 1e-9


def test_recovers_law_under_noise(law: Coefficients) -> None:
    """5 % noise on each of 42 points: prices within 5 % on batches that were not timed, the error reported ~ 0.67 s."""
    rng = np.random.Generator(np.random.Philox(5))
    batches = designed_batches()
    noisy = [law.seconds(batch) * (1 + 0.05 * rng.standard_normal()) for batch in batches]
    result = fit(batches, noisy)
    for batch in ([WorkSize(5, 200, 5)] * 3, [WorkSize(1, 100, 1)], [WorkSize(24, 300, 1)] * 8):
        assert result.coefficients.seconds(batch) == pytest.approx(law.seconds(batch), rel=0.05)
    assert 0.015 < result.median_relative_error < 0.06


def test_a_wrong_law_shows_in_the_error(law: Coefficients) -> None:
    """Time that falls with work cannot be fitted by non-negative coefficients, and the error says so."""
    batches = designed_batches()
    result = fit(batches, [1e-3 / law.seconds(batch) for batch in batches])
    assert min(astuple(result.coefficients)) >= 0
    assert result.median_relative_error > 0.1


def test_relative_error_counts_short_forwards(law: Coefficients) -> None:
    """A millisecond too much on the longest batch moves the shortest one's price by far less than a millisecond."""
    batches = designed_batches()
    seconds = [law.seconds(batch) for batch in batches]
    seconds[int(np.argmax(seconds))] += 1e-3
    shortest = batches[int(np.argmin(seconds))]
    assert fit(batches, seconds).coefficients.seconds(shortest) == pytest.approx(law.seconds(shortest), rel=1e-3)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAWS, BATCH, st.data())
def test_price_is_monotone(law: Coefficients, batch: list[WorkSize], data: st.DataObject) -> None:
    """More new tokens, a longer text, more rows or one more request never take less time."""
    before = law.seconds(batch)
    index = data.draw(st.integers(0, len(batch) - 1))
    work = batch[index]
    for larger in (
        replace(work, new_tokens=work.new_tokens + 1),
        replace(work, context_tokens=work.context_tokens + 1),
        replace(work, num_rows=work.num_rows + 1),
    ):
        assert law.seconds([*batch[:index], larger, *batch[index + 1 :]]) >= before
    assert law.seconds([*batch, data.draw(WORK)]) >= before


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAWS, BATCH)
def test_price_is_the_stated_sum(law: Coefficients, batch: list[WorkSize]) -> None:
    expected = (
        law.forward_s
        + law.matrix_s * (sum(work.new_tokens for work in batch) > 1)
        + law.request_s * (len(batch) - 1)
        + law.token_s * sum(work.new_tokens for work in batch)
        + law.attention_s * sum(work.new_tokens * work.context_tokens for work in batch)
        + law.row_s * sum(work.num_rows for work in batch)
    )
    assert law.seconds(batch) == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_bad_input_is_refused(law: Coefficients) -> None:
    batches = designed_batches()
    with pytest.raises(ValueError, match="above zero"):
        fit(batches, [0.0] * len(batches))
    with pytest.raises(ValueError, match="one time for each"):
        fit(batches[:3], [1.0] * 3)
    for bad in (-1e-9, float("nan"), float("inf"), True, "1"):
        with pytest.raises(ValueError, match="token_s"):
            replace(law, token_s=bad)


def test_content_hash_is_of_what_prices_depend_on(law: Coefficients) -> None:
    one = Calibration("a", "f", Host("cpu", "2.9", 1), law, 0.01, 0.05, 20, 5, "2025-01-01")
    assert replace(one, model_name="b", measured_on="2026-01-01", host=Host("x", "y", 2)).content_hash == (
        one.content_hash
    )
    assert replace(one, model_fingerprint="g").content_hash != one.content_hash
    nudged = replace(law, row_s=np.nextafter(law.row_s, 1.0).item())
    assert replace(one, coefficients=nudged).content_hash != one.content_hash
