"""One slot-indexed store for the keys and values of all sessions of a model, bounded in memory, with LRU eviction."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.models.interface import CachedText
from sim.models.layout import WHOLE, Original

if TYPE_CHECKING:
    import torch

DEFAULT_MAX_SLOTS = 256
DEFAULT_MAX_BYTES = 4 << 30
SMALLEST_CAPACITY = 64


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What one layer keeps per token: ``num_heads`` keys of ``key_dim`` and values of ``value_dim`` numbers."""

    num_heads: int
    key_dim: int
    value_dim: int


class KvStore:
    """Keys and values of many sessions, one slot each; token i of a session stands in column i of its slot.

    The store also remembers which text each slot holds (``text``). That is the physical truth: it may hold less than
    what the owner believes to be cached, because a slot may have been evicted; the text is then fed again.

    Args:
        layers: What each layer keeps per token.
        dtype, device: Of the tensors.
        max_slots: Most sessions held at once.
        max_bytes: Memory bound; it lowers the number of slots as texts grow longer, never below one.

    Attributes:
        keys, values: Per layer [num_slots, num_heads, capacity, key_dim or value_dim]. Columns that no text covers
            hold finite numbers, so that a masked column adds exactly zero.
        bytes_per_token: What one token takes in all layers.
        num_evicted: Texts that were dropped to make room for others.
    """

    def __init__(
        self,
        layers: Sequence[LayerShape],
        dtype: torch.dtype,
        device: torch.device,
        max_slots: int = DEFAULT_MAX_SLOTS,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        if max_slots < 1:
            raise ValueError(f"max_slots must be at least 1, got {max_slots}")
        self.layers = tuple(layers)
        numbers_per_token = sum(layer.num_heads * (layer.key_dim + layer.value_dim) for layer in self.layers)
        self.bytes_per_token = numbers_per_token * dtype.itemsize
        self.dtype = dtype
        self.device = device
        self.max_slots = max_slots
        self.max_bytes = max_bytes
        self.num_evicted = 0
        self.num_slots = 0
        self.capacity = 0
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self._slots: OrderedDict[Hashable, int] = OrderedDict()  # least recently used first
        self._free: list[int] = []
        self._texts: dict[Hashable, CachedText] = {}
        self._copied: dict[Hashable, tuple[Hashable, int]] = {}  # from whom, and how many columns are still as there
        self._sources: set[Hashable] = set()  # those that others were copied from
        self._memory: dict[tuple[bool, int], torch.Tensor] = {}  # flat, of each layer's keys (False) and values (True)

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, session: Hashable) -> bool:
        return session in self._slots

    def slot_limit(self, num_columns: int) -> int:
        """Most sessions that fit at once if the longest needs ``num_columns`` columns."""
        capacity = max(self.capacity, _power_of_two(num_columns))
        return max(1, min(self.max_slots, self.max_bytes // (capacity * self.bytes_per_token)))

    def text(self, session: Hashable) -> CachedText:
        """What the session's slot holds; empty if it has none."""
        return self._texts.get(session) or CachedText()

    def admit(self, sessions: Sequence[Hashable], num_columns: int) -> list[int]:
        """Give every session a slot of at least ``num_columns`` columns; evicts the least recently used of the others.

        At most ``slot_limit(num_columns)`` sessions can be admitted together.
        """
        newcomers = [session for session in sessions if session not in self._slots]
        limit = self.slot_limit(num_columns)
        if len(sessions) > limit:
            raise ValueError(f"{len(sessions)} sessions admitted at once, the store fits {limit}")
        if len(self._slots) + len(newcomers) > limit:
            self._evict(len(self._slots) + len(newcomers) - limit, frozenset(sessions))
        needed = len(self._slots) + len(newcomers)
        if num_columns > self.capacity or needed > self.num_slots:
            capacity = max(self.capacity, _power_of_two(num_columns))
            self._resize(min(limit, max(_power_of_two(needed, smallest=1), self.num_slots)), capacity)
        for session in newcomers:
            self._slots[session] = self._free.pop()
            self._texts[session] = CachedText()
        for session in sessions:
            self._slots.move_to_end(session)
        return [self._slots[session] for session in sessions]

    def reserve(self, num_sessions: int, num_columns: int) -> None:
        """Make room for so many sessions of so many columns at once, as far as it fits, instead of growing to it."""
        capacity = max(self.capacity, _power_of_two(num_columns))
        num_slots = max(self.num_slots, min(num_sessions, self.slot_limit(num_columns)))
        if (num_slots, capacity) != (self.num_slots, self.capacity):
            self._resize(num_slots, capacity)

    def copy(self, source: Hashable, target: Hashable) -> None:
        """Give a session the text of another one, keys and values included, if the other has a slot and both fit."""
        text = self.text(source)
        columns = len(text.chain) + len(text.block)
        if source not in self._slots or self.slot_limit(columns) < 2:
            return
        old, new = self.admit([source, target], columns)
        self.void(target, 0)
        for tensors in (self.keys, self.values):
            for tensor in tensors:
                tensor[new, :, :columns] = tensor[old, :, :columns]
        self._texts[target] = text.copy()
        self._copied[target] = (source, columns)
        self._sources.add(source)

    def original(self, session: Hashable) -> Original:
        """The slot that a session was copied from, and in how many of its first columns it still holds the same.

        A session that was not copied, or from one that is gone, is its own original.
        """
        source, columns = self._copied.get(session, (session, 0))
        if source == session or source not in self._slots:
            return Original(self._slots[session], WHOLE)
        return Original(self._slots[source], columns)

    def move_columns(self, slot: int, sources: Sequence[int], target: int) -> None:
        """Copy columns ``sources`` of a slot to the columns from ``target`` on: an accepted path becomes chain."""
        if not sources or list(sources) == list(range(target, target + len(sources))):
            return
        stop = target + len(sources)
        for tensors in (self.keys, self.values):
            for tensor in tensors:
                tensor[slot, :, target:stop] = tensor[slot][:, list(sources)]

    def forget(self, session: Hashable) -> None:
        """Free a session's slot, if it has one."""
        slot = self._slots.pop(session, None)
        if slot is not None:
            self._free.append(slot)
            del self._texts[session]
            self._copied.pop(session, None)
            if session in self._sources:
                self._sources.remove(session)
                self._copied = {copy: claim for copy, claim in self._copied.items() if claim[0] != session}

    def clear(self) -> None:
        """Forget everything, as if newly made; the memory is kept."""
        self.num_slots = self.capacity = 0
        for kept in (self.keys, self.values, self._slots, self._free, self._texts, self._copied, self._sources):
            kept.clear()

    def void(self, session: Hashable, first_column: int) -> None:
        """Declare a session's slot empty, while it is being written from a column on."""
        self._texts[session] = CachedText()
        self._differs_from(first_column, session)
        if session in self._sources:
            for copy in [copy for copy, (source, _) in self._copied.items() if source == session]:
                self._differs_from(first_column, copy)

    def _differs_from(self, column: int, session: Hashable) -> None:
        """A session's columns may be other ones than its original's from this one on."""
        source, columns = self._copied.get(session, (session, 0))
        if columns > column:
            self._copied[session] = (source, column)

    def _evict(self, count: int, pinned: frozenset[Hashable]) -> None:
        victims = [session for session in self._slots if session not in pinned][:count]
        self.num_evicted += len(victims)
        for session in victims:
            self.forget(session)

    def _resize(self, num_slots: int, capacity: int) -> None:
        """Lay out anew layer by layer, the live slots packed to the front."""
        live = list(self._slots.values())
        for is_value, tensors in ((False, self.keys), (True, self.values)):
            for index, layer in enumerate(self.layers):
                width = layer.value_dim if is_value else layer.key_dim
                shape = (num_slots, layer.num_heads, capacity, width)
                grown = self._room(is_value, index, shape, is_occupied=bool(live))
                if index < len(tensors):
                    if live:
                        grown[: len(live), :, : self.capacity] = tensors[index][live]
                    tensors[index] = grown
                else:
                    tensors.append(grown)
        self.num_slots = num_slots
        self.capacity = capacity
        for new, session in enumerate(self._slots):
            self._slots[session] = new
        self._free = list(range(num_slots - 1, len(live) - 1, -1))

    def _room(self, is_value: bool, index: int, shape: tuple[int, ...], is_occupied: bool) -> torch.Tensor:
        """Memory of this shape; that of before, if it is large enough and holds nothing that lives."""
        import torch

        size = math.prod(shape)
        memory = self._memory.get((is_value, index))
        if memory is None or is_occupied or len(memory) < size:
            # Zeros, not empty memory: a masked NaN would still poison the weighted sum over values.
            # Also of a store that is first used in inference mode, columns are moved outside of it.
            with torch.inference_mode(False):
                memory = self._memory[is_value, index] = torch.zeros(size, dtype=self.dtype, device=self.device)
        with torch.inference_mode(False):
            return memory[:size].view(shape)


def _power_of_two(number: int, smallest: int = SMALLEST_CAPACITY) -> int:
    return max(smallest, 1 << (number - 1).bit_length())
