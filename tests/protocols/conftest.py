"""Models given as tables of known rows, and the exact distance of a protocol's text from its target's law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sim.decoding.decode import Decoded, decode
from sim.decoding.exact import law, text_law
from sim.decoding.rows import Sampling
from sim.decoding.scripts import Record, TogetherRecord, TransmitRecord
from sim.models.interface import Forward, LanguageModel

PROMPT = (0,)
TOLERANCE = 1e-12  # a few hundred float64 roundings; the smallest known mistake (fp16 rounding) is above 1e-5


class TableModel(LanguageModel):
    """A model whose row after a text is drawn once from the text itself: random, with zeros, ties and one-hot rows.

    Args:
        seed: Two models with the same seed are the same model.
        vocab_size: Width of the rows.
        near: A model whose rows this one's are mixed with, so that drafts are neither hopeless nor perfect.
        odd: Whether one row in four is special: zeros, all equal, or one-hot.
    """

    def __init__(self, seed: int, vocab_size: int = 3, near: TableModel | None = None, odd: bool = True) -> None:
        super().__init__()
        self.name = self.fingerprint = f"table {seed}"
        self.vocab_size = vocab_size
        self.max_context = 64
        self.eos_ids = frozenset()
        self.bos_id = 0
        self.num_parameters = 1
        self._seed = seed
        self._near = near
        self._odd = odd

    def row(self, text: Sequence[int]) -> npt.NDArray[np.float64]:
        """The row after a text."""
        rng = np.random.default_rng([self._seed, len(text), *text])
        row = rng.dirichlet(np.full(self.vocab_size, 0.8))
        kind = rng.integers(12) if self._odd else 11
        if kind == 0:
            row[rng.integers(self.vocab_size)] = 0.0
        elif kind == 1:
            row[:] = 1.0
        elif kind == 2:
            row = np.eye(self.vocab_size)[rng.integers(self.vocab_size)]
        elif self._near is not None:
            row += self._near.row(text)
        return row / row.sum()

    def _run(self, batch: Sequence[Forward]) -> list[Any]:
        return [self._logits(forward) for forward in batch]

    def _logits(self, forward: Forward) -> npt.NDArray[np.float64]:
        rows = []
        for last in range(forward.first_row - 1, len(forward.block)):
            path: list[int] = []
            node = last
            while node >= 0:
                path.append(forward.block[node])
                node = forward.parent_nodes[node]
            rows.append(self.row([*forward.context, *path[::-1]]))
        with np.errstate(divide="ignore"):
            return np.log(np.array(rows))


def make_pair(seed: int, vocab_size: int = 3, odd: bool = True) -> tuple[TableModel, TableModel]:
    """A draft and a target that agree in part."""
    target = TableModel(1000 + seed, vocab_size, odd=odd)
    return TableModel(seed, vocab_size, near=target, odd=odd), target


def distance(
    protocol: str,
    draft: LanguageModel | None,
    target: LanguageModel,
    length: int = 3,
    sampling: Sampling | None = None,
    **settings: Any,
) -> float:
    """Exact total variation between the law of a protocol's text and the target's own, by enumeration."""
    sampling = sampling or Sampling()

    def once(draw: Any) -> tuple[int, ...]:
        done = decode(protocol, draft, target, PROMPT, max_new_tokens=length, sampling=sampling, draw=draw, **settings)
        assert all(this.tokens for this in done.rounds)
        return tuple(done.tokens)

    def row_after(text: tuple[int, ...]) -> list[float]:
        logits = target.forward([Forward("reference", [*PROMPT, *text])])[0]
        return list(sampling.row(logits[0]).probs)

    got, expected = law(once), text_law(row_after, length)
    return 0.5 * sum(abs(got.get(text, 0.0) - expected.get(text, 0.0)) for text in got.keys() | expected.keys())


def sent(records: Sequence[Record], kind: str) -> list[TransmitRecord]:
    """Messages of one kind, in order, those of concurrent branches included."""
    found: list[TransmitRecord] = []
    for record in records:
        if isinstance(record, TogetherRecord):
            for branch in record.branches:
                found += sent(branch, kind)
        elif isinstance(record, TransmitRecord) and record.kind == kind:
            found.append(record)
    return found


def padded(bits: int) -> int:
    """Bits of the whole bytes that a message of so many bits takes."""
    return -(-bits // 8) * 8


class Toolbox:
    """What the tests of this folder share."""

    tolerance = TOLERANCE
    model = TableModel
    pair = staticmethod(make_pair)
    distance = staticmethod(distance)
    sent = staticmethod(sent)
    padded = staticmethod(padded)

    @staticmethod
    def run(protocol: str, draft: LanguageModel | None, target: LanguageModel, **settings: Any) -> Decoded:
        """Decode with addressed luck after the same prompt."""
        return decode(protocol, draft, target, PROMPT, **settings)


@pytest.fixture(scope="session")
def tables() -> Toolbox:
    return Toolbox()


@pytest.fixture
def assert_exact(tables: Toolbox) -> Callable[..., None]:
    """Asserts that a protocol's text has the target's law on random pairs."""

    def check(protocol: str, length: int = 3, seeds: int = 4, vocab_size: int = 3, **settings: Any) -> None:
        for seed in range(seeds):
            error = distance(protocol, *make_pair(seed, vocab_size), length, **settings)
            assert error < TOLERANCE, f"{protocol} {settings} on pair {seed}: TV {error:.3g}"

    return check
