"""The named parts of an end-to-end delay, which add up to it exactly because they are whole nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping

# In the order in which a round meets them; the columns are these names with `_s`.
PARTS = (
    "device_queue",
    "draft_compute",
    "uplink_access",
    "uplink_air",
    "uplink_retransmission",
    "transport",
    "edge_queue",
    "verify_compute",
    "downlink_access",
    "downlink_air",
    "downlink_retransmission",
)


class Breakdown:
    """Nanoseconds by part.

    Args:
        parts: Parts to start from; the others are zero.
    """

    __slots__ = ("ns",)

    def __init__(self, parts: Mapping[str, int] | None = None) -> None:
        self.ns: dict[str, int] = dict.fromkeys(PARTS, 0)
        if parts:
            self.ns.update(parts)

    def add(self, part: str, ns: int) -> None:
        """Add to one part."""
        self.ns[part] += ns

    def include(self, other: Breakdown) -> None:
        """Add another breakdown, such as that of the branch which ended last."""
        for part, ns in other.ns.items():
            if ns:
                self.ns[part] += ns

    @property
    def total_ns(self) -> int:
        """Sum of all parts."""
        return sum(self.ns.values())

    def columns(self) -> dict[str, float]:
        """Seconds by column name."""
        return {f"{part}_s": ns / 1e9 for part, ns in self.ns.items()}
