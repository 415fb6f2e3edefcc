"""What a controller is: it turns the knobs of a protocol between rounds, from what a real device or edge would know."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.decoding.request import Request
    from sim.decoding.rows import Row
    from sim.decoding.steps import Step


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned before a round; a protocol offers those that it has.

    Attributes:
        branching: Candidates per expanded node, by depth; its length is the draft length.
        top_k: Entries per truncated row, None where rows are not truncated to a number.
        speculate: Whether to draft at all; without it the round is one target forward.
    """

    branching: tuple[int, ...]
    top_k: int | None = None
    speculate: bool = True

    @property
    def draft_length(self) -> int:
        """Levels drafted."""
        return len(self.branching)

    def with_draft_length(self, length: int) -> Knobs:
        """The same knobs with another draft length; deeper levels get one candidate each."""
        return replace(self, branching=(self.branching + (1,) * length)[:length])


class Controller:
    """Turns knobs; this base leaves them as they are.

    One instance serves one device for a whole run, so that it can learn across requests. It sees past rounds
    (``request.rounds``), rows that the device has drafted from, and, by yielding ``Observe``, clock and channel
    report; never the future.

    Args:
        settings: Its keys.
    """

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def plan(self, request: Request, knobs: Knobs) -> Generator[Step, Any, Knobs]:
        """Choose the knobs of the next round; a generator, because it may look at clock and channel."""
        return knobs
        yield

    def keep_drafting(self, rows: Sequence[Row], tokens: Sequence[int]) -> bool:
        """Whether to draft another token after these; called after each drafted level of a chain."""
        return True
