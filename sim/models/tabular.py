"""Models whose next-token probabilities are known exactly: tables, random tables and Markov chains, for exact tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sim.models.importance import Weights
from sim.models.interface import ForwardPass, LanguageModel, Logits

Probabilities = npt.NDArray[np.float64]
RowFunction = Callable[[tuple[int, ...]], npt.ArrayLike]

ROW_CACHE = 1 << 16
SUM_TOLERANCE = 1e-9


class TabularModel(LanguageModel):
    """A language model given by its rows; its logits are log-probabilities in float64, -inf where a row is zero.

    Args:
        row: Probabilities [vocab_size] of the token that follows a text. A pure function of the text.
        vocab_size: Width of every row.
        name: For messages.
        fingerprint: Identifies the table; the name if not given.
        max_context: Longest text.
        eos_ids: Ids that end a text.
        bos_id: Stands in for an empty prompt.
    """

    def __init__(
        self,
        row: RowFunction,
        vocab_size: int,
        *,
        name: str = "table",
        fingerprint: str | None = None,
        max_context: int = 1 << 20,
        eos_ids: frozenset[int] = frozenset(),
        bos_id: int = 0,
    ) -> None:
        super().__init__()
        if vocab_size < 1:
            raise ValueError(f"vocab_size must be at least 1, got {vocab_size}")
        self.name = name
        self.vocab_size = vocab_size
        self.max_context = max_context
        self.eos_ids = eos_ids
        self.bos_id = bos_id
        self.fingerprint = fingerprint or name
        self.num_parameters = 0
        self._row = lru_cache(maxsize=ROW_CACHE)(lambda text: self._checked(row(text), text))

    @classmethod
    def from_table(
        cls,
        table: Mapping[tuple[int, ...], npt.ArrayLike],
        default: npt.ArrayLike | None = None,
        *,
        name: str = "table",
    ) -> TabularModel:
        """A model that looks each text up in a mapping; ``default`` is the row after any text that is not in it."""
        rows = {text: np.asarray(row, dtype=np.float64) for text, row in table.items()}
        other = None if default is None else np.asarray(default, dtype=np.float64)
        widths = {row.size for row in (*rows.values(), *(() if other is None else (other,)))}
        if len(widths) != 1:
            raise ValueError(f"a table needs rows of one width, got widths {sorted(widths)}")

        def row(text: tuple[int, ...]) -> Probabilities:
            found = rows.get(text, other)
            if found is None:
                raise ValueError(f"{name}: no row after text {text}, and no default")
            return found

        content = [(text, rows[text].tolist()) for text in sorted(rows)]
        return cls(
            row, widths.pop(), name=name, fingerprint=_digest(content, None if other is None else other.tolist())
        )

    @classmethod
    def random(
        cls,
        seed: int,
        vocab_size: int,
        *,
        concentration: float = 1.0,
        zeros: float = 0.0,
        ties: float = 0.0,
        near: TabularModel | None = None,
        nearness: float = 0.5,
        name: str | None = None,
    ) -> TabularModel:
        """A model whose row after a text is drawn once and for all from (seed, text).

        Args:
            seed: Same seed and text, same row.
            vocab_size: Width of the rows.
            concentration: Of the symmetric Dirichlet distribution; small is peaky.
            zeros: Chance that a token gets probability zero; at least one token keeps some.
            ties: Chance that a row is made of a few equal levels, so that tokens tie.
            near: A model towards which rows are mixed, so that the two agree in part.
            nearness: Its weight in the mixture, 0..1.
        """
        for label, share in (("zeros", zeros), ("ties", ties), ("nearness", nearness)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{label} must lie in 0..1, got {share}")

        def row(text: tuple[int, ...]) -> Probabilities:
            rng = np.random.Generator(np.random.Philox(key=_key(seed, text)))
            weights = rng.dirichlet(np.full(vocab_size, concentration))
            tied = rng.random() < ties
            if tied:
                weights = np.ceil(weights * 3.0)
            dropped = rng.random(vocab_size) < zeros
            dropped[rng.integers(vocab_size)] = False
            weights = np.where(dropped, 0.0, weights)
            # A tiny concentration can underflow every token that was not dropped.
            own = weights / weights.sum() if weights.sum() > 0 else ~dropped / np.count_nonzero(~dropped)
            return own if near is None or tied else (1.0 - nearness) * own + nearness * near.row(text)

        towards = None if near is None else near.fingerprint
        content = _digest(seed, vocab_size, concentration, zeros, ties, towards, nearness)
        return cls(row, vocab_size, name=name or f"random table {seed}", fingerprint=content)

    @classmethod
    def markov(cls, transitions: npt.ArrayLike, *, name: str = "Markov chain") -> TabularModel:
        """A chain of order n: ``transitions`` has shape [vocab_size] * (n + 1), its last axis the row after n tokens.

        A text of fewer than n tokens is taken as if token 0 stood before it.
        """
        table = np.asarray(transitions, dtype=np.float64)
        vocab_size = table.shape[-1] if table.ndim else 0
        if vocab_size < 1 or table.shape != (vocab_size,) * table.ndim:
            raise ValueError(f"transitions must have shape [vocab_size] * (order + 1), got {list(table.shape)}")
        order = table.ndim - 1

        def row(text: tuple[int, ...]) -> Probabilities:
            state = ((0,) * order + text)[len(text) :]
            value: Probabilities = table[state]
            return value

        return cls(row, vocab_size, name=name, fingerprint=_digest(table.shape, table.tolist()))

    def row(self, text: Sequence[int]) -> Probabilities:
        """Probabilities [vocab_size] of the token after a text; read-only."""
        return self._row(tuple(text))

    def attention(self, text: Sequence[int]) -> Weights:
        """Weights that are drawn once and for all from the text."""
        rng = np.random.Generator(np.random.Philox(key=_key(-1, tuple(text))))
        return rng.dirichlet(np.ones(len(text)))

    def _checked(self, given: npt.ArrayLike, text: tuple[int, ...]) -> Probabilities:
        row = np.array(given, dtype=np.float64)
        if row.shape != (self.vocab_size,) or not (row >= 0).all() or abs(row.sum() - 1.0) > SUM_TOLERANCE:
            raise ValueError(
                f"{self.name}: the row after {text} is no distribution over {self.vocab_size} tokens: {row}"
            )
        row.setflags(write=False)
        return row

    def _run(self, batch: Sequence[ForwardPass]) -> list[Logits]:
        return [self._logits(forward) for forward in batch]

    def _logits(self, forward: ForwardPass) -> Logits:
        context = tuple(forward.context)
        texts = [context]
        for token, parent in zip(forward.block, forward.parent_nodes, strict=True):
            texts.append((*texts[1 + parent], token))
        with np.errstate(divide="ignore"):
            return np.log(np.stack([self._row(text) for text in texts[forward.first_row :]]))


def _digest(*content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _key(seed: int, text: tuple[int, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr((seed, *text)).encode(), digest_size=16).digest(), "little")
