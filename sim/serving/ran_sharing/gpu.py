"""One GPU that layer 1 and a model share: which slots are late, and by how much a step of the model is delayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from sim.compute.base import ComputeModel
from sim.compute.shares import on_share
from sim.core.clock import NS_PER_S, to_ns
from sim.serving.ran_sharing.counts import GpuCounts, second_row
from sim.serving.ran_sharing.layer1_cost import Load, layer1_cost
from sim.serving.ran_sharing.other_cells import BLOCK_SLOTS, OtherCells
from sim.serving.ran_sharing.registry import SHARING_MODES, SharingMode
from sim.serving.ran_sharing.settings import RanSharingSettings

Floats = npt.NDArray[np.float64]

# What a model keeps of each slot at least, however much layer 1 takes.
_MIN_SHARE = 0.05
# Slots with simulated blocks that are not yet counted; beyond them they are.
_MAX_OPEN = 256


class SharedGpu:
    """Layer 1 of cells beside a model on one GPU.

    What a slot's simulated blocks take is known when it comes; other cells' work is that of ``OtherCells``. A step of
    the model is delayed by each slot that begins while it is under way.

    Args:
        env: SimPy environment in nanoseconds.
        settings: Keys of ``ran_sharing``.
        slot_ns: Duration of a slot.
        seed: Master seed.
        cells: Simulated cells.
        on_second: Takes a row for every full second, or None.
        site: Number of the edge site at which it is.

    Attributes:
        mode: How both share it.
        cost: What layer 1 takes.
        counts: Up to the last change of what is under way.
        peak_cells: Largest count of a slot, in full cells, since the reader last reset it to 0.
        num_cells: Cells on the GPU.
        slot_ns: Duration of a slot.
        site: Number of its edge site.
    """

    def __init__(
        self,
        env: simpy.Environment,
        settings: RanSharingSettings,
        slot_ns: int,
        seed: int = 0,
        cells: int = 1,
        on_second: Callable[[dict[str, Any]], None] | None = None,
        site: int = 0,
    ) -> None:
        self.env, self.settings, self.site = env, settings, site
        self.mode: SharingMode = SHARING_MODES.find(settings.mode).make(settings)
        self.cost = layer1_cost(settings.gpu)
        self.num_cells = cells + settings.other_cells
        self.counts = GpuCounts()
        self.peak_cells = 0.0
        self._deadline_s = settings.deadline_s
        self.slot_ns = slot_ns
        self._others = OtherCells(settings, slot_ns, seed, site)
        self._on_second = on_second
        self._slot = -1
        self._load, self._is_late = Load(), False
        self._own: dict[int, tuple[float, bool, float]] = {}  # seconds, lateness and full cells of slots with blocks
        self._lost_of: dict[int, int] = {}  # of such slots, until a step has reported them
        self._step_since_ns: int | None = None
        self._ready_ns = self._last_ns = 0
        self._second, self._second_ends_ns = GpuCounts(), NS_PER_S
        self._wanted: float | None = None
        self._priced: dict[tuple[int, float, float], tuple[ComputeModel, ComputeModel]] = {}

    # -- steps of the model -------------------------------------------------------------------------------------------

    def begin_step(self) -> int:
        """A step of the model begins.

        Returns:
            How long it waits for a change of shares [ns].
        """
        now_ns = int(self.env.now)
        self.advance(now_ns)
        self._step_since_ns = now_ns
        # A slot that begins with the step has come before it in this instant.
        self._lost_of = {slot: ns for slot, ns in self._lost_of.items() if slot * self.slot_ns >= now_ns}
        wait_ns = max(0, self._ready_ns - now_ns)
        self.counts.model_ns -= wait_ns * self._model_share
        return wait_ns

    def end_step(self) -> None:
        """It has ended."""
        self.advance(int(self.env.now))
        self._step_since_ns = None
        if self._wanted is not None:
            self._move(self._wanted)

    def lost_ns(self, since_ns: int, until_ns: int) -> int:
        """By how much the slots that begin in ``[since_ns, until_ns)`` delay the step under way."""
        first, end = (-(-time_ns // self.slot_ns) for time_ns in (since_ns, until_ns))
        own = [slot for slot in self._lost_of if first <= slot < end]
        if self._others.is_constant:
            lost = (end - first - len(own)) * self._lost_ns(self.cost.seconds(self.cost.load(self._others.at(first))))
        else:
            each = self._lost_each_ns(self.cost.seconds_of(self._others.full_cells(first, end)))
            lost = int(each.sum()) - sum(int(each[slot - first]) for slot in own)
        lost += sum(self._lost_of.pop(slot) for slot in own)
        self.counts.model_ns -= lost * self._model_share
        return lost

    def _lost_each_ns(self, alone_s: Floats) -> npt.NDArray[np.int64]:
        """By how much slots delay a step, [n] each; a model keeps a little of each."""
        lost_ns = np.rint(self.mode.lost_s(alone_s) * NS_PER_S).astype(np.int64)
        return np.where(alone_s > 0, np.minimum(lost_ns, int(self.slot_ns * (1 - _MIN_SHARE))), 0)

    def _lost_ns(self, alone_s: float) -> int:
        return int(self._lost_each_ns(np.array([alone_s]))[0])

    def priced(self, model: ComputeModel) -> ComputeModel:
        """A cost model on what the mode leaves of its hardware now."""
        shares = self.mode.compute_share, self.mode.memory_share
        place = (id(model), *shares)
        if place not in self._priced:
            self._priced[place] = model, on_share(model, *shares)
        return self._priced[place][1]

    # -- slots of layer 1 ---------------------------------------------------------------------------------------------

    def process(self, slot: int, load: Load) -> bool:
        """Work of a slot; several directions of it come one after the other.

        Returns:
            Whether all of it so far is done in time.
        """
        if slot != self._slot:
            if len(self._own) >= _MAX_OPEN:
                self.advance(int(self.env.now))
            self._slot, self._is_late = slot, False
            self._load = self.cost.load(self._others.at(slot))
        self._load = self._load.plus(load)
        alone_s = self.cost.seconds(self._load)
        since = self._step_since_ns
        is_busy, for_s = since is not None, 0.0 if since is None else (int(self.env.now) - since) / NS_PER_S
        is_late = self.mode.layer1_s(alone_s, is_busy, for_s) > self._deadline_s
        self._is_late = self._is_late or is_late
        if not is_busy:
            self._lost_of.clear()
        self._lost_of[slot] = self._lost_ns(alone_s)
        self._own[slot] = alone_s, self._is_late, self._load.prb_layers / self.cost.peak.prb_layers
        return not is_late

    # -- shares -------------------------------------------------------------------------------------------------------

    def move(self, share: float) -> None:
        """Keep a share of the GPU for layer 1; it holds when the step under way has ended, at ``change_s``'s cost."""
        if self._step_since_ns is None:
            self._move(share)
        else:
            self._wanted = share

    def _move(self, share: float) -> None:
        self._wanted = None
        self.advance(int(self.env.now))
        before = self.mode.layer1_share
        self.mode.move(share)
        if self.mode.layer1_share != before:
            self.counts.changes += 1
            self._ready_ns = int(self.env.now) + to_ns(self.settings.change_s)

    @property
    def min_shares(self) -> tuple[float, float]:
        """Shares of arithmetic and memory that the model has at any time, at least."""
        if not self.settings.is_moved:
            return self.mode.compute_share, self.mode.memory_share
        return self.mode.compute_share, self.mode.memory_share_at(self.settings.max_layer1_share)

    @property
    def _model_share(self) -> float:
        """Share of the GPU that a step of the model has."""
        return self.mode.memory_share

    # -- counts -------------------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Bring the counts up to now, closing every second that has passed."""
        while self._on_second is not None and now_ns >= self._second_ends_ns:
            self._count_up_to(self._second_ends_ns)
            self._close_second(self._second_ends_ns)
            self._second_ends_ns += NS_PER_S
        self._count_up_to(now_ns)

    def finish(self) -> None:
        """The run has ended: close what is left of a second."""
        now_ns = int(self.env.now)
        self.advance(now_ns)
        if self._on_second is not None and now_ns > self._second_ends_ns - NS_PER_S:
            self._close_second(now_ns)

    def _close_second(self, end_ns: int) -> None:
        assert self._on_second is not None
        start_ns = self._second_ends_ns - NS_PER_S
        counts, kept = self.counts.since(self._second), self.mode.layer1_share
        self._on_second({"site": self.site, **second_row(start_ns, end_ns - start_ns, counts, self.slot_ns, kept)})
        self._second = self.counts.copy()

    def _count_up_to(self, now_ns: int) -> None:
        """Count the slots that have begun before now, and the time of the step under way."""
        first, end = -(-self._last_ns // self.slot_ns), -(-now_ns // self.slot_ns)
        for start in range(first, end, BLOCK_SLOTS):
            self._count_slots(start, min(start + BLOCK_SLOTS, end))
        if self._step_since_ns is not None:
            self.counts.step_ns += now_ns - self._last_ns
            self.counts.model_ns += (now_ns - self._last_ns) * self._model_share
        self._last_ns = now_ns

    def _count_slots(self, first: int, end: int) -> None:
        """Count slots in which the model did the same."""
        counts, others = self.counts, self._others
        own = [slot for slot in self._own if first <= slot < end] if self._own else []
        if others.count:
            full_cells = others.full_cells(first, end)
            if own:
                full_cells = full_cells.copy()
                full_cells[[slot - first for slot in own]] = 0  # these are counted below
            alone_s = self.cost.seconds_of(full_cells)
            counts.slots += int((alone_s > 0).sum())
            counts.late += int((self._took_s(alone_s, first) > self._deadline_s)[alone_s > 0].sum())
            counts.layer1_s += float(alone_s.sum())
            counts.prb_share += float(full_cells.sum())
            self.peak_cells = max(self.peak_cells, float(full_cells.max(initial=0.0)))
        for slot in own:
            took_s, is_late, cells = self._own.pop(slot)
            counts.slots += 1
            counts.late += is_late
            counts.own_slots += 1
            counts.own_late += is_late
            counts.layer1_s += took_s
            counts.prb_share += cells
            self.peak_cells = max(self.peak_cells, cells)

    def _took_s(self, alone_s: Floats, first: int) -> Floats:
        """When layer 1 is done with slots from one on, counted from their beginning, [n]."""
        since = self._step_since_ns
        since_s = np.zeros(len(alone_s))
        if since is not None and self.mode.follows_steps:
            since_s = ((first + np.arange(len(alone_s))) * self.slot_ns - since) / NS_PER_S
        return self.mode.layer1_s(alone_s, since is not None, since_s)
