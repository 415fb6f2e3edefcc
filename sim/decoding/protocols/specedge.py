"""Proactive drafting: while the verdict is in flight the device drafts on from its best guess (SpecEdge, 2505.17052).

The guess is that the most probable drafted path survives whole and that the draft model's favourite follows it. What
is drafted ahead is drawn with the random numbers of its own positions, which no verdict depends on: whether it is
used
is decided by the text alone, and the text is that of the same protocol without drafting ahead. A controller has no say
in that: to drop a draft for a reason that depends on what was drafted would bias the text. For the same reason what is
drafted ahead has its whole length, so that no clock that a controller reads includes it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sim.decoding.core.controller import Controls
from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.drafting import always, candidate_rng, draft_tree, draw_candidates
from sim.decoding.core.ids_drafts import IdsLayout
from sim.decoding.core.messages import DraftLayout, VerdictLayout
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Location, Protocol, Step, Together
from sim.decoding.core.wire.row_codec import RowCodec
from sim.decoding.protocols.exchange import Exchange
from sim.decoding.protocols.registry import protocol
from sim.decoding.protocols.rounds import speculative_rounds
from sim.decoding.protocols.tslt import TsltSettings, controls_of_rows
from sim.decoding.verification.base import find_rule
from sim.decoding.verification.round import finish_round

RULES_WITHOUT_ROWS = frozenset({"target_first", "gumbel"})


class SpecEdgeSettings(TsltSettings):
    """Keys of ``specedge``; row format and value format matter on the air only for rules that need rows."""

    draw: Literal["iid", "without_replacement", "top_k", "top_k_plus_sample", "shared_noise"] = "top_k"  # type: ignore[assignment]
    """How the candidates of a node are drawn."""
    rule: str | None = "target_first"
    """Verification rule; target_first and gumbel send ids alone. Null picks one that fits the candidates."""

    def exchange(self, codec: RowCodec, request: Request) -> Exchange:
        """What both ends agree on."""
        controller = request.controller
        upper_bound = controller.upper_bound(self.controls)
        width = max(upper_bound.branching)
        varying_width = self.draw not in {"iid", "shared_noise"} or "candidates" in controller.adjusts
        layout: IdsLayout | DraftLayout = DraftLayout(codec, upper_bound.branching, varying_width and width > 1)
        if self.rule_for(width) in RULES_WITHOUT_ROWS:
            layout = IdsLayout(codec.vocab_size, upper_bound.branching, varying_width and width > 1)
        verdicts = controller.on_verdicts(request, VerdictLayout(codec.vocab_size, upper_bound.num_nodes))
        row_length = self.row_length(upper_bound.top_k, codec.vocab_size)
        return Exchange(layout, verdicts, find_rule(self.rule_for(width), self.draw, width, row_length))


@dataclass(frozen=True, slots=True)
class Ahead:
    """A draft that is right to send if the round in flight emits exactly these tokens."""

    tokens: tuple[int, ...]
    draft: DraftTree


@protocol("specedge", SpecEdgeSettings, lossless=True, controls=controls_of_rows, source="arXiv 2505.17052")
def specedge(request: Request, settings: SpecEdgeSettings, rng: RandomSource) -> Protocol:
    """Proactive drafting: the device drafts on from its best guess while the verdict is in flight."""
    codec = RowCodec(request.vocab_size, settings, varying_k="top_k" in request.controller.adjusts)
    exchange = settings.exchange(codec, request)
    ahead: Ahead | None = None
    emitted: tuple[int, ...] = ()

    def guessed_right() -> bool:
        return ahead is not None and ahead.tokens == emitted

    def one_round(controls: Controls) -> Generator[Step, Any, None]:
        nonlocal ahead, emitted
        reused = guessed_right()
        rows = codec.cut_to(controls.top_k)
        if reused:
            assert ahead is not None
            draft = ahead.draft
        else:
            draft = yield from draft_tree(request, controls.branching, rows, rng, settings.draw)
        next_draft = draft_ahead(request, draft, controls, rows, settings.draw, rng)
        (received_verdict, verdict), ahead = yield Together((exchange.round_trip(request, draft, rng), next_draft))
        emission = finish_round(request, draft, received_verdict, verdict, stats=[("reused", float(reused))])
        emitted = emission.round.tokens
        yield emission

    yield from speculative_rounds(request, settings.controls, one_round, rng, ask=exchange.ask, has_draft=guessed_right)


def draft_ahead(
    request: Request, draft: DraftTree, controls: Controls, codec: RowCodec, mode: str, rng: RandomSource
) -> Generator[Step, Any, Ahead | None]:
    """Guess what the round in flight will emit and draft the next round's tree from there, None at the text's end."""
    path = draft.path_to(best_leaf(draft))
    supposed = request.supposing(path)
    if supposed.finished:
        return None
    logits = yield supposed.forward(Location.DEVICE, "draft")
    favourite = guess_bonus(supposed, codec, logits[0], mode, rng)
    supposed = supposed.supposing([favourite])
    if supposed.finished:
        return None
    tree = yield from draft_tree(supposed, controls.branching, codec, rng, mode, keep_drafting=always)
    return Ahead((*path, favourite), tree)


def best_leaf(draft: DraftTree) -> int:
    """The leaf whose path has the largest probability under the rows that it was drawn from, -1 of an empty tree."""
    scores: list[float] = []
    for token, parent in zip(draft.tokens, draft.parents, strict=True):
        scores.append(draft.row_after(parent).row.prob(token) * (scores[parent] if parent >= 0 else 1.0))
    leaves = [node for node in range(len(draft.tokens)) if not draft.children(node)]
    return max(leaves, key=lambda node: scores[node], default=-1)


def guess_bonus(request: Request, codec: RowCodec, logits: Any, mode: str, rng: RandomSource) -> int:
    """The token that most likely follows: the most probable one, or with shared noise the draft's own pick."""
    row = codec.code(request.draft_sampling.row(logits)).row
    if mode == "shared_noise":
        return draw_candidates(mode, row, 1, candidate_rng(mode, rng, request.position))[0]
    return int(np.argmax(row.dense()))
