"""Equal finish: uploads that are under way together end together."""

from __future__ import annotations

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("equal_finish")
class EqualFinish(Scheduler):
    """Serves the message whose rest needs most PRBs, so that the uploads of a batch end together (arXiv 2510.11331).

    For uploads that begin together this is the closed form of the paper, T = sum(D_u / e_u) / B, PRB by PRB: a device
    that is ahead waits until the others have caught up. A batch that is verified when its last draft has come loses
    nothing.
    """

    def priority(self, queues: QueueView) -> Array:
        """PRBs that the rest of the first message needs."""
        return queues.message_prb_needed[:, None]
