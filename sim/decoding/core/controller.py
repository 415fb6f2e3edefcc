"""Controllers adjust the controls of a protocol between rounds, from what a real device or edge would know."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from typing import Any, Protocol

from sim.decoding.core.messages import Layout
from sim.decoding.core.rows import Row
from sim.decoding.core.steps import Round, Step

CONTROL_NAMES = ("draft_length", "candidates", "top_k", "speculation")
"""Names of the controls, as protocols state which they have and controllers which they adjust."""


class RequestState(Protocol):
    """What a controller sees of a request.

    Attributes:
        rounds: Rounds so far.
        finished: Whether the text has ended.
    """

    rounds: list[Round]
    finished: bool

    @property
    def remaining(self) -> int:
        """Tokens that may still be generated."""


@dataclass(frozen=True, slots=True)
class Controls:
    """What may be adjusted before a round; a protocol offers those that it has.

    Attributes:
        branching: Candidates per expanded node, by depth; its length is the draft length.
        top_k: Entries per truncated row, None where rows are not truncated to a number.
        speculate: Whether to draft at all; without it the target decodes alone for a while.
        fallback_tokens: Tokens that the target then decodes before the device looks again; both ends know it
            beforehand.
    """

    branching: tuple[int, ...]
    top_k: int | None = None
    speculate: bool = True
    fallback_tokens: int = 1

    @classmethod
    def chain(cls, draft_length: int, top_k: int | None = None) -> Controls:
        """Controls of a protocol that drafts one candidate per position."""
        return cls((1,) * draft_length, top_k)

    @property
    def draft_length(self) -> int:
        """Levels drafted."""
        return len(self.branching)

    @property
    def num_nodes(self) -> int:
        """Most nodes that a tree of this branching has."""
        return sum(accumulate(self.branching, mul))

    def with_draft_length(self, length: int) -> Controls:
        """The same controls with another draft length; deeper levels get one candidate each."""
        return replace(self, branching=(self.branching + (1,) * length)[:length])

    def with_candidates(self, candidates: int) -> Controls:
        """The same controls with this many candidates at the first level and one at each deeper one."""
        return replace(self, branching=(candidates, *(1,) * (self.draft_length - 1)))

    def with_top_k(self, top_k: int) -> Controls:
        """The same controls with another number of entries per row."""
        return replace(self, top_k=top_k)

    def without_speculation(self, fallback_tokens: int) -> Controls:
        """The same controls with speculation off for this many tokens."""
        return replace(self, speculate=False, fallback_tokens=fallback_tokens)


class Controller:
    """Turns controls; this base leaves them as they are.

    One instance serves one device for a whole run, so that it can learn across requests. It sees past rounds
    (``request.rounds``), rows that the device has drafted from, and, by yielding ``Observe``, clock and channel
    report; never the future. A protocol stays exact under any controller because what is drafted next does not
    depend on the random numbers of what has not been drafted yet.

    Args:
        settings: Its keys.
    """

    adjusts: tuple[str, ...] = ()
    """Controls that it adjusts, of ``CONTROL_NAMES``; a protocol without one of them refuses it."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def for_device(self) -> Controller:
        """The controller of one more device of a run; what it shares with the others it gets from this one."""
        return type(self)(self.settings)

    def upper_bound(self, controls: Controls) -> Controls:
        """The largest value of every control that ``plan`` may choose; message fields are sized for it.

        Args:
            controls: The scenario's.
        """
        return controls

    def decide(self, request: RequestState, controls: Controls) -> Generator[Step, Any, Controls]:  # noqa: ARG002
        """Choose the controls of the next round; a generator, because it may look at clock and channel.

        Args:
            request: The text so far and the rounds behind it.
            controls: The scenario's.
        """
        return controls
        yield

    def keep_drafting(self, rows: Sequence[Row], tokens: Sequence[int]) -> bool:  # noqa: ARG002
        """Whether to draft another token after these; called after each drafted level of a chain.

        Args:
            rows: The row that each token of this round's draft was drawn from.
            tokens: The tokens.
        """
        return True

    @property
    def watches_drafts(self) -> bool:
        """Whether it has a word in how long a draft becomes while it is being drafted."""
        return type(self).keep_drafting is not Controller.keep_drafting

    def on_verdicts(self, request: RequestState, layout: Layout) -> Layout:  # noqa: ARG002
        """The layout of verdicts, with the controller's own fields from the edge appended to them."""
        return layout
