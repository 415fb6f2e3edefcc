"""Exact output distributions: every random branch of the production code is followed and weighted, none is sampled."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from sim.core.errors import InputError
from sim.decoding.analysis.races import race_probability
from sim.decoding.core.drafting import candidate_rng, draw_candidates
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Probabilities, Row
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.verification.base import RULES, Rule

Outcome = TypeVar("Outcome", bound=Hashable)

# Branches of less than this share are rounding: the integral over an empty cone.
_NOTHING = 1e-15


class _Script:
    """The branch taken at each draw so far, and the branches that are still to be taken."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.options: list[list[tuple[object, float]]] = []
        self.at = 0

    def branch(self, options: Callable[[], list[tuple[object, float]]]) -> object:
        """Take the scripted option, or the first one beyond the script; options are only worked out there."""
        if self.at == len(self.taken):
            self.taken.append(0)
            self.options.append(options())
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


Address = tuple[int | str, ...]


@dataclass(slots=True)
class _Path:
    """One path: its script, and what is known on it of the noise at each address.

    Attributes:
        script: Branches taken.
        races: Rows picked from at an address, and what each pick returned.
        uniforms: Interval in which the uniform number of an address lies.
    """

    protocol_run: _Script
    races: dict[Address, list[tuple[Row, int]]] = field(default_factory=dict)
    uniforms: dict[Address, tuple[float, float]] = field(default_factory=dict)


class EnumeratingSource(RandomSource):
    """Random source that follows every branch of positive probability.

    Addresses mean what they mean to ``KeyedRandom``: asked twice, one address has the same noise. A second flip
    there sees the same uniform number and a second pick the same exponentials, so their branches carry the
    probabilities that the earlier outcomes leave (``sim.decoding.analysis.races``).
    """

    def __init__(self, path: _Path | None = None, address: Address = ()) -> None:
        self._path = path if path is not None else _Path(_Script())
        self._address = address
        self._flips = 0
        self._picks = 0

    @override
    def at(self, purpose: str, *address: int) -> EnumeratingSource:
        return EnumeratingSource(self._path, (*self._address, purpose, *address))

    @override
    def bernoulli(self, probability: float) -> bool:
        key = (*self._address, self._flips)
        self._flips += 1
        low, high = self._path.uniforms.get(key, (0.0, 1.0))
        edge = min(high, max(low, probability))
        chance = (edge - low) / (high - low)
        options: list[tuple[object, float]] = [(True, chance), (False, 1.0 - chance)]
        heads = bool(self._path.protocol_run.branch(lambda: [option for option in options if option[1] > 0]))
        self._path.uniforms[key] = (low, edge) if heads else (edge, high)
        return heads

    @override
    def categorical(self, row: Row) -> int:
        races = self._path.races.setdefault((*self._address, self._picks), [])
        self._picks += 1
        token = self._path.protocol_run.branch(lambda: _finishers(row, races))
        assert isinstance(token, int)
        races.append((row, token))
        return token


def _finishers(row: Row, races: Sequence[tuple[Row, int]]) -> list[tuple[object, float]]:
    """Tokens that can win a race, with their probabilities given earlier races on the same noise."""
    if not races:
        ids = range(row.vocab_size) if row.ids is None else row.ids.tolist()
        return [(token, float(p)) for token, p in zip(ids, row.probs.tolist(), strict=True) if p > 0]
    rows = tuple(earlier.dense().tobytes() for earlier, _ in races)
    winners = tuple(winner for _, winner in races)
    return list(_finishers_after(rows, winners, row.dense().tobytes()))


@lru_cache(maxsize=65_536)
def _finishers_after(rows: tuple[bytes, ...], winners: tuple[int, ...], row: bytes) -> list[tuple[object, float]]:
    if row in rows:
        return [(winners[rows.index(row)], 1.0)]
    dense = [np.frombuffer(values) for values in (*rows, row)]
    possible = np.flatnonzero(dense[-1] > 0).tolist()
    weights = {token: race_probability(dense, (*winners, token)) for token in possible}
    total = sum(weights.values())
    return [(token, weight / total) for token, weight in weights.items() if weight > _NOTHING * total]


def output_distribution(run: Callable[[RandomSource], Outcome], max_paths: int = 1_000_000) -> dict[Outcome, float]:
    """The exact distribution of whatever ``run`` returns.

    Args:
        run: Draws from the source that it is given and returns something hashable; called once per path.
        max_paths: Give up beyond this many.

    Raises:
        RuntimeError: More paths than ``max_paths``.
    """
    protocol_run = _Script()
    outcomes: dict[Outcome, float] = {}
    for _ in range(max_paths):
        outcome = run(EnumeratingSource(_Path(protocol_run)))
        outcomes[outcome] = outcomes.get(outcome, 0.0) + protocol_run.weight
        if not protocol_run.next_path():
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
    """Output distribution and acceptance probability of a verification rule at one position, by enumerating its code.

    Args:
        rule: RegistryEntry name or a rule object.
        p: The target's row, [vocab_size].
        q: The draft's row, [vocab_size].
        candidates: Candidates drawn.
        draw: How they are drawn (``sim.decoding.core.drafting.draw_candidates``); by default the mode that the rule is
            exact for.
        row_format: Truncation and value format of the draft's row before drawing; by default none.

    Returns:
        Distribution of the emitted token [vocab_size], and the probability that one of the candidates is accepted.

    Raises:
        InputError: Unknown rule, or rows that are no distributions of one width.
    """
    chosen = RULES.find(rule).make(draw) if isinstance(rule, str) else rule
    target, proposal = _as_row(p, "p"), _as_row(q, "q")
    if target.vocab_size != proposal.vocab_size:
        raise InputError(f"p has {target.vocab_size} entries and q has {proposal.vocab_size}")
    if row_format is not None:
        proposal = RowCodec(proposal.vocab_size, row_format).code(proposal).row
    mode = draw if draw is not None else chosen.mode

    def once(rng: RandomSource) -> tuple[int, bool]:
        tokens = draw_candidates(mode, proposal, candidates, candidate_rng(mode, rng, 0))
        choice = chosen.choose(target, proposal, tokens, rng.at("verify", 0))
        return choice.token, choice.accepted is not None

    outcomes = output_distribution(once)
    output = np.zeros(target.vocab_size)
    for (token, _), weight in outcomes.items():
        output[token] += weight
    return output, sum(weight for (_, accepted), weight in outcomes.items() if accepted)


def _as_row(values: npt.ArrayLike, name: str) -> Row:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or len(row) < 1 or (row < 0).any() or not np.isclose(row.sum(), 1.0, atol=1e-9):
        raise InputError(f"{name} must be one row of probabilities that sum to 1, got {values!r}")
    return Row.dense_row(row)


def sequence_distribution(
    row_after: Callable[[tuple[int, ...]], Sequence[float]], length: int
) -> dict[tuple[int, ...], float]:
    """The target's own distribution of the next ``length`` tokens, the one that a lossless protocol must have.

    Args:
        row_after: The target's row after the tokens generated so far.
        length: Tokens.
    """
    weights: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(length):
        weights = {
            (*text, token): weight * float(p)
            for text, weight in weights.items()
            for token, p in enumerate(row_after(text))
            if p > 0
        }
    return weights
