"""Drafting: chains and token trees of candidates, each drawn from exactly the row that the other end will rebuild."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.decoding.draws import Draw
from sim.decoding.request import Request
from sim.decoding.rows import Row
from sim.decoding.steps import Site, Step
from sim.decoding.wire.row_codec import CodedRow, RowCodec


@dataclass(slots=True, eq=False)
class DraftTree:
    """Drafted nodes in breadth-first order, and the rows that their children were drawn from.

    Node -1 is the text's last token. The children of one node stand together, in the order in which they were drawn,
    because some verification rules are exact in that order only.

    Attributes:
        tokens: Token id of every node.
        parents: Parent of every node, -1 for the text's last token.
        rows: Coded row after each expanded node.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    rows: dict[int, CodedRow] = field(default_factory=dict)
    _children: dict[int, list[int]] = field(default_factory=dict)
    _depths: list[int] = field(default_factory=list)

    @classmethod
    def empty(cls) -> DraftTree:
        """A tree without nodes."""
        return cls()

    def expand(self, node: int, coded: CodedRow, tokens: Sequence[int]) -> list[int]:
        """Give a node its row and its candidates; returns the new nodes' indices."""
        first = len(self.tokens)
        self.rows[node] = coded
        children = list(range(first, first + len(tokens)))
        self._children[node] = children
        self.tokens += [int(token) for token in tokens]
        self.parents += [node] * len(tokens)
        self._depths += [self.depth_of(node) + 1] * len(tokens)
        return children

    @property
    def expanded(self) -> list[int]:
        """Nodes that have a row, in order; -1 first."""
        return list(self.rows)

    def row_after(self, node: int) -> CodedRow:
        """The row that a node's candidates were drawn from."""
        return self.rows[node]

    def children(self, node: int) -> list[int]:
        """Candidates after a node, in draw order; empty at a leaf."""
        return self._children.get(node, [])

    def depth_of(self, node: int) -> int:
        """Nodes on the way from the text's end to this node, itself included."""
        return 0 if node < 0 else self._depths[node]

    @property
    def depth(self) -> int:
        """Levels of the tree."""
        return max(self._depths, default=0)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Parents as a forward takes them: None for a chain."""
        is_chain = all(parent == node - 1 for node, parent in enumerate(self.parents))
        return None if is_chain else tuple(self.parents)

    def path_to(self, node: int) -> list[int]:
        """Token ids from the text's end down to a node, itself included."""
        path: list[int] = []
        while node >= 0:
            path.append(self.tokens[node])
            node = self.parents[node]
        return path[::-1]


def draw_candidates(mode: str, row: Row, count: int, draw: Draw) -> list[int]:
    """Draw candidates for one position, in draw order.

    Args:
        mode: ``iid`` (independent), ``without_replacement`` (sequential, renormalised; may run short),
            ``top_k`` (the most probable, deterministic), ``top_k_plus_sample`` (all but the last deterministic, the
            last drawn from what remains; Hu et al., arXiv 2502.18779), ``shared_noise`` (one, at the address at which
            the target will pick).
        row: What to draw from.
        count: How many.
        draw: Luck.
    """
    if mode == "shared_noise":
        if count != 1:
            raise ValueError(f"shared noise gives one candidate per position, got {count}")
        return [draw.pick(row)]
    if mode == "iid":
        return [draw.pick(row) for _ in range(count)]
    if mode == "without_replacement":
        return _draw_distinct(row, count, draw)
    dense = row.dense()
    order = (-dense).argsort(kind="stable")
    best = [int(token) for token in order[:count] if dense[token] > 0]
    if mode == "top_k":
        return best
    if mode == "top_k_plus_sample":
        best = best[: count - 1]
        rest = row.without(best)
        return best if rest is None else [*best, draw.pick(rest)]
    raise ValueError(f"unknown way of drawing candidates {mode!r}")


def candidate_luck(mode: str, draw: Draw, position: int, node: int = -1) -> Draw:
    """The luck with which candidates for a position are drawn; shared noise is that of the target's own pick there."""
    return draw.at("verify", position) if mode == "shared_noise" else draw.at("draft", position, node)


def _draw_distinct(row: Row, count: int, draw: Draw) -> list[int]:
    drawn: list[int] = []
    rest: Row | None = row
    while rest is not None and len(drawn) < count:
        drawn.append(draw.pick(rest))
        rest = row.without(drawn) if len(drawn) < count else None
    return drawn


KeepDrafting = Callable[[Sequence[Row], Sequence[int]], bool]
"""Whether to draft another token, from the rows of those drafted and the tokens themselves."""


def always(rows: Sequence[Row], tokens: Sequence[int]) -> bool:
    """Draft the whole length."""
    return True


def draft_tree(
    request: Request,
    branching: Sequence[int],
    codec: RowCodec,
    draw: Draw,
    mode: str = "iid",
    site: Site = Site.DEVICE,
    model: str = "draft",
    keep_drafting: KeepDrafting | None = None,
) -> Generator[Step, Any, DraftTree]:
    """Draft a tree level by level, one forward a level; a branching of ones is a chain.

    Args:
        request: The text so far; no deeper tree is drafted than the request can still use.
        branching: Candidates per expanded node, by depth.
        codec: Truncates and quantises each row; candidates are drawn from what it will rebuild.
        draw: Luck, addressed by position and node.
        mode: How candidates are drawn.
        site: Where the draft model runs.
        model: Its role.
        keep_drafting: Asked after each level of a chain whether to go on; the request's controller by default.
    """
    keep = request.controller.keep_drafting if keep_drafting is None else keep_drafting
    is_chain = all(width == 1 for width in branching)
    tree = DraftTree.empty()
    frontier = [-1]
    for width in branching[: request.draft_limit(len(branching))]:
        first_row = frontier[0] + 1
        logits = yield request.forward(site, model, tree.tokens, tree.shape, first_row)
        next_frontier: list[int] = []
        for node in frontier:
            coded = codec.code(request.sampling.row(logits[node + 1 - first_row]))
            luck = candidate_luck(mode, draw, request.position + tree.depth_of(node), node)
            next_frontier += tree.expand(node, coded, draw_candidates(mode, coded.row, width, luck))
        frontier = next_frontier
        if is_chain and not keep([coded.row for coded in tree.rows.values()], tree.tokens):
            break
    return tree


def draft_chain(
    request: Request,
    length: int,
    codec: RowCodec,
    draw: Draw,
    site: Site = Site.DEVICE,
    model: str = "draft",
) -> Generator[Step, Any, DraftTree]:
    """Draft a chain of tokens, one candidate per position."""
    return (yield from draft_tree(request, [1] * length, codec, draw, "iid", site, model))
