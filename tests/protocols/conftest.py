"""Pairs of models with known rows, and the exact distance of a protocol's text from its target's law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sim.decoding.analysis.exact import output_distribution, sequence_distribution
from sim.decoding.core.rows import Sampling
from sim.decoding.drivers.library import DecodeResult, decode
from sim.decoding.drivers.protocol_run import Record, TransmitRecord, branches_of
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.tabular import TabularModel

PROMPT = (0,)
TOLERANCE = 1e-12  # a few hundred float64 roundings; the smallest known mistake (fp16 rounding) is above 1e-5


def make_pair(seed: int, vocab_size: int = 3, odd: bool = True) -> tuple[TabularModel, TabularModel]:
    """A draft and a target: for even seeds they agree in part, for odd ones they know nothing of each other.

    Args:
        seed: Names the pair.
        vocab_size: Width of the rows.
        odd: Whether rows have zeros and ties now and then.
    """
    share = 0.2 if odd else 0.0
    target = TabularModel.random(1000 + seed, vocab_size, zeros=share, ties=share)
    near = target if seed % 2 == 0 else None
    return TabularModel.random(seed, vocab_size, zeros=share, ties=share, near=near, name="draft"), target


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

    def once(rng: Any) -> tuple[int, ...]:
        done = decode(protocol, draft, target, PROMPT, max_new_tokens=length, sampling=sampling, rng=rng, **settings)
        assert all(round_.tokens for round_ in done.rounds)
        return tuple(done.tokens)

    def row_after(text: tuple[int, ...]) -> list[float]:
        logits = target.forward([ForwardPass("reference", [*PROMPT, *text])])[0]
        return list(sampling.row(logits[0]).probs)

    got, expected = output_distribution(once), sequence_distribution(row_after, length)
    return 0.5 * sum(abs(got.get(text, 0.0) - expected.get(text, 0.0)) for text in got.keys() | expected.keys())


def sent(records: Sequence[Record], kind: str) -> list[TransmitRecord]:
    """Messages of one kind, in order, those of concurrent branches included."""
    found: list[TransmitRecord] = []
    for record in records:
        for branch in branches_of(record):
            found += sent(branch, kind)
        if isinstance(record, TransmitRecord) and record.kind == kind:
            found.append(record)
    return found


def padded(bits: int) -> int:
    """Bits of the whole bytes that a message of so many bits takes."""
    return -(-bits // 8) * 8


class Toolbox:
    """What the tests of this folder share."""

    tolerance = TOLERANCE
    model = TabularModel
    pair = staticmethod(make_pair)
    distance = staticmethod(distance)
    sent = staticmethod(sent)
    padded = staticmethod(padded)

    @staticmethod
    def run(protocol: str, draft: LanguageModel | None, target: LanguageModel, **settings: Any) -> DecodeResult:
        """Decode with keyed random numbers after the same prompt."""
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
