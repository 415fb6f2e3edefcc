"""The whole matrix of exact laws: lossless protocols by value format and draft length, trees of six nodes by rule.

Limits: chains to gamma 3 with their bonus token are enumerated over two tokens, to gamma 2 over three; trees of six
nodes over three tokens. One position is enumerated for every rule and format in ``test_rules.py`` up to six tokens.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest

from sim.decoding import decode
from sim.decoding.analysis.exact import output_distribution
from sim.decoding.core.rows import Row, Sampling, residual
from sim.decoding.protocols.registry import PROTOCOLS
from sim.decoding.verification import optimal
from sim.decoding.verification.base import Choice
from sim.decoding.verification.recursive import Recursive
from sim.decoding.verification.transport import DistinctSelection
from sim.models.tabular import TabularModel
from tests.decoding.laws import assert_law_equal, random_pairs, target_sequence_distribution
from tests.decoding.lazy import lazy_law
from tests.decoding.test_protocol_laws import PROMPT, fitting_pairs, protocol_law

VALUES = ("fp32", "fp16", "log8", "lattice")
LOSSLESS = [entry.name for entry in PROTOCOLS if entry.traits["lossless"]]


def odd_pair(seed: int, vocab_size: int) -> tuple[TabularModel, TabularModel]:
    """Draft and target whose rows after each text are one of the odd pairs: zeros, ties, one-hot, equal, disjoint."""
    pairs = random_pairs(seed, vocab_size, 20)

    def rows_after(text: tuple[int, ...]) -> Any:
        # Texts that differ by a token or by their length meet different pairs.
        return pairs[(seed + sum((place + 2) * (token + 1) for place, token in enumerate(text))) % len(pairs)]

    draft = TabularModel(lambda text: rows_after(text)[1], vocab_size, name="draft")
    return draft, TabularModel(lambda text: rows_after(text)[0], vocab_size, name="target")


def check(name: str, seed: int, vocab_size: int, length: int, **settings: Any) -> None:
    draft, target = odd_pair(seed, vocab_size)
    middle, _ = odd_pair(seed + 7, vocab_size)

    def once(rng: Any) -> tuple[int, ...]:
        models = {"middle": middle} if name == "hsd" else {}
        done = decode(name, draft, target, PROMPT, max_new_tokens=length, rng=rng, models=models, **settings)
        return tuple(done.tokens)

    assert_law_equal(output_distribution(once), target_sequence_distribution(target, PROMPT, length, Sampling()))


def formats_of(name: str) -> list[dict[str, Any]]:
    """A protocol's value formats; a coarse lattice, so that rounding is there to be noticed."""
    fields = PROTOCOLS.find(name).settings.model_fields
    coarse = {"lattice_levels": 7} if "lattice_levels" in fields else {}
    if "values" not in fields:
        return [coarse]
    assert set(get_args(fields["values"].annotation)) == set(VALUES)
    return [{"values": values, **coarse} for values in VALUES]


# What keeps enumeration small: the hierarchy's blocks stand for its draft length.
SMALL: dict[str, dict[str, Any]] = {"hsd": {"blocks": [1, 2]}, "residual": {"max_messages": 1}, "asym": {"stages": [1]}}
FORMATS = [(name, settings) for name in LOSSLESS for settings in formats_of(name)]


@pytest.mark.parametrize(("name", "settings"), FORMATS, ids=str)
def test_chains_of_every_protocol_in_every_format(name: str, settings: dict[str, Any]):
    lengths = "draft_length" in PROTOCOLS.find(name).settings.model_fields
    for draft_length, vocab_size, length in ((1, 3, 2), (2, 3, 2), (3, 2, 4)):
        chain = {"draft_length": draft_length} if lengths else {}
        check(name, draft_length, vocab_size, length, **settings, **SMALL.get(name, {}), **chain)


def tree_law(seed: int, vocab_size: int, patch: pytest.MonkeyPatch, **settings: Any) -> tuple[Any, Any]:
    """Law of three tokens of ``tslt`` with a token tree, and the target's own."""
    draft, target = odd_pair(seed, vocab_size)

    def once(rng: Any) -> tuple[int, ...]:
        return tuple(decode("tslt", draft, target, PROMPT, max_new_tokens=3, rng=rng, **settings).tokens)

    return lazy_law(once, patch), target_sequence_distribution(target, PROMPT, 3, Sampling())


def remember_plans(patch: pytest.MonkeyPatch) -> None:
    """Solve the linear programme of the optimal rule once per pair of rows, not once per path."""
    plans: dict[Any, Any] = {}

    def plan(p: Row, q: Row, candidates: int) -> DistinctSelection:
        key = (p.dense().tobytes(), q.dense().tobytes(), candidates)
        if key not in plans:
            plans[key] = DistinctSelection(p, q, candidates)
        return plans[key]

    patch.setattr(optimal, "DistinctSelection", plan)


@pytest.mark.parametrize(("rule", "draw"), fitting_pairs())
def test_trees_of_six_nodes_over_three_tokens(rule: str, draw: str, monkeypatch: pytest.MonkeyPatch):
    """Every rule with every fitting draw; shapes and value formats take turns."""
    remember_plans(monkeypatch)
    turn = fitting_pairs().index((rule, draw))
    # Three independent candidates at one node make tens of thousands of paths.
    shapes = [[2, 2], [2, 1, 1] if draw == "iid" else [3, 1]]
    for number, branching in enumerate(shapes):
        values = VALUES[(turn + number) % len(VALUES)]
        settings = {"draft_length": len(branching), "candidates": branching, "rule": rule, "draw": draw}
        got, expected = tree_law(number + 3, 3, monkeypatch, values=values, lattice_levels=7, **settings)
        assert_law_equal(got, expected)


@pytest.mark.parametrize(("rule", "draw"), fitting_pairs())
def test_looking_only_where_verification_looks_gives_the_whole_law(rule: str, draw: str, monkeypatch):
    """The shortcut against full enumeration, protocol and all."""
    settings = {"draft_length": 2, "candidates": [2, 2], "rule": rule, "draw": draw}
    got, _ = tree_law(5, 2, monkeypatch, **settings)
    monkeypatch.undo()
    assert_law_equal(got, protocol_law("tslt", odd_pair(5, 2), 3, **settings))


def test_an_inverted_ratio_in_a_tree_is_caught(monkeypatch: pytest.MonkeyPatch):
    def choose(self: Any, p: Row, q: Row, candidates: list[int], draw: Any) -> Choice:
        for index, token in enumerate(candidates):
            if p.prob(token) > 0 and draw.bernoulli(min(1.0, q.prob(token) / p.prob(token))):
                return Choice(index, token)
        return Choice(None, draw.categorical(residual(p, q)))

    monkeypatch.setattr(Recursive, "choose", choose)
    settings = {"draft_length": 2, "candidates": [2, 2], "rule": "recursive", "draw": "iid"}
    with pytest.raises(AssertionError, match="law differs"):
        assert_law_equal(*tree_law(3, 3, monkeypatch, **settings))
