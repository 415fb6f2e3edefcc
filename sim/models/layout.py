"""How the chunks of one pass lie side by side: padded rows, slots and columns, positions, and what each token sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating[Any]]

WHOLE = 1 << 62
MAX_SPREAD = 2  # slots attended over per slot wanted, so that their keys and values need no copy


class Original(NamedTuple):
    """A slot that another one was copied from.

    Attributes:
        slot: Which; a slot that was not copied is its own original.
        columns: How many of the first columns are the same in both; ``WHOLE`` if it is one slot.
    """

    slot: int
    columns: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of one forward's tokens that is fed in one pass.

    Attributes:
        slot: Where the session's keys and values stand.
        start: Column of the first token; the others follow in consecutive columns.
        tokens: Token ids.
        num_rows: How many of the last tokens' rows are wanted.
        context_length: Columns below it are plain text, those from it on are block nodes.
        ancestors: [num_nodes, num_nodes], bool: node i sees node j. None if the block is a chain.
        depths: Distance of each node from the context's last token; empty if the block is a chain.
        original: The slot that this one was copied from, if it was.
    """

    slot: int
    start: int
    tokens: tuple[int, ...]
    num_rows: int
    context_length: int
    ancestors: Bools | None = None
    depths: tuple[int, ...] = ()
    original: Original | None = None

    @property
    def stop(self) -> int:
        """One past the last token's column; also how many columns the last token may see."""
        return self.start + len(self.tokens)

    @property
    def positions(self) -> Ints:
        """Text position of each token: its column, or for a tree's node its depth after the context."""
        positions = np.arange(self.start, self.stop)
        if self.ancestors is not None:
            first = max(self.start, self.context_length)
            nodes = np.array(self.depths[first - self.context_length : self.stop - self.context_length], dtype=np.int64)
            positions[first - self.start :] = self.context_length - 1 + nodes
        return positions

    def show_tree(self, seen: Bools) -> None:
        """Correct a causal mask [num_tokens, num_columns] in place: a tree's node sees only its own path."""
        if self.ancestors is not None:
            first = max(self.start, self.context_length)
            nodes = slice(first - self.context_length, self.stop - self.context_length)
            width = self.stop - self.context_length
            seen[first - self.start :, self.context_length : self.stop] = self.ancestors[nodes, :width]


class PassLayout:
    """Chunks aligned on the right in a padded [num_chunks, width] grid, so that the wanted rows are each one's last.

    Attributes:
        width: Tokens of the longest chunk.
        num_columns: Columns that the longest text needs.
        slots: [num_chunks].
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = chunks
        self.counts = np.array([len(chunk.tokens) for chunk in chunks])
        self.width = int(self.counts.max())
        self.num_columns = max(chunk.stop for chunk in chunks)
        self.slots = np.array([chunk.slot for chunk in chunks])

    @cached_property
    def ids(self) -> Ints:
        """Token ids one chunk after another, [num_tokens]."""
        return np.array([token for chunk in self.chunks for token in chunk.tokens], dtype=np.int64)

    @cached_property
    def positions(self) -> Ints:
        """Text position of each token, [num_tokens]."""
        if all(chunk.ancestors is None for chunk in self.chunks):
            return self.token_columns
        return np.concatenate([chunk.positions for chunk in self.chunks])

    @cached_property
    def token_rows(self) -> Ints:
        """Chunk of each token, [num_tokens]."""
        return np.repeat(np.arange(len(self.chunks)), self.counts)

    @cached_property
    def token_places(self) -> Ints:
        """Place of each token in its padded row, [num_tokens]."""
        return self._runs_ending_at(np.full(len(self.chunks), self.width))

    @cached_property
    def token_columns(self) -> Ints:
        """Column that each token's key and value is written to, [num_tokens]."""
        return self._runs_ending_at(np.array([chunk.stop for chunk in self.chunks]))

    def _runs_ending_at(self, stops: Ints) -> Ints:
        """For each chunk as many consecutive numbers as it has tokens, up to its own stop, one after another."""
        ends = np.cumsum(self.counts)
        value: Ints = np.arange(ends[-1]) + np.repeat(stops - ends, self.counts)
        return value

    def padded(self, values: Ints) -> Ints:
        """Values of the tokens in the padded grid, [num_chunks, width], zero for fillers."""
        grid = np.zeros((len(self.chunks), self.width), dtype=np.int64)
        grid[self.token_rows, self.token_places] = values
        return grid

    def seen(self) -> Bools:
        """Which columns each token sees, [num_chunks, width, num_columns].

        A filler sees column 0, because a softmax over nothing is not a number.
        """
        last = self.padded(self.token_columns)
        seen = np.arange(self.num_columns) <= last[:, :, None]
        for row, chunk in enumerate(self.chunks):
            chunk.show_tree(seen[row, self.width - len(chunk.tokens) :])
        return seen


class SlotGrid:
    """The padded grid of a pass laid over the slots that it attends over.

    Where the wanted slots fill at least half of the run that they span, the whole run is taken, because a slice of the
    store copies nothing; the rows of slots that no chunk wants hold fillers, and what comes of those is dropped.

    Attributes:
        slots: A slice of the store's slots, or the wanted ones.
        num_rows: How many they are.
        rows: Which of them each chunk has, [num_chunks].
        places: Place of each token in the flattened grid, [num_tokens].
        is_padded: Whether the grid is anything but the tokens in their order.
        fill: Token at each place of the flattened grid, the first one for fillers, [num_rows * width].
    """

    def __init__(self, layout: PassLayout) -> None:
        self.layout = layout
        first, stop = int(layout.slots.min()), int(layout.slots.max()) + 1
        is_run = stop - first <= MAX_SPREAD * len(layout.slots)
        self.slots: slice | Ints = slice(first, stop) if is_run else layout.slots
        self.num_rows = stop - first if is_run else len(layout.slots)
        self.rows = layout.slots - first if is_run else np.arange(len(layout.slots))
        self.places: Ints = self.rows[layout.token_rows] * layout.width + layout.token_places
        num_tokens = len(self.places)
        self.is_padded = num_tokens < self.num_rows * layout.width or bool((np.diff(self.places) != 1).any())
        self.fill = np.zeros(self.num_rows * layout.width, dtype=np.int64)
        self.fill[self.places] = np.arange(num_tokens)

    def seen(self) -> Bools:
        """Which columns each place sees, [num_rows, width, num_columns]; a filler sees column 0."""
        seen = self.layout.seen()
        spread = np.zeros((self.num_rows, *seen.shape[1:]), dtype=bool)
        spread[:, :, 0] = True
        spread[self.rows] = seen
        return spread


def bias_of_chunk(chunk: Chunk, dtype: np.dtype[Any]) -> tuple[int, Floats | None]:
    """First column that not every token sees, and what is added to the scores from there on; None for nothing."""
    count = len(chunk.tokens)
    if chunk.ancestors is None:
        return chunk.start, None if count == 1 else _causal_bias(count, dtype)
    first = min(chunk.start, chunk.context_length)
    seen = np.arange(chunk.stop) <= np.arange(chunk.start, chunk.stop)[:, None]
    chunk.show_tree(seen)
    return first, bias_of(seen[:, first:], dtype)


def bias_of(seen: Bools, dtype: np.dtype[Any]) -> Floats:
    """0 where a token sees a column, -inf where it does not."""
    value: Floats = np.where(seen, dtype.type(0), dtype.type(-np.inf))
    return value


@lru_cache(maxsize=32)
def _causal_bias(count: int, dtype: np.dtype[Any]) -> Floats:
    return bias_of(np.tri(count, dtype=bool), dtype)
