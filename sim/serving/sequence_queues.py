"""Sequences with a job and without a place in the running set."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count

from sim.serving.sequence import OrderKey, SequenceState

_Heap = list[tuple[OrderKey, int, SequenceState]]


class SequenceQueues:
    """Two queues by the key of each sequence's job: of those in memory (ready), and of those that wait for memory."""

    def __init__(self) -> None:
        self._ready: _Heap = []
        self._waiting: _Heap = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._ready) + len(self._waiting)

    def add(self, sequence: SequenceState) -> None:
        """Queue a sequence by the job at its head."""
        heap = self._ready if sequence.blocks else self._waiting
        heappush(heap, (sequence.pending[0].key, next(self._numbers), sequence))

    def remove(self, sequence: SequenceState) -> None:
        """Take a sequence out, if it is in either queue."""
        for heap in (self._ready, self._waiting):
            kept = [entry for entry in heap if entry[2] is not sequence]
            if len(kept) < len(heap):
                heap[:] = kept
                heapify(heap)

    @property
    def keys(self) -> list[OrderKey]:
        """Key of the first job of each queue that holds any."""
        return [heap[0][0] for heap in (self._ready, self._waiting) if heap]

    def first_waiting(self) -> SequenceState | None:
        """The first sequence that waits for memory, if its job comes before those of all that are in memory."""
        if self._waiting and (not self._ready or self._waiting[0] < self._ready[0]):
            return self._waiting[0][2]
        return None

    def pop_waiting(self) -> None:
        """Take out the first sequence that waits for memory."""
        heappop(self._waiting)

    def pop_ready(self) -> SequenceState | None:
        """Take out the first sequence that is in memory; None without any."""
        return heappop(self._ready)[2] if self._ready else None
