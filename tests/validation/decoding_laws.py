"""Decoding laws: output distributions by enumeration, acceptance of verification rules, known mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sim.decoding import decode
from sim.decoding.analysis.exact import analyse, output_distribution
from sim.decoding.core.wire.row_codec import RowFormat
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.tabular import TabularModel
from tests.validation.registry import Row, between, near, same, section

LAWS = "decoding laws"
EXACT = 1e-12

P = (0.40, 0.30, 0.15, 0.10, 0.05)
Q = (0.10, 0.45, 0.25, 0.05, 0.15)

# Rule, how candidates are drawn, candidates, acceptance on the vector, source of the rule.
_ON_THE_VECTOR = (
    ("single", "iid", 1, 0.650000, "arXiv 2211.17192, Lemma 3.3"),
    ("recursive", "iid", 2, 0.702500, "arXiv 2305.09781 (SpecInfer)"),
    ("recursive_without_replacement", "without_replacement", 2, 0.728556, "arXiv 2401.06706 (MCSD)"),
    ("k_seq", "iid", 2, 0.728201, "arXiv 2310.15141 (SpecTr)"),
    ("optimal", "iid", 2, 0.777500, "arXiv 2410.18234, Th. 3"),
    ("optimal", "without_replacement", 2, 0.838062, "arXiv 2502.18779"),
    ("greedy_multi", "top_k_plus_sample", 2, 0.772727, "arXiv 2502.18779"),
    ("target_first", "iid", 2, 0.374500, "arXiv 2505.17052 (SpecEdge)"),
    ("target_first", "without_replacement", 2, 0.431653, "arXiv 2505.17052 (SpecEdge)"),
    ("target_first", "top_k", 2, 0.450000, "arXiv 2505.17052 (SpecEdge)"),
)

# What keeps enumeration small.
_SMALL: dict[str, dict[str, Any]] = {
    "hsd": {"blocks": [1, 2]},
    "residual": {"max_messages": 1},
    "asym": {"stages": [1]},
}


def _distance(got: dict[Any, float], expected: dict[Any, float]) -> float:
    """Largest difference of two distributions at one outcome."""
    return max(abs(got.get(key, 0.0) - expected.get(key, 0.0)) for key in got.keys() | expected.keys())


def _variation(output: Sequence[float], target: Sequence[float]) -> float:
    return 0.5 * float(np.abs(np.asarray(output) - np.asarray(target)).sum())


@section(LAWS)
def rules_on_the_vector() -> Iterable[Row]:
    """Every rule on one pair of rows: its output distribution is the target's, its acceptance the published rule's."""
    for rule, drawn, candidates, acceptance, source in _ON_THE_VECTOR:
        output, accepted = analyse(rule, P, Q, candidates, draw=drawn)
        name = f"{rule}, {candidates} candidate{'s' if candidates > 1 else ''} {drawn}"
        yield near(
            f"{name}: distance of its output from p", f"{source}; p itself", 0.0, _variation(output, P), abs=EXACT
        )
        yield near(f"{name}: acceptance", f"{source}, enumerated by hand", acceptance, accepted, abs=5e-7)


@section(LAWS)
def shared_noise() -> Iterable[Row]:
    """Gumbel coupling: the acceptance by its double sum, which the sorted form of the code does not use."""
    expected = sum(1 / sum(max(Q[y] / Q[x], P[y] / P[x]) for y in range(len(P))) for x in range(len(P)))
    output, accepted = analyse("gumbel", P, Q)
    yield near("gumbel: distance of its output from p", "p itself", 0.0, _variation(output, P), abs=EXACT)
    yield near("gumbel: acceptance", "arXiv 2408.07978, double sum", expected, accepted, abs=1e-9)
    variation = _variation(P, Q)
    yield between(
        "gumbel: acceptance against its bound",
        "arXiv 2408.07978",
        (1 - variation) / (1 + variation),
        1 - variation,
        accepted,
    )


@section(LAWS)
def truncation() -> Iterable[Row]:
    """Truncate, then sample: lossless, and acceptance changes by no more than the mass that was cut."""
    output, accepted = analyse("single", P, Q, row_format=RowFormat(top_k=2, values="fp32"))
    kept = np.array([0, 0.45, 0.25, 0, 0]) / 0.70
    expected = float(np.minimum(P, kept).sum())
    yield near(
        "rows cut to their two best: distance of the output from p",
        "arXiv 2512.16273",
        0.0,
        _variation(output, P),
        abs=EXACT,
    )
    yield near("rows cut to their two best: acceptance", "sum of min(p, q^) by hand", expected, accepted, abs=1e-7)
    rng = np.random.default_rng(3)
    excess = -1.0
    for _ in range(40):
        p, q = rng.dirichlet(np.full(6, 0.7), 2)
        whole, cut = (
            analyse("single", p, q)[1],
            analyse("single", p, q, row_format=RowFormat(top_k=3, values="fp32"))[1],
        )
        dropped = 1 - np.sort(q)[-3:].sum()
        excess = max(excess, abs(whole - cut) - dropped)
    yield between(
        "largest excess of the change of acceptance over the mass cut, 40 pairs",
        "total variation bound",
        -np.inf,
        1e-7,
        excess,
    )


def _tables(seed: int, vocab_size: int = 3) -> dict[str, TabularModel]:
    """A target, a middle model and a draft whose rows are known, with zeros and ties."""
    target = TabularModel.random(seed, vocab_size, concentration=0.8, zeros=0.15, ties=0.2, name="target")
    draft = TabularModel.random(
        seed + 1, vocab_size, concentration=0.8, zeros=0.1, near=target, nearness=0.4, name="draft"
    )
    middle = TabularModel.random(seed + 2, vocab_size, concentration=0.8, near=target, nearness=0.6, name="middle")
    return {"draft": draft, "middle": middle, "target": target}


def _sequence_distribution(model: TabularModel, length: int) -> dict[tuple[int, ...], float]:
    """p(x1) p(x2 | x1) ... from the model's own rows after the prompt (0,)."""
    found = {}
    for text in itertools.product(range(model.vocab_size), repeat=length):
        weight = 1.0
        for place, token in enumerate(text):
            weight *= float(model.row((0, *text[:place]))[token])
        if weight > 0:
            found[text] = weight
    return found


def _protocol_distribution(name: str, models: dict[str, TabularModel], length: int) -> dict[tuple[int, ...], float]:
    settings = dict(_SMALL.get(name, {}))
    if "draft_length" in PROTOCOLS.find(name).settings.model_fields:
        settings["draft_length"] = 2

    def once(source: Any) -> tuple[int, ...]:
        done = decode(
            name, models["draft"], models["target"], (0,), max_new_tokens=length, draw=source, models=models, **settings
        )
        return tuple(done.tokens)

    return output_distribution(once)


def _labels() -> dict[str, Any]:
    """Protocols by name with what they say of themselves: lossless, lossy, or a function of their settings."""
    return {entry.name: entry.traits["lossless"] for entry in PROTOCOLS}


@section(LAWS)
def protocols() -> Iterable[Row]:
    """Every registered lossless protocol, wire and rounds included: the exact distribution of two tokens."""
    models = _tables(21)
    expected = _sequence_distribution(models["target"], 2)
    for name, lossless in _labels().items():
        if lossless is True:
            got = _distance(_protocol_distribution(name, models, 2), expected)
            yield near(
                f"protocol {name}: largest error of its text's distribution",
                "the target's own distribution",
                0.0,
                got,
                abs=EXACT,
            )


@section(LAWS)
def lossy_protocols() -> Iterable[Row]:
    """Protocols that call themselves lossy are: their distribution differs from the target's."""
    models = _tables(21)
    expected = _sequence_distribution(models["target"], 2)
    for name in ("device_only", "dssd_bounded"):
        got = _distance(_protocol_distribution(name, models, 2), expected)
        yield between(f"protocol {name}: largest error of its text's distribution", "labelled lossy", 1e-6, np.inf, got)


@section(LAWS)
def greedy_texts() -> Iterable[Row]:
    """At temperature 0 each lossless protocol emits the target's own most probable tokens."""
    target = TabularModel.random(5, 24, concentration=0.3, name="target")
    draft = TabularModel.random(6, 24, concentration=0.3, near=target, nearness=0.5, name="draft")
    middle = TabularModel.random(7, 24, concentration=0.3, near=target, nearness=0.8, name="middle")
    text: list[int] = []
    while len(text) < 24:
        text.append(int(np.argmax(target.row((0, *text)))))
    for name, lossless in _labels().items():
        if lossless is True:
            done = decode(name, draft, target, (0,), max_new_tokens=24, temperature=0, models={"middle": middle})
            yield same(f"protocol {name}: 24 greedy tokens", "argmax of the target's rows", text, list(done.tokens))


# ---- mistakes -------------------------------------------------------------------------------------------------------


@section(LAWS)
def mistakes() -> Iterable[Row]:
    """Known mistakes of implementations, enumerated by the code's own machinery, have their known distance from p."""
    from tests.decoding.test_negative_controls import InvertedRatio, ReSorted

    pairings = (
        ("deterministic top-2 under the rule for sampled candidates", "recursive", "top_k", 0.367),
        ("distinct candidates under the rule for independent ones", "recursive", "without_replacement", 0.006),
        ("distinct candidates tested by falling probability", ReSorted(), "without_replacement", 0.202),
    )
    for what, rule, drawn, expected in pairings:
        output, _ = analyse(rule, P, Q, 2, draw=drawn)
        yield near(f"control, {what}: distance from p", "enumerated by hand", expected, _variation(output, P), abs=5e-4)
    output, accepted = analyse(InvertedRatio(), P, Q)
    source = "public DSSD code, verify_DSSD, enumerated by hand"
    yield near("control, ratio upside down: distance from p", source, 0.350, _variation(output, P), abs=5e-4)
    yield near("control, ratio upside down: acceptance, which looks better", source, 0.90, accepted, abs=5e-3)


@section(LAWS)
def sampled_by_the_real_code() -> Iterable[Row]:
    """4,000 seeds of the production random numbers: the emitted tokens follow the target (chi-squared)."""
    from scipy.stats import chisquare

    models = _tables(31, 5)
    target = models["target"].row((0,))
    alive = [token for token in range(5) if target[token] > 0]
    counts = [0] * 5
    total = 4000
    for seed in range(total):
        done = decode(
            "tslt", models["draft"], models["target"], (0,), seed=seed, max_new_tokens=1, top_k=3, draft_length=1
        )
        counts[done.tokens[0]] += 1
    expected = [total * float(target[token]) for token in alive]
    p_value = float(chisquare([counts[token] for token in alive], expected).pvalue)
    yield between(
        "p-value of 4,000 first tokens under the target's row", "Pearson's chi-squared test", 0.001, 1.0, p_value
    )
