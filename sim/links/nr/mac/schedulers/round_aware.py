"""Round aware: finish the protocol round whose verification unblocks most tokens per PRB that it still needs."""

from __future__ import annotations

import numpy as np

from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("round_aware")
class RoundAware(Scheduler):
    """Serves the message with most tokens at stake per PRB that its rest needs: Smith's rule over rounds.

    A round's message is worth nothing until its last byte, so the carrier goes to whole messages, cheapest per token
    first; each PRB group counts by what it carries of the message, relative to the carrier's mean. The priority grows
    with the root of the delay budgets already spent, so that large messages are not starved.
    """

    def priority(self, queues: QueueView) -> Array:
        """(tokens / PRBs) (R_ig / mean R_i) sqrt(1 + waited / budget)."""
        worth = np.maximum(queues.tokens_at_stake, 1e-3) / np.maximum(queues.message_prb_needed, 1.0)
        worth *= np.sqrt(1 + np.maximum(queues.head_of_line_s, 0.0) / self.delay_budget_s)
        rate = np.maximum(queues.rate_bps, 1.0)
        return np.asarray(worth[:, None] * rate / rate.mean(axis=1, keepdims=True))
