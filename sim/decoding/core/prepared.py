"""Drafts that were made before the text that they follow was known to be right."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.decoding.core.draft_tree import DraftTree

Redraft = Callable[[Any], Generator[Any, Any, DraftTree]]
"""Drafts after another request in the same way, that of an ``outcome`` of the one under way."""


@dataclass(slots=True, eq=False)
class PreparedDrafts:
    """What a request's drafting looks at before it drafts, and leaves behind when it has.

    Attributes:
        drafts: Drafts by the tokens of the round that they follow and the shape that was asked for.
        emitted: Tokens of the last round.
        draft: The draft under way; None before it is made.
        redraft: How it was made.
        is_hit: Whether it was prepared.
    """

    drafts: dict[tuple[int, ...], DraftTree] = field(default_factory=dict)
    emitted: tuple[int, ...] = ()
    draft: DraftTree | None = None
    redraft: Redraft | None = None
    is_hit: bool = False

    def find(self, branching: Sequence[int], redraft: Redraft) -> DraftTree | None:
        """The draft that was prepared for the text as it is, if it has the length that is wanted; None otherwise."""
        found = self.drafts.get(self.emitted)
        self.drafts = {}
        self.redraft = redraft
        self.is_hit = found is not None and len(branching) >= found.depth
        return found if self.is_hit else None
