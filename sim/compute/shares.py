"""Cost models on a share of their hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.roofline import RooflineCompute


class SlowedCompute(ComputeModel):
    """A cost model whose parts are not known: all of it takes longer.

    Args:
        priced: The cost model on the whole hardware.
        share: Of the hardware that is left.
        memory_share: Of its memory.
    """

    def __init__(self, priced: ComputeModel, share: float, memory_share: float) -> None:
        self.priced, self.share = priced, share
        self.needs_wall_clock = priced.needs_wall_clock  # type: ignore[misc]
        self.idle_power_w = priced.idle_power_w
        self.weights_bytes, self.kv_bytes_per_token = priced.weights_bytes, priced.kv_bytes_per_token
        self.memory_bytes = None if priced.memory_bytes is None else priced.memory_bytes * memory_share
        self.system_memory_share = priced.system_memory_share

    @override
    def price(self, batch: Sequence[WorkSize]) -> Cost:
        cost = self.priced.price(batch)
        return Cost(cost.seconds / self.share, cost.joules)

    @override
    def price_measured(self, seconds: float) -> Cost:
        cost = self.priced.price_measured(seconds)
        return Cost(cost.seconds / self.share, cost.joules)

    @override
    def work_of(self, batch: Sequence[WorkSize]) -> list[float]:
        return self.priced.work_of(batch)


def on_share(model: ComputeModel, compute_share: float, memory_share: float) -> ComputeModel:
    """A cost model on a part of its hardware.

    Of ``roofline`` arithmetic takes 1 / ``compute_share`` and memory traffic 1 / ``memory_share`` times as long, and
    costs of layers, sequences and steps stay; power above idle is that of the slices. Of others, whose parts are not
    known, all takes longer by the lesser one, at the same energy.

    Args:
        model: On the whole hardware.
        compute_share: Of the arithmetic.
        memory_share: Of memory and its bandwidth.

    Raises:
        InputError: The share of the memory does not hold the weights.
    """
    if compute_share == memory_share == 1:
        return model
    if not isinstance(model, RooflineCompute):
        return SlowedCompute(model, min(compute_share, memory_share), memory_share)
    whole = model.hardware
    sliced = dict.fromkeys(("active_share", "compute_share", "sequence_share"), compute_share)
    sliced["memory_share"] = memory_share
    part = replace(
        whole,
        peak_flops={name: peak * compute_share for name, peak in whole.peak_flops.items()},
        memory_bandwidth_bytes_per_s=whole.memory_bandwidth_bytes_per_s * memory_share,
        memory_bytes=whole.memory_bytes * memory_share,
        numbers={**whole.numbers, **{name: whole.numbers[name] * share for name, share in sliced.items()}},
    )
    step = replace(model.step, hardware=part)
    return RooflineCompute(step, model.runtime, model.power_w, model.sources)
