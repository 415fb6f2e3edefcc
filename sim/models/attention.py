"""Attention of a pass over the store's keys and values; beginnings that many texts have in common are read once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sim.models.layout import SlotGrid

MIN_COLUMNS = 16  # in common, from which on it pays to take the beginning apart from the rest
MIN_ROWS = 4  # that share one beginning, on average


@dataclass(frozen=True, slots=True)
class SharedColumns:
    """The first columns of the slots of a pass, where they hold copies of the same few slots.

    With many short passes over the same texts, reading keys and values is most of attention, and a beginning that
    all its copies share stays in the processor's cache.

    Attributes:
        count: How many columns.
        runs: First row, row after the last, and original slot of neighbouring rows of the grid that share one.
    """

    count: int
    runs: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, grid: SlotGrid) -> SharedColumns | None:
        """The columns in common, or None if that would not pay."""
        chunks = grid.layout.chunks
        count = min(min(chunk.start, chunk.original.columns) if chunk.original else 0 for chunk in chunks)
        if count < MIN_COLUMNS:
            return None
        originals = np.full(grid.num_rows, -1)
        originals[grid.rows] = [chunk.original.slot for chunk in chunks if chunk.original]
        # What fillers look at does not matter: the same as the row before them.
        last_known = np.maximum.accumulate(np.where(originals >= 0, np.arange(grid.num_rows), 0))
        originals = originals[last_known]
        starts = np.flatnonzero(np.diff(originals, prepend=-1))
        if len(starts) * MIN_ROWS > grid.num_rows:
            return None
        stops = [*starts[1:].tolist(), grid.num_rows]
        return cls(count, tuple(zip(starts.tolist(), stops, originals[starts].tolist(), strict=True)))

    def scores(self, query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Query [num_rows, num_kv_heads, width, dim] times the shared keys: [num_rows, num_kv_heads, width, count].

        Args:
            query: Of all rows.
            keys: Of all slots, [num_slots, num_kv_heads, capacity, dim].
        """
        return torch.cat([_times(query[a:b], keys[slot, :, : self.count].transpose(1, 2)) for a, b, slot in self.runs])

    def mixed(self, weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Weights [num_rows, num_kv_heads, width, count] times the shared values, likewise."""
        return torch.cat([_times(weights[a:b], values[slot, :, : self.count]) for a, b, slot in self.runs])


def _times(rows: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """[num_rows, num_kv_heads, width, k] times [num_kv_heads, k, n], a product per head: [..., width, n]."""
    num_rows, num_heads, width, size = rows.shape
    by_head = rows.transpose(0, 1).reshape(num_heads, num_rows * width, size)
    return torch.bmm(by_head, shared).view(num_heads, num_rows, width, -1).transpose(0, 1)


def attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor,
    grid: SlotGrid,
    shared: SharedColumns | None,
) -> torch.Tensor:
    """Softmax attention of each row over its own slot.

    Args:
        query: [num_rows, num_kv_heads, group * width, dim], scaled; heads that share keys together.
        keys, values: Of all slots, [num_slots, num_kv_heads, capacity, dim].
        bias: Added to the scores, [num_rows, 1, 1, width, num_columns].
        grid: Which slots the rows look at, and how many columns.
        shared: Columns to be read from the slots that they were copied from.

    Returns:
        [num_rows, num_kv_heads, group * width, dim].
    """
    first, last = shared.count if shared else 0, grid.layout.num_columns
    slots = grid.slots if isinstance(grid.slots, slice) else torch.from_numpy(grid.slots)
    own_keys, own_values = keys[slots, :, first:last], values[slots, :, first:last]
    scores = torch.matmul(query, own_keys.transpose(2, 3))
    if shared:
        scores = torch.cat((shared.scores(query, keys), scores), -1)
    num_rows, num_kv_heads = query.shape[:2]
    scores.view(num_rows, num_kv_heads, -1, *bias.shape[3:]).add_(bias)
    weights = torch.softmax(scores, -1)
    mixed = torch.matmul(weights[..., first:], own_values)
    return mixed.add_(shared.mixed(weights[..., :first], values)) if shared else mixed
