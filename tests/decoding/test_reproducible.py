"""Figures of rounds do not show the batch that computed their rows, and their means and errors stay right."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats as distributions

from sim.decoding.core import reproducible as reproducible_module
from sim.decoding.core import request as request_module
from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.reproducible import QUANTA, quantum_of, reproducible, rounded_stats
from sim.decoding.core.request import Request
from sim.decoding.drivers.instant import InstantDriver
from sim.decoding.drivers.library import decode
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.tabular import TabularModel

KEYS = range(20_000)


@pytest.mark.parametrize("quantum", [1 / 32, 1 / 8, 1 / 2])
@pytest.mark.parametrize("value", [0.003, 0.3, 0.77, 4.9])
def test_the_mean_over_keys_is_the_value(value, quantum):
    """Five standard errors: a right mean fails once in 1.7 million choices of keys."""
    found = np.array([reproducible(value, quantum, 7, key, "overlap") for key in KEYS])
    share = value / quantum % 1
    assert set(found / quantum) <= {math.floor(value / quantum), math.ceil(value / quantum)}
    assert abs(found.mean() - value) < 5 * quantum * math.sqrt(share * (1 - share) / len(KEYS))


def test_noise_moves_a_value_as_often_as_it_is_large_beside_the_step():
    """Which of 20,000 keys: binomial with noise / quantum; the limits are passed once in a million choices of keys."""
    values = np.random.default_rng(1).uniform(0, 1, len(KEYS)).tolist()
    for noise in (1e-5, 1e-3, -1e-2):
        moved = sum(
            reproducible(value, 1 / 8, key) != reproducible(value + noise, 1 / 8, key)
            for key, value in zip(KEYS, values, strict=True)
        )
        low, high = distributions.binom.interval(1 - 1e-6, len(KEYS), abs(noise) * 8)
        assert low <= moved <= high


@pytest.mark.parametrize("quantum", QUANTA.values())
@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_bounds_and_other_multiples_stay_though_sums_over_a_vocabulary_err(monkeypatch, quantum, uniform):
    """Whatever is drawn."""
    monkeypatch.setattr(reproducible_module, "uniform_at", lambda _: uniform)
    for value in (0.0, 1.0, 3 * quantum):
        assert {reproducible(value + off, quantum, 1) for off in (-1e-12, 0.0, 1e-12)} == {value}
    assert reproducible(1 - 1e-3, quantum, 1) == (1.0 if uniform else 1 - quantum)


def test_what_is_no_figure_of_rows_is_kept():
    kept = (("asked", 1.0), ("inner_tested", 57.0), ("uncertainty", 7 / 256), ("counted", 3))
    assert all(rounded_stats(kept, (1, key)) == kept for key in range(50))
    ((_, unknown),) = rounded_stats([("overlap", math.nan)], (1,))
    assert math.isnan(unknown)
    assert rounded_stats([("tail_mass", math.inf)], (1,)) == (("tail_mass", math.inf),)


def test_a_figure_of_unknown_size_is_rounded_to_eighths_of_its_octave():
    """Below and above a power of two the step differs by two, and both divide it: noise makes no difference there."""
    assert [quantum_of(value) for value in (0.75, 1.0, 1.99, 2.0, 300.0)] == [1 / 16, 1 / 8, 1 / 8, 1 / 4, 32]
    for value in (0.0123, 1.9, -5.3, 777.7):
        found = [dict(rounded_stats([("own", value)], (key,)))["own"] for key in KEYS]
        assert set(np.diff(sorted(set(found)))) == {quantum_of(value)}
        assert np.mean(found) == pytest.approx(value, abs=5 * quantum_of(value) / 2 / math.sqrt(len(KEYS)))
    moved = sum(
        rounded_stats([("own", 2 - 1e-4)], (key,)) != rounded_stats([("own", 2 + 1e-4)], (key,)) for key in KEYS
    )
    assert moved <= distributions.binom.isf(1e-6, len(KEYS), 1e-4 * (8 + 4))


def test_each_name_round_request_and_seed_is_rounded_by_itself():
    """Pairs of keys that round alike: a half of 20,000 for keys that know nothing of each other, within 1e-6."""

    def ups(*key):
        return np.array([reproducible(0.5, 1.0, *key[:2], place, *key[2:]) for place in KEYS])

    found = [ups(5, 1, "overlap"), ups(6, 1, "overlap"), ups(5, 2, "overlap"), ups(5, 1, "tail_mass")]
    low, high = distributions.binom.interval(1 - 1e-6, len(KEYS), 0.5)
    for one, other in [*pairwise(found), (found[0], found[2]), (found[0], found[3])]:
        assert low <= (one == other).sum() <= high
    pairs = [rounded_stats([("target_entropy_bits", 0.25), ("surprisal_bits", 0.25)], (5, 1, key)) for key in KEYS]
    assert low <= sum(one == other for (_, one), (_, other) in pairs) <= high


def test_intervals_over_replications_cover_what_was_rounded():
    """Five replications of 40 rounds that are all alike: whatever they differ by is the rounding.

    Student's interval covers the mean in 95 % of 1,000 studies; a right one leaves these limits once in 10,000.
    """
    values = np.random.default_rng(2).uniform(0, 1, 40).tolist()
    inside = 0
    for study in range(1000):
        means = [
            np.mean([reproducible(value, 1 / 8, study * 5 + seed, 3, place) for place, value in enumerate(values)])
            for seed in range(5)
        ]
        low, high = distributions.t.interval(0.95, 4, np.mean(means), distributions.sem(means))
        inside += low <= np.mean(values) <= high
    assert 920 <= inside <= 978


class Elsewhere(TabularModel):
    """The same table, its logits off by what another batch may make of them."""

    noise = 0.0

    def _run(self, batch):
        found = super()._run(batch)
        generator = np.random.default_rng(self.calls)
        self.calls += 1
        return [rows + self.noise * generator.standard_normal(rows.shape) for rows in found]

    calls = 0


@pytest.fixture(scope="module")
def decoded():
    """Decodes 300 requests with noise in the logits; rounds as recorded, and figures as they were before rounding."""
    target = TabularModel.random(1, 64, concentration=0.3)
    near = TabularModel.random(2, 64, concentration=0.3, near=target)
    models = {role: Elsewhere(model.row, 64, name=role) for role, model in (("draft", near), ("target", target))}
    entry = PROTOCOLS.find("tslt")
    settings = entry.settings(top_k=16, values="fp32")

    @cache
    def at(noise):
        whole = {}

        def keeping(found, key):
            whole[key] = tuple(found)
            return rounded_stats(whole[key], key)

        for model in models.values():
            model.noise = noise
            model.forget_all()
        requests = [Request(number, [number % 64, 3], 64, 24, rounding_key=(9, number)) for number in range(300)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(request_module, "rounded_stats", keeping)
            InstantDriver(models).run_all([entry.make(r, settings, KeyedRandom(9, r.id)) for r in requests])
        return [list(with_places(r, whole)) for r in requests]

    return at


def with_places(request, whole):
    """Tokens of each round with its figures: before rounding, and as recorded."""
    place = 0
    for one in request.rounds:
        yield one.tokens, whole[(9, request.id, place)], one.stats
        place += len(one.tokens)


def compared(one, other):
    """Figures off the others by how many steps, and how many records differ, up to where two texts part; and rounds."""
    off, differ, count = [], 0, 0
    for rounds, others in zip(one, other, strict=True):
        for (tokens, whole, kept), (other_tokens, other_whole, other_kept) in zip(rounds, others, strict=False):
            if tokens != other_tokens:
                break
            count += 1
            differ += sum(repr(first) != repr(second) for first, second in zip(kept, other_kept, strict=True))
            distances = [abs(first - second) for (_, first), (_, second) in zip(whole, other_whole, strict=True)]
            steps = [QUANTA[name] for name, _ in whole]
            off += [by / step for by, step in zip(distances, steps, strict=True) if not math.isnan(by)]
    return off, differ, count


def test_noise_in_logits_rarely_shows_in_records(decoded):
    """Ten times the noise of a batch: all rounds have other figures, and hardly any has another record.

    Figures that differ are independent draws with probability noise / quantum each, here some 0.3 in 2,400 rounds; more
    than the limit is found once in a million choices of keys.
    """
    off, differ, count = compared(decoded(0.0), decoded(1e-5))
    assert count > 2000
    assert sum(distance > 0 for distance in off) > count
    assert 0 < sum(off) < 3e-4 * count
    assert differ <= distributions.poisson.isf(1e-6, sum(off))


def test_more_noise_shows_as_often_as_the_steps_say(decoded):
    """The same with noise that can be counted: the limits are passed once in a million choices of keys."""
    off, differ, _ = compared(decoded(0.0), decoded(1e-2))
    expected = sum(min(1.0, distance) for distance in off)
    assert expected > 100
    assert distributions.poisson.ppf(5e-7, expected) <= differ <= distributions.poisson.isf(5e-7, expected)


def test_rows_sent_whole_have_no_tail_and_equal_rows_all_overlap():
    target = TabularModel.random(1, 997, concentration=0.3)
    done = decode("tslt", target, target, [1, 2], max_new_tokens=60, values="fp32")
    near = decode("tslt", TabularModel.random(2, 997, near=target), target, [1, 2], max_new_tokens=60)
    assert {dict(one.stats)["tail_mass"] for one in (*done.rounds, *near.rounds) if one.tested} == {0.0}
    exact = decode("colocated", target, target, [1, 2], max_new_tokens=60)
    assert {dict(one.stats)["overlap"] for one in exact.rounds if one.tested} == {1.0}


def test_figures_do_not_depend_on_the_name_under_which_a_request_is_cached():
    """The tape's recorder gives requests other ids; seed and request are those of the scenario."""
    rounds = []
    for number in (4, -1):
        request = Request(number, [1], 8, 100, rounding_key=(5, 4))
        for _ in range(100):
            request.emit([1], stats=(("overlap", 0.4),))
        rounds.append(request.rounds)
    assert rounds[0] == rounds[1]
    assert {dict(one.stats)["overlap"] for one in rounds[0]} == {0.375, 0.5}
