"""Batches of a fixed cohort: a draft waits for those that it is to be verified with (DiP-SD, arXiv 2604.20919)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from sim.serving.policies.registry import POLICIES, OrderOfService
from sim.serving.sequence import Batching, SequenceState


class CohortBatching(Batching):
    """One batch a step: the first that is complete, by its earliest draft.

    A batch is complete when none of its requests is away, drafting or on the air; those that have ended, and those
    whose prompt is still being computed, are not waited for. A request that no controller has put in a batch is one.
    """

    @override
    def choose(
        self, offers: Sequence[SequenceState], away: Sequence[SequenceState], now_ns: int
    ) -> Sequence[SequenceState]:
        awaited = {sequence.request.verify_batch for sequence in away}
        for first in offers:
            batch = first.request.verify_batch
            if batch is None:
                return [first]
            if batch not in awaited:
                return [sequence for sequence in offers if sequence.request.verify_batch == batch]
        return ()


@POLICIES.register("cohort")
def cohort() -> OrderOfService:
    """Verify batches as a controller has planned them, each when all of its drafts have come; else as `fcfs`."""
    return OrderOfService(
        key_of=lambda job, number: (job.arrived_ns, number),
        rank_of=lambda request, number: (number,),  # noqa: ARG005
        make_batching=CohortBatching,
    )
