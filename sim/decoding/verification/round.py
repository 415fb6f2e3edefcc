"""Verification: walk down a draft with a rule until no candidate is accepted, and say what was kept."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.messages import VerdictBody
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.rows import Row, overlap
from sim.decoding.core.steps import Emit, Location, Step
from sim.decoding.core.target_figures import TargetFigures, target_figures, target_stats
from sim.decoding.verification.base import Rule
from sim.models.interface import Logits
from sim.models.on_demand import PromisedRows, wait_for_row


class TargetRows:
    """The target's rows after the text and after each drafted node, made from logits when they are asked for."""

    def __init__(self, request: Request, logits: Logits | PromisedRows) -> None:
        self._sampling = request.sampling
        self._logits = logits

    def wait_for(self, node: int) -> Generator[Step, Any, None]:
        """Have the row after a node computed, where that was not done with the others."""
        yield from wait_for_row(self._logits, node + 1)

    def after(self, node: int) -> Row:
        """The row after a node, -1 for the text's last token."""
        return self._sampling.row(self._logits[node + 1])

    def logits_after(self, node: int) -> Logits:
        """The logits of that row, [vocab_size], which must have been computed."""
        row: Logits = self._logits[node + 1]
        return row


def target_rows(
    request: Request,
    draft: DraftTree,
    site: Location = Location.EDGE,
    model: str = "target",
) -> Generator[Step, Any, TargetRows]:
    """One forward of the target over the whole draft."""
    logits = yield request.forward(site, model, draft.block, draft.shape, on_demand=True)
    return TargetRows(request, logits)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification decided.

    Attributes:
        last_accepted: Deepest accepted node, -1 for none.
        token: The correction after it, or the bonus token at a leaf.
        tested: Nodes after which candidates were tested, from the text's end (-1) down.
        overlaps: sum min(p, q) at each of them.
        target: Figures of the target's rows, one for each token that the round may emit.
    """

    last_accepted: int
    token: int
    tested: tuple[int, ...] = ()
    overlaps: tuple[float, ...] = ()
    target: tuple[TargetFigures, ...] = ()

    @property
    def wire(self) -> VerdictBody:
        """What of it crosses the air."""
        return VerdictBody(self.last_accepted, self.token)


def verify(
    rows: TargetRows, draft: DraftTree, rule: Rule, position: int, rng: RandomSource
) -> Generator[Step, Any, Verdict]:
    """Test a draft, a chain or a tree, against the target's rows.

    Args:
        rows: The target's rows.
        draft: What was drafted, with the rows it was drawn from.
        rule: Accepts one of the candidates of a position or corrects.
        position: Index of the first drafted token in the request's generation; keys the random numbers.
        rng: Random source.
    """
    node = -1
    tested: list[int] = []
    overlaps: list[float] = []
    target: list[TargetFigures] = []
    while True:
        # The target's row comes last, so that what follows it, be it another draft, begins with the draft model.
        yield from draft.wait_for(node)
        yield from rows.wait_for(node)
        p = rows.after(node)
        children = draft.children(node)
        position_rng = rng.at("verify", position + draft.depth_of(node))
        if not children:
            token = position_rng.categorical(p)
            target.append(target_figures(p, token))
            return Verdict(node, token, tuple(tested), tuple(overlaps), tuple(target))
        q = draft.row_after(node).row
        choice = rule.choose(p, q, [draft.tokens[child] for child in children], position_rng)
        tested.append(node)
        overlaps.append(overlap(p, q))
        if choice.accepted is None:
            target.append(target_figures(p, choice.token))
            return Verdict(node, choice.token, tuple(tested), tuple(overlaps), tuple(target))
        node = children[choice.accepted]
        target.append(target_figures(p, draft.tokens[node]))


def finish_round(
    request: Request,
    draft: DraftTree,
    received_verdict: VerdictBody,
    verdict: Verdict,
    stats: Sequence[tuple[str, float]] = (),
    token_was_drafted: bool = False,
) -> Emit:
    """Append a verified round to the text and make the step that says so.

    Positions after an accepted end-of-text token belong to no text: they count neither as tested nor as accepted.

    Args:
        request: Whose text grows.
        draft: The sender's own draft; only the sender knows what its truncation dropped.
        received_verdict: The verdict as it arrived.
        verdict: The verdict as it was reached, for the round's figures.
        stats: Further figures of the round.
        token_was_drafted: The verdict's token is the last one of the draft, accepted as the others were: no bonus
            follows where the next draft is on its way.
    """
    tokens = [*draft.path_to(received_verdict.last_accepted), received_verdict.token]
    kept = request.num_kept(tokens)
    tested = [draft.row_after(node) for node in verdict.tested[:kept]]
    return request.emit(
        tokens,
        drafted=len(draft.tokens),
        tested=len(tested),
        accepted=min(draft.depth_of(received_verdict.last_accepted) + token_was_drafted, kept),
        stats=(
            ("overlap", _mean(verdict.overlaps[:kept])),
            ("tail_mass", _mean([coded.tail_mass for coded in tested])),
            ("draft_entropy_bits", _mean([coded.row.entropy_bits for coded in tested])),
            *target_stats(verdict.target[:kept]),
            *stats,
        ),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
