"""Rows: probability distributions over the vocabulary, dense or sparse, and the filters that make them from logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One probability distribution over the vocabulary.

    Attributes:
        vocab_size: Width of the vocabulary.
        probs: Probabilities, [vocab_size] when dense, else one per entry of ``ids``; they sum to 1.
        ids: Ascending token ids of the support, or None when dense.
    """

    vocab_size: int
    probs: Probabilities
    ids: Ids | None = None

    @classmethod
    def dense_row(cls, weights: npt.ArrayLike) -> Row:
        """Normalise non-negative weights [vocab_size] to a dense row."""
        values = np.asarray(weights, dtype=np.float64)
        return cls(len(values), values / values.sum())

    @classmethod
    def sparse_row(cls, vocab_size: int, ids: Ids, weights: Probabilities) -> Row:
        """Normalise the weights of a few token ids (ascending) to a sparse row."""
        return cls(vocab_size, weights / weights.sum(), ids)

    def prob(self, token: int) -> float:
        """Probability of one token."""
        if self.ids is None:
            return float(self.probs[token])
        place = int(np.searchsorted(self.ids, token))
        if place < len(self.ids) and self.ids[place] == token:
            return float(self.probs[place])
        return 0.0

    def dense(self) -> Probabilities:
        """Probabilities of the whole vocabulary, [vocab_size]; do not write to it."""
        if self.ids is None:
            return self.probs
        values = np.zeros(self.vocab_size)
        values[self.ids] = self.probs
        return values

    def without(self, tokens: list[int]) -> Row | None:
        """The row given that it is none of these tokens, or None if nothing else has probability."""
        rest = self.probs.copy()
        if self.ids is None:
            rest[tokens] = 0.0
        else:
            places = np.minimum(np.searchsorted(self.ids, tokens), len(self.ids) - 1)
            rest[places[self.ids[places] == tokens]] = 0.0
        total = rest.sum()
        return Row(self.vocab_size, rest / total, self.ids) if total > 0 else None

    @property
    def entropy_bits(self) -> float:
        """Shannon entropy in bits; a figure, so its logarithms are taken in single precision."""
        probs = np.maximum(self.probs.astype(np.float32), _TINY)
        return max(0.0, float(-np.dot(probs, np.log(probs))) / math.log(2))


def residual(p: Row, q: Row) -> Row:
    """norm(max(0, p - q)), the distribution of a correction (Leviathan et al., arXiv 2211.17192, Alg. 1).

    Where p and q agree to the last bit there is nothing left to correct, and p itself is returned.
    """
    rest = p.dense().copy()
    if q.ids is None:
        rest -= q.probs
    else:
        rest[q.ids] -= q.probs
    np.maximum(rest, 0.0, out=rest)
    total = rest.sum()
    return Row(p.vocab_size, rest / total) if total > 0 else p


def overlap(p: Row, q: Row) -> float:
    """sum_x min(p, q) = 1 - TV(p, q), the acceptance probability of single-draft verification (ibid., Th. 3.5)."""
    if q.ids is None:
        return float(np.minimum(p.dense(), q.probs).sum())
    return float(np.minimum(p.dense()[q.ids], q.probs).sum())


def largest(values: npt.NDArray[np.floating], count: int) -> Ids:
    """Ids of the ``count`` largest values, ascending ids; among equals the lowest ids are kept."""
    if count >= len(values):
        return np.arange(len(values))
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    kept = np.flatnonzero(values >= threshold)
    if len(kept) == count:
        return kept
    above = np.flatnonzero(values > threshold)
    ties = np.flatnonzero(values == threshold)[: count - len(above)]
    return np.sort(np.concatenate([above, ties]))


def nucleus(probs: Probabilities, mass: float) -> Ids:
    """Ids of the smallest set of most probable tokens that holds ``mass``, ascending ids; never empty."""
    order = np.argsort(-probs, kind="stable")
    cumulative = np.cumsum(probs[order])
    count = min(int(np.searchsorted(cumulative, mass * (1 - 1e-12))) + 1, len(probs))
    return np.sort(order[:count])


@dataclass(frozen=True, slots=True)
class Sampling:
    """How logits become the row that tokens are drawn from; what "lossless" is relative to.

    Attributes:
        temperature: 0 for greedy decoding.
        top_k: Keep only the k most probable tokens, or None.
        top_p: Keep only the smallest set of tokens that holds this mass, or None; after ``top_k``.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def row(self, logits: npt.NDArray[np.floating]) -> Row:
        """The row of one position from its logits [vocab_size]; normalised in float64 whatever their type.

        Exponentials are taken in the logits' own precision, but not in half: they can be no more accurate than that.
        """
        if self.temperature == 0:
            probs = np.zeros(len(logits))
            probs[int(np.argmax(logits))] = 1.0
            return Row(len(logits), probs)
        own = logits if logits.dtype in (np.float32, np.float64) else logits.astype(np.float32)
        powers = own - own.max()
        if self.temperature != 1:
            powers /= self.temperature
        values = np.exp(powers, out=powers).astype(np.float64, copy=False)
        if self.top_k is not None and self.top_k < len(values):
            values = _only(values, largest(values, self.top_k))
        if self.top_p is not None and self.top_p < 1:
            values = _only(values, nucleus(values / values.sum(), self.top_p))
        values /= values.sum()
        return Row(len(values), values)


def _only(values: Probabilities, ids: Ids) -> Probabilities:
    kept = np.zeros_like(values)
    kept[ids] = values[ids]
    return kept
