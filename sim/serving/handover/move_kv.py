"""Send keys and values after the device."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.handover.registry import HANDOVERS, Decision, HandoverPolicy, Move


@HANDOVERS.register("move_kv")
class MoveKv(HandoverPolicy):
    """Keys and values of the text are sent to the new site, and the request waits until they are there."""

    may_carry = True

    @override
    def decide(self, move: Move) -> Decision:
        """Carry."""
        return Decision.CARRY
