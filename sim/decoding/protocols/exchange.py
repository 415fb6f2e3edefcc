"""One exchange of speculative decoding: a draft goes up, is verified at the edge, and the verdict comes back."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from sim.decoding.core.draft_tree import DraftTree
from sim.decoding.core.ids_drafts import IdsLayout
from sim.decoding.core.messages import DraftLayout, Layout, Message, VerdictBody
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Hop, Step, Transmit
from sim.decoding.verification.base import Rule
from sim.decoding.verification.round import Verdict, finish_round, target_rows, verify
from sim.decoding.verification.split import with_metrics


@dataclass(frozen=True, slots=True)
class Exchange:
    """What both ends agree on beforehand.

    Attributes:
        draft_layout: How drafts are written, with rows or as ids alone.
        verdict_layout: How verdicts are.
        rule: How the edge verifies; one that needs no row if the draft carries none.
    """

    draft_layout: DraftLayout | IdsLayout
    verdict_layout: Layout
    rule: Rule

    def ask(self) -> Message:
        """A draft without tokens, by which the device asks the target to decode alone."""
        return self.draft_layout(DraftTree.empty())

    def verified(
        self, request: Request, draft: DraftTree, rng: RandomSource, *charged: int
    ) -> Generator[Step, Any, None]:
        """A whole round from its draft on: send, verify, reply, emit; arguments as of ``round_trip``."""
        received_verdict, verdict = yield from self.round_trip(request, draft, rng, *charged)
        yield finish_round(request, draft, received_verdict, verdict)

    def round_trip(
        self,
        request: Request,
        draft: DraftTree,
        rng: RandomSource,
        charged_up: int | None = None,
        charged_down: int | None = None,
    ) -> Generator[Step, Any, tuple[VerdictBody, Verdict]]:
        """Send a draft, verify it, send the verdict.

        Args:
            request: The text so far.
            draft: The device's own.
            rng: Random source.
            charged_up: Bits charged for the draft if not those that it has.
            charged_down: Bits charged for the verdict if not those that it has.

        Returns:
            The verdict as it arrived, and as it was reached, with its figures.
        """
        message = self.draft_layout(draft, tokens_at_stake=draft.depth + 1)
        received = yield Transmit(Hop.UPLINK, message, charged_up)
        rows = yield from target_rows(request, received)
        verdict = yield from verify(rows, received, self.rule, request.position, rng)
        received_verdict = yield Transmit(Hop.DOWNLINK, self.verdict_layout(verdict.wire), charged_down)
        informed = isinstance(self.draft_layout, DraftLayout)
        return received_verdict, verdict if informed else with_metrics(rows, draft, received_verdict)
