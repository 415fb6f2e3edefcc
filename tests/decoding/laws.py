"""What the exact tests share: the one assertion about laws, and pairs of rows with zeros, ties and one-hot rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np

from sim.decoding.analysis.exact import output_distribution, sequence_distribution
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Row, Sampling
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.tabular import TabularModel

# Enumeration adds up at most some ten thousand products of doubles; measured errors are below 1e-14.
EXACT = 1e-12

P = (0.40, 0.30, 0.15, 0.10, 0.05)
Q = (0.10, 0.45, 0.25, 0.05, 0.15)


def as_mapping(values) -> Mapping[Hashable, float]:
    return values if isinstance(values, Mapping) else dict(enumerate(np.asarray(values, dtype=float).tolist()))


def total_variation(got, expected) -> float:
    """Total variation distance of two laws, mappings or arrays."""
    first, second = as_mapping(got), as_mapping(expected)
    return sum(abs(first.get(key, 0.0) - second.get(key, 0.0)) for key in first.keys() | second.keys()) / 2


def assert_law_equal(got, expected, tolerance: float = EXACT) -> None:
    """The assertion that every lossless scheme must pass and every negative control must fail."""
    first, second = as_mapping(got), as_mapping(expected)
    worst = max(first.keys() | second.keys(), key=lambda key: abs(first.get(key, 0.0) - second.get(key, 0.0)))
    error = abs(first.get(worst, 0.0) - second.get(worst, 0.0))
    assert error <= tolerance, f"law differs by {error:.3g} at {worst!r}"


def law_of(run: Callable[[RandomSource], int]) -> dict[int, float]:
    """Output distribution of a function of a random source that returns a token."""
    return output_distribution(lambda rng: int(run(rng)))


def random_pairs(seed: int, vocab_size: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs (p, q): generic, with zeros in either or both, ties, equal rows, one-hot rows, disjoint supports."""
    rng = np.random.default_rng(seed)

    def generic() -> np.ndarray:
        return rng.dirichlet(np.full(vocab_size, 0.7))

    def with_zeros() -> np.ndarray:
        row = generic()
        row[rng.permutation(vocab_size)[: rng.integers(1, vocab_size)]] = 0.0
        return row / row.sum()

    def tied() -> np.ndarray:
        weights = rng.integers(1, 3, vocab_size).astype(float)
        return weights / weights.sum()

    def one_hot() -> np.ndarray:
        return np.eye(vocab_size)[rng.integers(vocab_size)]

    def equal() -> tuple[np.ndarray, np.ndarray]:
        row = generic()
        return row, row.copy()

    def disjoint() -> tuple[np.ndarray, np.ndarray]:
        half = np.arange(vocab_size) < vocab_size // 2
        left, right = generic() * half, generic() * ~half
        return left / left.sum(), right / right.sum()

    makers = [
        lambda: (generic(), generic()),
        lambda: (with_zeros(), generic()),
        lambda: (generic(), with_zeros()),
        lambda: (with_zeros(), with_zeros()),
        lambda: (tied(), tied()),
        lambda: (generic(), tied()),
        equal,
        lambda: (one_hot(), generic()),
        lambda: (generic(), one_hot()),
        disjoint,
    ]
    return [makers[index % len(makers)]() for index in range(count)]


def table_pair(seed: int, vocab_size: int = 3) -> tuple[TabularModel, TabularModel]:
    """A draft and a target of known rows that agree in part and have zeros and ties."""
    target = TabularModel.random(seed, vocab_size, concentration=0.8, zeros=0.15, ties=0.2, name="target")
    draft = TabularModel.random(
        seed + 1000, vocab_size, concentration=0.8, zeros=0.1, ties=0.1, near=target, nearness=0.4, name="draft"
    )
    return draft, target


def target_sequence_distribution(
    target: LanguageModel, prompt: tuple[int, ...], length: int, sampling: Sampling
) -> dict[tuple[int, ...], float]:
    """Law of the target's own next tokens under a sampling filter, from its logits."""

    def row_after(text: tuple[int, ...]) -> list[float]:
        logits = target.forward([ForwardPass("oracle", (*prompt, *text))])[0]
        return sampling.row(logits[0]).dense().tolist()

    return sequence_distribution(row_after, length)


def rows(p, q) -> tuple[Row, Row]:
    """A pair of arrays as rows."""
    return Row.dense_row(p), Row.dense_row(q)
