"""Keep the anchor: the session's site stays the same."""

from __future__ import annotations

from typing_extensions import override

from sim.serving.handover.registry import HANDOVERS, Decision, HandoverPolicy, Move


@HANDOVERS.register("anchor")
class Anchor(HandoverPolicy):
    """A request ends at the site where it began; its messages go between that site and the device's cell."""

    @override
    def decide(self, move: Move) -> Decision:
        """Stay."""
        return Decision.STAY
