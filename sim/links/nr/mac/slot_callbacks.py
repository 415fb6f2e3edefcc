"""Things to do at the start of slots to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class SlotCallbacks:
    """Things to do at the start of a slot, in the order in which they were noted."""

    def __init__(self) -> None:
        self._slots: dict[int, list[tuple[Callable[[Any, int], None], Any]]] = {}

    def schedule(self, slot: int, action: Callable[[Any, int], None], about: Any) -> None:
        """Call ``action(about, slot)`` at the start of a slot."""
        self._slots.setdefault(slot, []).append((action, about))

    def fire(self, slot: int) -> None:
        """Call what was scheduled for this slot."""
        for action, about in self._slots.pop(slot, ()):
            action(about, slot)

    def next_slot(self) -> int | None:
        """First slot with something to do."""
        return min(self._slots, default=None)
