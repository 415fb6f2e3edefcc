"""Closed forms of capacity, outage, fading, speculation and hierarchies, against independent evaluation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from channels import theory as radio
from sim.decoding import decode, hierarchy, theory
from sim.models.tabular import TabularModel
from tests.validation.registry import Row, near, same, section

FORMS = "closed forms"


@section(FORMS)
def capacity() -> Iterable[Row]:
    """Ergodic Rayleigh capacity and outage."""
    from scipy.integrate import quad

    for snr_db in (-10, 0, 10, 20, 30):
        mean = 10 ** (snr_db / 10)
        expected = quad(lambda x, g=mean: math.log2(1 + g * x) * math.exp(-x), 0, 60, limit=200, epsabs=1e-12)[0]
        got = float(radio.ergodic_rayleigh_bps_hz(snr_db))
        yield near(
            f"ergodic Rayleigh capacity at {snr_db} dB [bit/s/Hz]",
            "quadrature of E log2(1 + g x)",
            expected,
            got,
            abs=1e-6,
        )
    cases = ((10, 1, 0.09516), (10, 2, 0.25918), (20, 4, 0.13929))
    got_list = [float(radio.outage_probability(snr_db, rate)) for snr_db, rate, _ in cases]
    expected_list = [1 - math.exp(-(2**rate - 1) / 10 ** (snr_db / 10)) for snr_db, rate, _ in cases]
    yield near(
        "Rayleigh outage: 10 dB R 1, 10 dB R 2, 20 dB R 4", "1 - exp(-(2^R - 1)/g)", expected_list, got_list, abs=1e-12
    )
    x = 3 / 10
    chase = [1 - math.exp(-x) * sum(x**k / math.factorial(k) for k in range(m)) for m in (2, 3, 4)]
    got_list = [float(radio.chase_outage_probability(10, 2, m)) for m in (2, 3, 4)]
    yield near(
        "outage after 2, 3, 4 chase rounds, 10 dB, R 2", "Erlang distribution by hand", chase, got_list, abs=1e-12
    )


@section(FORMS)
def diversity() -> Iterable[Row]:
    """Gain of proportional fair over blind orders, i.i.d. Rayleigh."""
    from scipy.special import comb, exp1

    for devices in (2, 4, 8):
        total = sum((-1) ** (k - 1) * comb(devices, k) * math.exp(k) * exp1(k) for k in range(1, devices + 1))
        expected = float(total / (math.e * exp1(1.0)))
        got = radio.pf_gain(devices, 0.0)
        yield near(f"multi-user gain of {devices} devices at 0 dB", "alternating sum over E1", expected, got, rel=1e-7)
    harmonic = [sum(1 / k for k in range(1, n + 1)) for n in (2, 4, 8, 16)]
    got_list = [radio.pf_gain(n, -50) for n in (2, 4, 8, 16)]
    yield near("the same at low SNR, 2, 4, 8, 16 devices", "harmonic numbers", harmonic, got_list, abs=2e-4)


@section(FORMS)
def doppler() -> Iterable[Row]:
    """Jakes autocorrelation at 3.5 GHz."""
    for speed_kmh, lag_s, expected in (
        (3, 5e-3, 0.97681),
        (30, 1e-3, 0.90886),
        (30, 5e-3, -0.27792),
        (120, 2e-3, -0.21384),
    ):
        hz = speed_kmh / 3.6 * 3.5e9 / 3e8
        got = float(radio.jakes_autocorrelation(hz, lag_s))
        yield near(
            f"autocorrelation at {speed_kmh} km/h after {1e3 * lag_s:g} ms",
            "J0(2 pi f_d tau), tabulated",
            expected,
            got,
            abs=6e-6,
        )


@section(FORMS)
def fairness() -> Iterable[Row]:
    """Jain's index and the mean delay of HARQ."""
    yield near(
        "Jain's index of (1, 2, 3)", "(sum x)^2 / (N sum x^2)", 36 / (3 * 14), radio.jain_index([1, 2, 3]), abs=1e-12
    )
    delays = [float(radio.harq_mean_delay(rtt, 0.1)) for rtt in (1.5, 2.5)]
    yield near(
        "mean HARQ delay at p 0.1, round trips of 1.5 and 2.5 ms [ms]",
        "sum of the geometric series",
        [1.5 / 9, 2.5 / 9],
        delays,
        abs=1e-12,
    )


# ---- speculative decoding -------------------------------------------------------------------------------------------


def constant_pair(alpha: float, vocab_size: int = 16) -> tuple[TabularModel, TabularModel]:
    """Draft and target with the same two rows after every text, whose overlap is ``alpha``: acceptance is i.i.d."""
    half = vocab_size // 2
    target = np.zeros(vocab_size)
    draft = np.zeros(vocab_size)
    # A common part of mass alpha, and two disjoint rests.
    target[:half] = draft[:half] = alpha / half
    target[half : half + half // 2] += (1 - alpha) / (half // 2)
    draft[half + half // 2 :] += (1 - alpha) / (vocab_size - half - half // 2)
    return TabularModel(lambda _: draft, vocab_size, name="draft"), TabularModel(
        lambda _: target, vocab_size, name="target"
    )


def _first_rounds(alpha: float, gamma: int, texts: int = 30, rounds: int = 20) -> list[Any]:
    """The first rounds of several texts: none of them is cut by the end of its text."""
    draft, target = constant_pair(alpha)
    found: list[Any] = []
    for seed in range(texts):
        most = rounds * (gamma + 1)
        done = decode("colocated", draft, target, (0,), seed=seed, max_new_tokens=most, draft_length=gamma)
        found += done.rounds[: rounds - 1]
    return found


@section(FORMS, fast=False)
def tokens_per_round() -> Iterable[Row]:
    """Block efficiency of the real round loop under i.i.d. acceptance, against the capped geometric mean."""
    for alpha, gamma in ((0.5, 4), (0.65, 4), (0.8, 2), (0.8, 6), (0.9, 5)):
        rounds = _first_rounds(alpha, gamma)
        expected = (1 - alpha ** (gamma + 1)) / (1 - alpha)
        second = sum((2 * n + 1) * alpha**n for n in range(gamma + 1))  # E[tokens^2] = sum (2n + 1) P(tokens > n)
        error = 4 * math.sqrt((second - expected**2) / len(rounds))
        got = sum(len(one.tokens) for one in rounds) / len(rounds)
        what = f"tokens per round, alpha {alpha}, gamma {gamma}"
        note = f"four standard errors of {len(rounds)} rounds"
        yield near(what, "arXiv 2211.17192, eq. 1", expected, got, abs=round(error, 3), note=note)
    rounds = _first_rounds(0.7, 4)
    tested = sum(one.tested for one in rounds)
    got = sum(one.accepted for one in rounds) / tested
    error = 4 * math.sqrt(0.21 / tested)
    source = "arXiv 2211.17192, Lemma 3.3"
    yield near("acceptance rate over tested positions, overlap 0.7", source, 0.7, got, abs=round(error, 3))


@section(FORMS)
def published_tokens_per_round() -> Iterable[Row]:
    """Conversions that reading other papers' tables needs."""
    rows = ((0.75, 7, 3.600), (0.80, 7, 4.161), (0.82, 7, 4.420), (0.62, 7, 2.574), (0.53, 5, 2.081), (0.74, 3, 2.693))
    got = [theory.expected_tokens(alpha, gamma) for alpha, gamma, _ in rows]
    yield near(
        "expected tokens for six rows of Table 2",
        "arXiv 2211.17192, geometric sum by hand",
        [row[2] for row in rows],
        got,
        abs=6e-4,
    )
    fractions = ((2, 0.744, 0.82), (4, 0.375, 0.64), (8, 0.335, 0.75), (5, 0.439, 0.74))
    got = [theory.alpha_from_accepted_fraction(fraction, gamma) for gamma, fraction, _ in fractions]
    yield near(
        "alpha behind accepted/(rounds gamma)",
        "arXiv 2507.12000 repository, solved by hand",
        [row[2] for row in fractions],
        got,
        abs=0.0051,
    )
    yield near(
        "server capacity gained at gamma 5, 10 ms drafts, 50 ms verifies",
        "arXiv 2606.25091",
        2.0,
        theory.capacity_gain(5, 0.010, 0.050),
        abs=1e-12,
    )


@section(FORMS)
def multi_draft() -> Iterable[Row]:
    """Optimum over all verifiers of two candidates, by scanning every subset of the vocabulary."""
    p, q = (0.40, 0.30, 0.15, 0.10, 0.05), (0.10, 0.45, 0.25, 0.05, 0.15)

    def inside_without(subset: tuple[int, ...]) -> float:
        return sum(q[a] * q[b] / (1 - q[a]) for a in subset for b in subset if a != b)

    subsets = [subset for size in range(6) for subset in itertools.combinations(range(5), size)]
    best = 1 + min(sum(p[x] for x in s) - sum(q[x] for x in s) ** 2 for s in subsets)
    got = theory.multi_draft_optimum(p, q, 2, True)
    yield near(
        "best acceptance of two independent candidates", "arXiv 2410.18234, all 32 subsets", best, got, abs=1e-12
    )
    best = 1 + min(sum(p[x] for x in s) - inside_without(s) for s in subsets)
    got = theory.multi_draft_optimum(p, q, 2, False)
    yield near("best acceptance of two distinct candidates", "arXiv 2502.18779, all 32 subsets", best, got, abs=1e-12)


@section(FORMS)
def mean_acceptance() -> Iterable[Row]:
    """Mean acceptance of rules over random pairs of rows (Dirichlet 0.7, six tokens)."""
    from sim.decoding.analysis.exact import analyse

    rng = np.random.default_rng(17)
    pairs = [tuple(rng.dirichlet(np.full(6, 0.7), 2)) for _ in range(60)]
    cases = (
        ("single", 1, "iid", 0.470),
        ("recursive", 2, "iid", 0.565),
        ("k_seq", 2, "iid", 0.578),
        ("recursive_without_replacement", 2, "without_replacement", 0.612),
        ("greedy_multi", 2, "top_k_plus_sample", 0.608),
    )
    for rule, candidates, drawn, expected in cases:
        found = [analyse(rule, p, q, candidates, draw=drawn)[1] for p, q in pairs]
        error = 4 * float(np.std(found)) * math.sqrt(1 / len(pairs) + 1 / 200)
        what = f"mean acceptance of {rule}, {candidates} candidate{'s' if candidates > 1 else ''} {drawn}"
        yield near(
            what,
            "enumeration of 200 other pairs by independent code",
            expected,
            float(np.mean(found)),
            abs=round(error, 3),
            note="four standard errors of the difference of two means",
        )


@section(FORMS)
def access_and_sleep() -> Iterable[Row]:
    """Random access collisions by enumeration of all draws, and the mean wait of discontinuous reception."""
    draws = list(itertools.product(range(4), repeat=5))
    hit = sum(draw.count(draw[0]) > 1 for draw in draws) / len(draws)
    got = float(radio.preamble_collision(5, 4))
    yield near("preamble collision, 5 devices, 4 preambles", "enumeration of all 1,024 draws", hit, got, abs=1e-12)
    given = [float(radio.preamble_collision(count)) for count in (10, 20)]
    yield near(
        "preamble collision, 54 preambles, 10 and 20 devices", "1 - (53/54)^(n-1)", [0.1548, 0.2989], given, abs=5e-5
    )
    times = np.arange(0.5, 160) / 1000
    waits = [float(np.maximum(0, cycle - np.where(times < on, cycle, times))[times < cycle].mean())
             for cycle, on in ((0.04, 0.01), (0.16, 0.01))]  # fmt: skip
    means = [float(radio.drx_mean_wait_s(cycle, 0.01)) for cycle in (0.04, 0.16)]
    yield near("C-DRX mean wait, cycles of 40 and 160 ms, 10 on [s]", "mean over arrival times", waits, means, abs=1e-5)


@section(FORMS)
def best_chain() -> Iterable[Row]:
    """The best hierarchy of four models, against trying every chain and every block length."""
    cost = (0.6e-3, 2.0e-3, 7.0e-3, 30e-3)
    accept = np.array([[1, 0.7, 0.6, 0.5], [0, 1, 0.75, 0.65], [0, 0, 1, 0.8], [0, 0, 0, 1]])

    def seconds(chain: tuple[int, ...], blocks: tuple[int, ...]) -> float:
        value = cost[chain[0]]
        for lower, upper, n in zip(chain[:-1], chain[1:], blocks, strict=True):
            a = accept[lower, upper]
            value = (n * value + cost[upper]) * (1 - a) / (1 - a ** (n + 1))
        return float(value)

    best = cost[3]
    for size in range(1, 4):
        for lower in itertools.combinations(range(3), size):
            for blocks in itertools.product(range(1, 9), repeat=size):
                best = min(best, seconds((*lower, 3), blocks))
    got = hierarchy.plan(cost, accept, 8)
    yield near(
        "seconds per token of the best hierarchy of four models",
        "arXiv 2510.19705, every chain tried",
        best,
        got.token_s,
        rel=1e-12,
    )
    yield same(
        "its chain is the one that was found",
        "arXiv 2510.19705, every chain tried",
        round(best, 15),
        round(seconds(got.chain, got.blocks), 15),
    )
