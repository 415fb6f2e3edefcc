"""First come, first served."""

from __future__ import annotations

from sim.serving.policies.registry import POLICIES, OrderOfService


@POLICIES.register("fcfs")
def fcfs() -> OrderOfService:
    """Jobs in order of arrival; nobody starves."""
    return OrderOfService(
        key_of=lambda job, number: (job.arrived_ns, number),
        rank_of=lambda request, number: (number,),  # noqa: ARG005
    )
