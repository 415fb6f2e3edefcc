"""What the edge's sites know of a request under way, and what they count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import simpy

from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.models.interface import ForwardPass
from sim.serving.base import RequestInfo

CLOUD = -1
"""Number of the cloud among sites."""


@dataclass(slots=True, eq=False)
class Call:
    """A forward pass that somebody waits for.

    Attributes:
        record: Place and size.
        work: The forward pass itself when live, else None.
        outer: What the caller waits for.
        submitted_ns: When it was submitted.
        waits_since_ns: Since when it has waited for its session's move.
        transport_ns: How long it has waited for moves so far.
    """

    record: ComputeRecord
    work: ForwardPass | None
    outer: Any
    submitted_ns: int
    waits_since_ns: int = 0
    transport_ns: int = 0


@dataclass(slots=True, eq=False)
class Session:
    """A request under way.

    Attributes:
        request: Which.
        at: The site that serves it, or ``CLOUD``.
        num_open: Its forward passes at that site.
        is_moving: Whether it is on its way to another site.
        wanted: Site of the cell that its device came to; None if nothing is to be decided.
        waiting: Forward passes that wait for the end of a move.
        text_tokens: By model, tokens of the text that its last forward pass saw.
        missing: Models whose keys and values are lost, and which must feed the whole text.
        num_moves: Changes of site.
        moved_bytes: Bytes of keys and values that were sent for it.
        recomputed_tokens: Tokens that had been computed and were lost or left behind.
        fallback: Who goes on after its site has failed; empty if none has.
    """

    request: RequestInfo
    at: int
    num_open: int = 0
    is_moving: bool = False
    wanted: int | None = None
    waiting: list[Call] = field(default_factory=list)
    text_tokens: dict[str, int] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    num_moves: int = 0
    moved_bytes: int = 0
    recomputed_tokens: int = 0
    fallback: str = ""


@dataclass(slots=True)
class SiteCounts:
    """What all sites have done.

    Attributes:
        handovers: Requests whose device came to a cell of another site.
        kv_moves: Transfers of keys and values that have ended; ``kv_refused`` of these found no room.
        kv_bytes: Bytes sent in them.
        kv_ns: From the beginning of each to the moment at which the new site could go on.
        recomputes: Texts that were computed anew at another site.
        recomputed_tokens: Tokens of these.
        far_messages: Messages between a cell and another site than its own.
        lost_forwards: Forward passes that were under way at a site when it failed.
        fallbacks: Requests by who goes on with them.
        draft_alone_tokens: Tokens that devices have drawn from their drafts alone.
    """

    handovers: int = 0
    kv_moves: int = 0
    kv_refused: int = 0
    kv_bytes: int = 0
    kv_ns: int = 0
    recomputes: int = 0
    recomputed_tokens: int = 0
    far_messages: int = 0
    lost_forwards: int = 0
    fallbacks: dict[str, int] = field(default_factory=lambda: {"cloud": 0, "draft": 0, "none": 0})
    draft_alone_tokens: int = 0

    def figures(self) -> dict[str, float]:
        """Columns of the summary."""
        return {
            "site_handovers": self.handovers,
            "kv_moves": self.kv_moves,
            "kv_moves_refused": self.kv_refused,
            "kv_moved_bytes": self.kv_bytes,
            "kv_move_mean_s": self.kv_ns / 1e9 / self.kv_moves if self.kv_moves else 0.0,
            "re_prefills": self.recomputes,
            "re_prefilled_tokens": self.recomputed_tokens,
            "far_messages": self.far_messages,
            "lost_forwards": self.lost_forwards,
            "cloud_requests": self.fallbacks["cloud"],
            "draft_alone_requests": self.fallbacks["draft"],
            "draft_alone_tokens": self.draft_alone_tokens,
            "unserved_requests": self.fallbacks["none"],
        }


def relay(event: simpy.Event, outer: simpy.Event, then: Any) -> None:
    """Go on when an event has succeeded; where it fails, let the outer one fail."""

    def on(_: simpy.Event) -> None:
        if event.ok:
            then(event.value)
        else:
            event.defused = True
            outer.fail(event.value)  # type: ignore[arg-type]

    assert event.callbacks is not None
    event.callbacks.append(on)
