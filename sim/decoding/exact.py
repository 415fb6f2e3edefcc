"""Exact output laws: every branch of the production code's luck is followed and weighted, nothing is sampled."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from sim.decoding.drafting import draw_candidates
from sim.decoding.draws import Draw
from sim.decoding.rows import Probabilities, Row
from sim.decoding.rules.base import RULES, Rule
from sim.decoding.wire.row_codec import RowCodec, RowFormat
from sim.errors import InputError

Outcome = TypeVar("Outcome", bound=Hashable)


class _Script:
    """The branch taken at each draw so far, and the branches that are still to be taken."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.options: list[list[tuple[object, float]]] = []
        self.at = 0

    def branch(self, options: list[tuple[object, float]]) -> object:
        """Take the scripted option, or the first one beyond the script."""
        if self.at == len(self.taken):
            self.taken.append(0)
            self.options.append(options)
        outcome = self.options[self.at][self.taken[self.at]][0]
        self.at += 1
        return outcome

    @property
    def weight(self) -> float:
        """Probability of the path."""
        weight = 1.0
        for index, options in zip(self.taken, self.options, strict=True):
            weight *= options[index][1]
        return weight

    def next_path(self) -> bool:
        """Move on to the next path, depth first; False when all were taken."""
        while self.taken:
            self.taken[-1] += 1
            if self.taken[-1] < len(self.options[-1]):
                self.at = 0
                return True
            self.taken.pop()
            self.options.pop()
        return False


class EnumeratingDraw(Draw):
    """Luck that follows every branch of positive probability; addresses do not matter, every draw is fresh."""

    def __init__(self, script: _Script | None = None) -> None:
        self._script = script if script is not None else _Script()

    def at(self, purpose: str, *address: int) -> EnumeratingDraw:
        return self

    def flip(self, probability: float) -> bool:
        chance = min(1.0, max(0.0, probability))
        options: list[tuple[object, float]] = [(True, chance), (False, 1.0 - chance)]
        return bool(self._script.branch([option for option in options if option[1] > 0]))

    def pick(self, row: Row) -> int:
        ids = range(row.vocab_size) if row.ids is None else row.ids.tolist()
        options: list[tuple[object, float]] = [
            (token, float(p)) for token, p in zip(ids, row.probs.tolist(), strict=True) if p > 0
        ]
        token = self._script.branch(options)
        assert isinstance(token, int)
        return token


def law(run: Callable[[Draw], Outcome], max_paths: int = 1_000_000) -> dict[Outcome, float]:
    """The exact law of whatever ``run`` returns.

    Args:
        run: Draws from the source that it is given and returns something hashable; called once per path.
        max_paths: Give up beyond this many.

    Raises:
        RuntimeError: More paths than ``max_paths``.
    """
    script = _Script()
    outcomes: dict[Outcome, float] = {}
    for _ in range(max_paths):
        outcome = run(EnumeratingDraw(script))
        outcomes[outcome] = outcomes.get(outcome, 0.0) + script.weight
        if not script.next_path():
            return outcomes
    raise RuntimeError(f"more than {max_paths} paths; use a smaller vocabulary or a shorter draft")


def analyse(
    rule: str | Rule,
    p: npt.ArrayLike,
    q: npt.ArrayLike,
    candidates: int = 1,
    *,
    draw: str | None = None,
    row_format: RowFormat | None = None,
) -> tuple[Probabilities, float]:
    """Output law and acceptance probability of a verification rule at one position, by enumeration of its code.

    Args:
        rule: Registered name or a rule object.
        p: The target's row, [vocab_size].
        q: The draft's row, [vocab_size].
        candidates: Candidates drawn.
        draw: How they are drawn (``sim.decoding.drafting.draw_candidates``); by default the way that the rule is
            exact for.
        row_format: Truncation and value format of the draft's row before drawing; by default none.

    Returns:
        Law of the emitted token [vocab_size], and the probability that one of the candidates is accepted.

    Raises:
        InputError: Unknown rule, or rows that are no distributions of one width.
    """
    chosen = RULES.find(rule).make() if isinstance(rule, str) else rule
    target, proposal = _as_row(p, "p"), _as_row(q, "q")
    if target.vocab_size != proposal.vocab_size:
        raise InputError(f"p has {target.vocab_size} entries and q has {proposal.vocab_size}")
    if row_format is not None:
        proposal = RowCodec(proposal.vocab_size, row_format).code(proposal).row
    mode = draw if draw is not None else default_mode(chosen)

    def once(luck: Draw) -> tuple[int, bool]:
        tokens = draw_candidates(mode, proposal, candidates, luck)
        choice = chosen.choose(target, proposal, tokens, luck)
        return choice.token, choice.accepted is not None

    outcomes = law(once)
    output = np.zeros(target.vocab_size)
    for (token, _), weight in outcomes.items():
        output[token] += weight
    return output, sum(weight for (_, accepted), weight in outcomes.items() if accepted)


def default_mode(rule: Rule) -> str:
    """The first way of drawing candidates, in the order in which the facts of the field list them, that is exact."""
    for mode in ("iid", "without_replacement", "top_k_plus_sample", "top_k", "shared_noise"):
        if mode in rule.exact_for:
            return mode
    raise InputError(f"{type(rule).__name__} is exact for no way of drawing candidates")


def _as_row(values: npt.ArrayLike, name: str) -> Row:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or len(row) < 1 or (row < 0).any() or not np.isclose(row.sum(), 1.0, atol=1e-9):
        raise InputError(f"{name} must be one row of probabilities that sum to 1, got {values!r}")
    return Row.dense_row(row)


def text_law(row_after: Callable[[tuple[int, ...]], Sequence[float]], length: int) -> dict[tuple[int, ...], float]:
    """The target's own law of the next ``length`` tokens, the law that a lossless protocol must have.

    Args:
        row_after: The target's row after the tokens generated so far.
        length: Tokens.
    """
    laws: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(length):
        laws = {
            (*text, token): weight * float(p)
            for text, weight in laws.items()
            for token, p in enumerate(row_after(text))
            if p > 0
        }
    return laws
