"""Earliest deadline first (C. Liu, J. Layland, JACM 1973)."""

from __future__ import annotations

from sim.serving.policies.registry import POLICIES, OrderOfService


@POLICIES.register("edf")
def edf() -> OrderOfService:
    """Jobs by when their next token is due under the objectives and the deadline, those without one last."""
    return OrderOfService(
        key_of=lambda job, number: (job.request.due_ns(job.num_generated), job.arrived_ns, number),
        rank_of=lambda request, number: (request.due_ns(0), number),
    )
