"""Send keys and values, or compute them anew, whichever takes less time."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.handover.registry import HANDOVERS, Decision, HandoverPolicy, Move


@HANDOVERS.register("cheapest")
class Cheapest(HandoverPolicy):
    """Compares the transfer as it would be now with a prefill on an idle server of the new site."""

    may_carry = True

    @override
    def decide(self, move: Move) -> Decision:
        """Carry if that is faster."""
        return Decision.CARRY if move.transfer_s <= move.prefill_s else Decision.RECOMPUTE
