"""Draft trees: drafted tokens in breadth-first order, and the rows that they were drawn from; a chain is one, too."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, overload

from sim.decoding.core.wire.row_codec import CodedRow
from sim.models.interface import Logits
from sim.models.on_demand import AwaitRow, PromisedRows, wait_for_row

NOT_YET = -1
"""Stands for the token of a candidate that was not drawn yet."""


class Block(Sequence[int]):
    """The first tokens of a tree as a forward takes them, whatever becomes of those that are not drawn yet.

    Args:
        tokens: Of the tree.
        length: How many.
    """

    __slots__ = ("_length", "_tokens")

    def __init__(self, tokens: list[int], length: int) -> None:
        self._tokens = tokens
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return self._tokens[: self._length][index]
        return self._tokens[range(self._length)[index]]

    def __iter__(self) -> Iterator[int]:
        return islice(self._tokens, self._length)


@dataclass(slots=True)
class _Deferred:
    """A row that is made when it is looked at, and the candidates after it."""

    rows: PromisedRows
    index: int
    make: Callable[[Logits], tuple[CodedRow, list[int]]]


class DraftTree:
    """Drafted nodes in breadth-first order, and the rows that their children were drawn from.

    Node -1 is the text's last token. The children of one node stand together, in the order in which they were drawn,
    because some verification rules are exact in that order only.

    Attributes:
        tokens: Token id of every node.
        parents: Parent of every node, -1 for the text's last token.
    """

    __slots__ = ("_children", "_deferred", "_depths", "_is_chain", "_lengths", "_rows", "parents", "tokens")

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self._rows: dict[int, CodedRow] = {}
        self._lengths: dict[int, int] = {}
        self._children: dict[int, list[int]] = {}
        self._depths: list[int] = []
        self._deferred: dict[int, _Deferred] = {}
        self._is_chain = True

    @classmethod
    def empty(cls) -> DraftTree:
        """A tree without nodes."""
        return cls()

    def expand(self, node: int, coded: CodedRow, tokens: Sequence[int]) -> list[int]:
        """Give a node its row and its candidates; returns the new nodes' indices."""
        self._rows[node] = coded
        return self._grow(node, len(coded.ids), [int(token) for token in tokens])

    def expand_from(
        self,
        node: int,
        rows: Logits | PromisedRows,
        index: int,
        num_candidates: int,
        row_length: int,
        make: Callable[[Logits], tuple[CodedRow, list[int]]],
    ) -> list[int]:
        """Give a node its row and its candidates from the draft's logits; returns the new nodes' indices.

        Of logits that were only promised they are made when ``row_after`` asks for them.

        Args:
            node: Which.
            rows: Logits of a forward, computed or promised.
            index: The node's row among them.
            num_candidates: How many there will be, if the logits were only promised.
            row_length: Entries that the coded row will have, likewise.
            make: The coded row and the candidates from the node's logits.
        """
        if not isinstance(rows, PromisedRows):
            return self.expand(node, *make(rows[index]))
        self._deferred[node] = _Deferred(rows, index, make)
        return self._grow(node, row_length, [NOT_YET] * num_candidates)

    def _grow(self, node: int, row_length: int, tokens: list[int]) -> list[int]:
        first = len(self.tokens)
        children = list(range(first, first + len(tokens)))
        self._is_chain = self._is_chain and node == first - 1 and len(tokens) <= 1
        self._lengths[node] = row_length
        self._children[node] = children
        self.tokens += tokens
        self.parents += [node] * len(tokens)
        self._depths += [self.depth_of(node) + 1] * len(tokens)
        return children

    def wait_for(self, node: int) -> Generator[AwaitRow, Any, None]:
        """Have the row after a node computed, where that was put off; its parent's candidates must be drawn."""
        deferred = self._deferred.get(node)
        if deferred is not None:
            yield from wait_for_row(deferred.rows, deferred.index)

    @property
    def is_whole(self) -> bool:
        """Whether no row was put off."""
        return not self._deferred

    @property
    def expanded(self) -> list[int]:
        """Nodes that have a row, in order; -1 first."""
        return list(self._lengths)

    def row_after(self, node: int) -> CodedRow:
        """The row that a node's candidates were drawn from; if it was put off, it is made and they are drawn now."""
        deferred = self._deferred.pop(node, None)
        if deferred is not None:
            self._rows[node], tokens = deferred.make(deferred.rows[deferred.index])
            for child, token in zip(self._children[node], tokens, strict=True):
                self.tokens[child] = int(token)
        return self._rows[node]

    def row_length(self, node: int) -> int:
        """Entries of the row after a node."""
        return self._lengths[node]

    def children(self, node: int) -> list[int]:
        """Candidates after a node, in draw order; empty at a leaf."""
        return self._children.get(node, [])

    def depth_of(self, node: int) -> int:
        """Nodes on the path from the text's end to this node, itself included."""
        return 0 if node < 0 else self._depths[node]

    @property
    def depth(self) -> int:
        """Levels of the tree."""
        return max(self._depths, default=0)

    @property
    def block(self) -> Sequence[int]:
        """The tokens so far, as the block of a forward."""
        return tuple(self.tokens) if self.is_whole else Block(self.tokens, len(self.tokens))

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Parents as a forward takes them: None for a chain."""
        return None if self._is_chain else tuple(self.parents)

    def path_to(self, node: int) -> list[int]:
        """Token ids from the text's end down to a node, itself included."""
        path: list[int] = []
        while node >= 0:
            path.append(self.tokens[node])
            node = self.parents[node]
        return path[::-1]
