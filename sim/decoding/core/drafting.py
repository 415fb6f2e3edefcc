"""Drafting: how candidates are drawn, each from exactly the row that the other end will rebuild."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Location, Step
from sim.decoding.core.wire.row_codec import CodedRow, RowCodec
from sim.models.interface import Logits


def draw_candidates(mode: str, row: Row, count: int, rng: RandomSource) -> list[int]:
    """Draw candidates for one position, in draw order.

    Args:
        mode: ``iid`` (independent), ``without_replacement`` (sequential, renormalised; may run short),
            ``top_k`` (the most probable, deterministic), ``top_k_plus_sample`` (all but the last deterministic, the
            last drawn from what remains; Hu et al., arXiv 2502.18779), ``shared_noise`` (one, at the address at which
            the target will pick).
        row: What to draw from.
        count: How many.
        rng: Random source.
    """
    if mode == "shared_noise":
        if count != 1:
            raise ValueError(f"shared noise gives one candidate per position, got {count}")
        return [rng.categorical(row)]
    if mode == "iid":
        return [rng.categorical(row) for _ in range(count)]
    if mode == "without_replacement":
        return _draw_distinct(row, count, rng)
    dense = row.dense()
    order = (-dense).argsort(kind="stable")
    best = [int(token) for token in order[:count] if dense[token] > 0]
    if mode == "top_k":
        return best
    if mode == "top_k_plus_sample":
        best = best[: count - 1]
        rest = row.without(best)
        return best if rest is None else [*best, rng.categorical(rest)]
    raise ValueError(f"unknown mode of drawing candidates {mode!r}")


def candidate_rng(mode: str, rng: RandomSource, position: int, node: int = -1) -> RandomSource:
    """The source of a position's candidates; shared noise is that of the target's own draw there."""
    return rng.at("verify", position) if mode == "shared_noise" else rng.at("draft", position, node)


def _draw_distinct(row: Row, count: int, rng: RandomSource) -> list[int]:
    drawn: list[int] = []
    rest: Row | None = row
    while rest is not None and len(drawn) < count:
        drawn.append(rng.categorical(rest))
        rest = row.without(drawn) if len(drawn) < count else None
    return drawn


KeepDrafting = Callable[[Sequence[Row], Sequence[int]], bool]
"""Whether to draft another token, from the rows of those drafted and the tokens themselves."""


AfterLevel = Callable[[DraftTree, bool], Generator[Step, Any, None]]
"""Steps to take between levels, given the draft so far and whether it ends here."""


def always(rows: Sequence[Row], tokens: Sequence[int]) -> bool:  # noqa: ARG001
    """Draft the whole length."""
    return True


def draft_tree(
    request: Request,
    branching: Sequence[int],
    codec: RowCodec,
    rng: RandomSource,
    mode: str = "iid",
    site: Location = Location.DEVICE,
    model: str = "draft",
    keep_drafting: KeepDrafting | None = None,
    for_verify: bool = False,
    after_level: AfterLevel | None = None,
) -> Generator[Step, Any, DraftTree]:
    """Draft a tree level by level, one forward a level; a branching of ones is a chain.

    Args:
        request: The text so far; no deeper tree is drafted than the request can still use.
        branching: Candidates per expanded node, by depth.
        codec: Truncates and quantises each row; candidates are drawn from what it will rebuild.
        rng: Random source, addressed by position and node.
        mode: How candidates are drawn.
        site: Where the draft model runs.
        model: Its role.
        keep_drafting: Asked after each level of a chain whether to go on; the request's controller by default.
        for_verify: A precondition: only ``verify`` reads rows and tokens, and no message length depends on them;
            a recorder may then leave out those that ``verify`` does not get to.
        after_level: Steps to take after each level, such as to send what has been drafted so far.
    """
    prepared = request.prepared
    if prepared is not None:

        def redraft(after: Request) -> Generator[Step, Any, DraftTree]:
            return (yield from draft_tree(after, branching, codec, rng, mode, site, model, always))

        prepared.draft = prepared.find(branching, redraft)
        if prepared.draft is not None:
            return prepared.draft
    controller = request.controller
    keep = controller.keep_drafting if keep_drafting is None else keep_drafting
    is_chain = all(width == 1 for width in branching)
    may_defer = for_verify and prepared is None and codec.fixed_k is not None and not controller.watches_drafts
    tree = DraftTree.empty()
    frontier = [-1]
    limit = request.draft_limit(len(branching))
    for level, width in enumerate(branching[:limit], start=1):
        first_row = frontier[0] + 1
        # How many candidates a node gets must be known, too.
        on_demand = may_defer and (width == 1 or mode == "iid")
        logits = yield request.forward(site, model, tree.block, tree.shape, first_row, on_demand)
        next_frontier: list[int] = []
        for node in frontier:
            position_rng = candidate_rng(mode, rng, request.position + tree.depth_of(node), node)
            make = partial(_row_and_candidates, request, codec, mode, width, position_rng)
            next_frontier += tree.expand_from(node, logits, node + 1 - first_row, width, codec.keep_k, make)
        frontier = next_frontier
        is_last = level == limit
        if is_chain and not may_defer and not keep([tree.row_after(node).row for node in tree.expanded], tree.tokens):
            is_last = True
        if after_level is not None:
            yield from after_level(tree, is_last)
        if is_last:
            break
    if prepared is not None:
        prepared.draft = tree
    return tree


def _row_and_candidates(
    request: Request, codec: RowCodec, mode: str, width: int, position_rng: RandomSource, logits: Logits
) -> tuple[CodedRow, list[int]]:
    coded = codec.code(request.draft_sampling.row(logits))
    return coded, draw_candidates(mode, coded.row, width, position_rng)


def draft_chain(
    request: Request,
    length: int,
    codec: RowCodec,
    rng: RandomSource,
    site: Location = Location.DEVICE,
    model: str = "draft",
    for_verify: bool = False,
) -> Generator[Step, Any, DraftTree]:
    """Draft a chain of tokens, one candidate per position."""
    return (yield from draft_tree(request, [1] * length, codec, rng, "iid", site, model, for_verify=for_verify))
