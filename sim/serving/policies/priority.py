"""The most urgent first."""

from __future__ import annotations

from sim.serving.policies.registry import POLICIES, OrderOfService


@POLICIES.register("priority")
def priority() -> OrderOfService:
    """Jobs of the highest priority first, in order of arrival among equals; the lowest may starve."""
    return OrderOfService(
        key_of=lambda job, number: (-job.request.priority, job.arrived_ns, number),
        rank_of=lambda request, number: (-request.priority, number),
    )
