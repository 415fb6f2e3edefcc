"""Whether a protocol is lossless: the exact distribution of its text on small tables against the target's own.

Every branch of the very code that runs in simulations is followed and weighted (``exact``); nothing is
sampled. What is enumerated is a vocabulary of a few tokens, so this proves the protocol's code, not any one model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sim.core.errors import InputError
from sim.core.registry import RegistryEntry
from sim.decoding.analysis.exact import output_distribution, sequence_distribution
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.rows import Sampling
from sim.decoding.drivers.library import decode
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.tabular import TabularModel

# Enumeration adds up at most some ten thousand products of doubles; measured errors are below 1e-14.
EXACT = 1e-12
PROMPT = (0,)
# Random outcomes that are followed in all, pairs together; some 500 a second.
MAX_OUTCOMES = 20_000
# Keys of protocols whose own defaults draw so often that no proof would end: the same code with fewer draws.
SMALL_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "u_hlm": {"samples": 1},
    "cu_hlm": {"samples": 1},
    "u_hlm_importance": {"samples": 1},
    "residual": {"max_messages": 1},
}


@dataclass(frozen=True)
class TableDistance:
    """One pair of tables.

    Attributes:
        pair: Its number.
        ends: Whether one of the tokens ends a text.
        distance: Total variation between the distribution of the protocol's text and the target's own.
        worst_text: The text whose probability differs most.
        probability: With which the protocol emits it.
        target_probability: With which the target does.
    """

    pair: int
    ends: bool
    distance: float
    worst_text: tuple[int, ...]
    probability: float
    target_probability: float


@dataclass(frozen=True)
class Proof:
    """What the enumeration of a protocol has found.

    Attributes:
        protocol: Its name.
        claims_lossless: Whether it was registered as lossless.
        vocab_size: Tokens of the tables.
        tokens: Tokens generated.
        tables: One entry per pair of tables.
        settings: Keys that differ from the protocol's own defaults.
    """

    protocol: str
    claims_lossless: bool
    vocab_size: int
    tokens: int
    tables: tuple[TableDistance, ...]
    settings: Mapping[str, Any]

    @property
    def distance(self) -> float:
        """The largest distance."""
        return max(table.distance for table in self.tables)

    @property
    def holds(self) -> bool:
        """Whether the text follows the target's distribution exactly, up to the rounding of sums."""
        return self.distance <= EXACT

    def to_plain(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "distance": self.distance, "exact": self.holds}


def table_pair(seed: int, vocab_size: int = 3) -> tuple[TabularModel, TabularModel]:
    """A draft and a target of known rows that agree in part and have zeros and ties."""
    target = TabularModel.random(seed, vocab_size, concentration=0.8, zeros=0.15, ties=0.2, name="target")
    draft = TabularModel.random(
        seed + 1000, vocab_size, concentration=0.8, zeros=0.1, ties=0.1, near=target, nearness=0.4, name="draft"
    )
    return draft, target


def prove(
    protocol: str,
    settings: Mapping[str, Any] | None = None,
    vocab_size: int = 3,
    tokens: int = 3,
    pairs: int = 4,
    max_outcomes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Proof:
    """Enumerate a protocol's text on pairs of tables; in every second pair one of the tokens ends a text.

    Args:
        protocol: RegistryEntry name, or ``module:Name``.
        settings: The protocol's own keys; those in ``SMALL_SETTINGS`` are smaller unless given here.
        vocab_size: Tokens of the tables.
        tokens: Tokens generated, the draft cut to them.
        pairs: How many pairs.
        max_outcomes: Random outcomes that are followed at most, all pairs together; ``MAX_OUTCOMES`` by default.
        progress: Told the pair's number and how many outcomes have been followed, at each of them.

    Raises:
        InputError: Unknown protocol, wrong keys, or more branches than can be followed.
        RunError: The protocol breaks a rule that all protocols keep.
    """
    entry = PROTOCOLS.find(protocol)
    chosen = {**SMALL_SETTINGS.get(entry.name, {}), **(settings or {})}
    outcomes = _Outcomes(entry, MAX_OUTCOMES if max_outcomes is None else max_outcomes, progress)
    tables = []
    for pair in range(pairs):
        draft, target = table_pair(pair, vocab_size)
        middle = TabularModel.random(
            pair + 2000, vocab_size, concentration=0.8, zeros=0.1, near=target, nearness=0.7, name="middle"
        )
        ends = pair % 2 == 1
        for model in (draft, middle, target):
            model.eos_ids = frozenset({vocab_size - 1}) if ends else frozenset()
        roles: dict[str, LanguageModel] = {"draft": draft, "middle": middle, "target": target}
        needed = {role: model for role, model in roles.items() if role in entry.traits["models"]}
        outcomes.pair = pair
        got = _text_distribution(protocol, needed, tokens, chosen, outcomes)
        tables.append(_compared(pair, ends, got, _target_distribution(target, tokens)))
    return Proof(protocol, bool(entry.traits["lossless"]), vocab_size, tokens, tuple(tables), chosen)


@dataclass
class _Outcomes:
    """Counts the outcomes that are followed, and ends a proof that has too many."""

    entry: RegistryEntry[Any]
    limit: int
    progress: Callable[[int, int], None] | None
    pair: int = 0
    count: int = 0

    def another(self) -> None:
        if self.count >= self.limit:
            keys = [name for name, key in self.entry.settings.model_fields.items() if key.annotation is int]
            own = f", the protocol's own keys (--set KEY=VALUE: {', '.join(keys)})" if keys else ""
            raise InputError(
                f"protocol {self.entry.name!r} has more than {self.limit} random outcomes on these tables (pair "
                f"{self.pair}); smaller values make fewer: --tokens, --vocab-size, --pairs{own}; "
                "--max-outcomes follows more of them"
            )
        self.count += 1
        if self.progress is not None:
            self.progress(self.pair, self.count)


def _text_distribution(
    protocol: str,
    models: Mapping[str, LanguageModel],
    tokens: int,
    settings: Mapping[str, Any],
    outcomes: _Outcomes,
) -> dict[tuple[int, ...], float]:
    def once(rng: RandomSource) -> tuple[int, ...]:
        outcomes.another()
        done = decode(
            protocol,
            models.get("draft"),
            models.get("target"),
            PROMPT,
            max_new_tokens=tokens,
            rng=rng,
            models={role: model for role, model in models.items() if role not in ("draft", "target")},
            **settings,
        )
        return tuple(done.tokens)

    return output_distribution(once, outcomes.limit + 1)


def _target_distribution(target: TabularModel, tokens: int) -> dict[tuple[int, ...], float]:
    """The target's own, texts cut behind the token that ends them."""
    sampling = Sampling()

    def row_after(text: tuple[int, ...]) -> list[float]:
        logits = target.forward([ForwardPass("reference", (*PROMPT, *text))])[0]
        return list(sampling.row(logits[0]).dense().tolist())

    found: dict[tuple[int, ...], float] = {}
    for text, weight in sequence_distribution(row_after, tokens).items():
        end = next((place + 1 for place, token in enumerate(text) if token in target.eos_ids), len(text))
        found[text[:end]] = found.get(text[:end], 0.0) + weight
    return found


def _compared(
    pair: int, ends: bool, got: Mapping[tuple[int, ...], float], expected: Mapping[tuple[int, ...], float]
) -> TableDistance:
    texts = sorted(got.keys() | expected.keys())
    errors = {text: abs(got.get(text, 0.0) - expected.get(text, 0.0)) for text in texts}
    worst = max(texts, key=lambda text: errors[text])
    return TableDistance(pair, ends, sum(errors.values()) / 2, worst, got.get(worst, 0.0), expected.get(worst, 0.0))
