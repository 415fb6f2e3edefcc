"""Compute the text anew at the new site."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.handover.registry import HANDOVERS, Decision, HandoverPolicy, Move


@HANDOVERS.register("re_prefill")
class RePrefill(HandoverPolicy):
    """The new site computes keys and values of the whole text so far; nothing but the text is sent."""

    @override
    def decide(self, move: Move) -> Decision:
        """Recompute."""
        return Decision.RECOMPUTE
