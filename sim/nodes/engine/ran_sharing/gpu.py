"""One GPU that layer 1 and a model share: which slots are late, and by how much a step of the model is delayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import simpy

from channels.nr import segment
from sim.core.clock import NS_PER_S, to_ns
from sim.links.base import Direction
from sim.nodes.engine.ran_sharing.layer1_cost import Load, layer1_cost
from sim.nodes.engine.ran_sharing.registry import SHARING_MODES, SharingMode
from sim.nodes.engine.ran_sharing.settings import RanSharingSettings

if TYPE_CHECKING:
    from sim.links.nr.phy.block import TransportBlock
    from sim.links.nr.phy.carrier import Carrier
    from sim.links.nr.phy.receiver import Receiver

# What a model keeps of each slot at least, however much layer 1 takes.
_LEAST_SHARE = 0.05


class SharedGpu:
    """Layer 1 of cells beside a model on one GPU.

    What a slot's simulated blocks take is known when it comes; other cells do the same in every slot. A step of the
    model is delayed by each slot that begins while it is under way.

    Args:
        env: SimPy environment in nanoseconds.
        settings: Keys of ``ran_sharing``.
        slot_ns: Duration of a slot.
    """

    def __init__(self, env: simpy.Environment, settings: RanSharingSettings, slot_ns: int) -> None:
        self.env = env
        self.mode: SharingMode = SHARING_MODES.find(settings.mode).make(settings)
        self._cost = layer1_cost(settings.gpu)
        self._deadline_s = settings.deadline_s
        self._slot_ns = slot_ns
        share = settings.other_cells * settings.other_load
        self._others = Load(share * self._cost.peak.prb_layers, share * self._cost.peak.code_blocks)
        self._usual_lost_ns = self._lost_ns(self._others)
        self._slot = -1
        self._load = self._others
        self._is_late = False
        self._lost_of: dict[int, int] = {}  # slots with simulated blocks that no step has reported
        self._step_since_ns: int | None = None
        self._slots = self._late = 0
        self._extra_s = 0.0

    def _lost_ns(self, load: Load) -> int:
        alone_s = self._cost.seconds(load)
        if alone_s <= 0:
            return 0
        return min(to_ns(self.mode.lost_s(alone_s)), int(self._slot_ns * (1 - _LEAST_SHARE)))

    def begin_step(self) -> None:
        """A step of the model begins."""
        now_ns = self._step_since_ns = int(self.env.now)
        # A slot that begins with the step has come before it in this instant.
        self._lost_of = {slot: ns for slot, ns in self._lost_of.items() if slot * self._slot_ns >= now_ns}

    def end_step(self) -> None:
        """It has ended."""
        self._step_since_ns = None

    def lost_ns(self, since_ns: int, until_ns: int) -> int:
        """By how much the slots that begin in ``[since_ns, until_ns)`` delay the step under way."""
        first, end = (-(-time_ns // self._slot_ns) for time_ns in (since_ns, until_ns))
        lost = (end - first) * self._usual_lost_ns
        for slot in [slot for slot in self._lost_of if first <= slot < end]:
            lost += self._lost_of.pop(slot) - self._usual_lost_ns
        return lost

    def process(self, slot: int, load: Load) -> bool:
        """Work of a slot; several directions of it come one after the other.

        Returns:
            Whether all of it so far is done in time.
        """
        if slot != self._slot:
            self._slot, self._load, self._is_late = slot, self._others, False
            self._slots += 1
            self._extra_s -= self._cost.seconds(self._others)
        else:
            self._extra_s -= self._cost.seconds(self._load)
        self._load = self._load.plus(load)
        alone_s = self._cost.seconds(self._load)
        self._extra_s += alone_s
        since = self._step_since_ns
        is_busy, for_s = since is not None, 0.0 if since is None else (int(self.env.now) - since) / NS_PER_S
        is_late = self.mode.layer1_s(alone_s, is_busy, for_s) > self._deadline_s
        self._late += is_late and not self._is_late
        self._is_late = self._is_late or is_late
        if not is_busy:
            self._lost_of.clear()
        self._lost_of[slot] = self._lost_ns(self._load)
        return not is_late

    def figures(self) -> dict[str, float]:
        """Columns of the summary."""
        slots = int(self.env.now) // self._slot_ns
        total_s = slots * self._cost.seconds(self._others) + self._extra_s
        return {
            "layer1_slots": self._slots,
            "layer1_late_per_1e5": 1e5 * self._late / self._slots if self._slots else 0.0,
            "layer1_gpu_share": total_s * NS_PER_S / int(self.env.now) if self.env.now else 0.0,
        }


class SharedReceiver:
    """A receiver whose blocks are lost in slots that layer 1 is late with.

    Args:
        receiver: Decides about blocks of slots that are in time.
        gpu: Runs layer 1.
        carrier: Tells code rates.
    """

    def __init__(self, receiver: Receiver, gpu: SharedGpu, carrier: Carrier) -> None:
        self._receiver, self._gpu = receiver, gpu
        self._rates = np.asarray(carrier.mcs_table.code_rate, dtype=np.float64)

    def receive(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """Set ``received`` (and what is combined) of each block."""
        self._receiver.receive(direction, slot, blocks)
        sizes = np.array([8 * block.size_bytes for block in blocks])
        counts = segment(sizes, self._rates[[block.mcs for block in blocks]]).num_code_blocks
        load = Load(float(sum(block.num_prb * block.num_layers for block in blocks)), float(counts.sum()))
        if not self._gpu.process(slot, load):
            for block in blocks:
                block.received = False
