"""The roofline, second edition: what a step of a model on hardware takes, part by part.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009, with a
smooth knee and the costs that kernels, runtimes and tensor parallelism add:

    t = sqrt((F / (e_c P))^2 + ((W + K / e_k) / (e_b B))^2) + c_L L + c_n n + c_0 [+ 2 L (c_a + bytes / link)]

with F operations, P peak, W streamed bytes of weights, K bytes of keys and values, B bandwidth, L layers, n sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.compute.base import WorkSize
from sim.compute.hardware import Hardware
from sim.compute.runtimes import Overheads, Precision
from sim.compute.shapes import ModelShape

PROMPT_TOKENS = 16
"""A sequence that feeds so many tokens whose rows nobody wants computes a prompt."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step takes, by part; the parts below ``kernels_s`` run at the same time, the others one after the other.

    Attributes:
        kernels_s: Arithmetic and memory traffic together, by the smooth knee [s].
        arithmetic_s: Arithmetic alone.
        weights_s: Reading weights alone.
        kv_s: Reading keys and values alone.
        layers_s: Launches and small kernels of the layers.
        sequences_s: Cost of the sequences.
        step_s: Cost of the step.
        all_reduce_s: Exchange between processors that share the layers.
        flops: Operations, of all processors.
        weights_bytes: Weights read, by all processors.
        kv_bytes: Keys and values read, by all processors.
    """

    kernels_s: float
    arithmetic_s: float
    weights_s: float
    kv_s: float
    layers_s: float
    sequences_s: float
    step_s: float
    all_reduce_s: float
    flops: float
    weights_bytes: float
    kv_bytes: float

    @property
    def memory_s(self) -> float:
        """All memory traffic alone [s]."""
        return self.weights_s + self.kv_s

    @property
    def seconds(self) -> float:
        """The whole step [s]."""
        return self.kernels_s + self.layers_s + self.sequences_s + self.step_s + self.all_reduce_s

    @property
    def bound(self) -> str:
        """What a step is bound by: the largest of arithmetic, memory, overhead and communication."""
        parts = {
            "arithmetic": self.arithmetic_s,
            "memory": self.memory_s,
            "overhead": self.layers_s + self.sequences_s + self.step_s,
            "communication": self.all_reduce_s,
        }
        return max(parts, key=lambda name: parts[name])

    def parts(self) -> dict[str, float]:
        """The times by name, as ``specran price`` prints them."""
        names = ("arithmetic_s", "weights_s", "kv_s", "kernels_s", "layers_s", "sequences_s", "step_s", "all_reduce_s")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class StepModel:
    """A model of some shape, kept in some precision, on some hardware.

    Attributes:
        hardware: One of the processors.
        overheads: What the runtime reaches and costs there.
        shape: The model.
        precision: How its weights are kept.
        arithmetic: What products run in.
        kv_bytes_per_value: Bytes of each cached value.
        num_processors: Processors that share every layer.
    """

    hardware: Hardware
    overheads: Overheads
    shape: ModelShape
    precision: Precision
    arithmetic: str
    kv_bytes_per_value: float
    num_processors: int

    def cost(self, batch: Sequence[WorkSize]) -> StepCost:
        """What one step takes."""
        hardware, reached, shape, count = self.hardware, self.overheads, self.shape, self.num_processors
        new_tokens = num_rows = 0
        has_prompt = False
        for work in batch:
            new_tokens += work.new_tokens
            num_rows += work.num_rows
            has_prompt = has_prompt or work.new_tokens - work.num_rows >= PROMPT_TOKENS
        flops, kv_values = shape.batch_work(batch, new_tokens, num_rows)
        weights = self.streamed_bytes(new_tokens, num_rows)
        kv_bytes = kv_values * self.kv_bytes_per_value
        flop_rate = hardware.peak_flops[self.arithmetic] * reached.compute_efficiency[self.arithmetic] * count
        byte_rate = hardware.memory_bandwidth_bytes_per_s * reached.bandwidth_efficiency * count
        arithmetic_s = flops / (flop_rate * self.precision.compute_share)
        weights_s = weights / byte_rate
        kv_s = kv_bytes / (byte_rate * reached.kv_efficiency)
        layer_s = reached.layer_s + (reached.prompt_layer_s if has_prompt else 0.0)
        return StepCost(
            kernels_s=(arithmetic_s**2 + (weights_s + kv_s) ** 2) ** 0.5,
            arithmetic_s=arithmetic_s,
            weights_s=weights_s,
            kv_s=kv_s,
            layers_s=layer_s * shape.layers,
            sequences_s=reached.sequence_s * len(batch),
            step_s=reached.step_s,
            all_reduce_s=self._all_reduce_s(new_tokens),
            flops=flops,
            weights_bytes=weights,
            kv_bytes=kv_bytes,
        )

    def streamed_bytes(self, new_tokens: int, num_rows: int) -> float:
        """Weights that a step reads: all matrices it uses once, the output head if it wants rows, no embedding."""
        layers = self.shape.streamed_layer_parameters(new_tokens) * self.precision.bytes_per_weight
        head = self.shape.head_parameters * self.precision.head_bytes_per_weight if num_rows else 0.0
        return layers + head

    def stored_bytes(self) -> float:
        """Weights in memory, embedding included."""
        shape, precision = self.shape, self.precision
        layers = shape.layer_parameters + (
            shape.num_experts * shape.expert_parameters if shape.num_experts > 1 else 0.0
        )
        outside = shape.parameters - layers
        return layers * precision.bytes_per_weight + outside * precision.head_bytes_per_weight

    def _all_reduce_s(self, new_tokens: int) -> float:
        """Two exchanges a layer of 16-bit activations around a ring of processors."""
        count = self.num_processors
        if count == 1:
            return 0.0
        exchanged = 2.0 * (count - 1) / count * new_tokens * self.shape.hidden * 2.0
        each_s = self.overheads.all_reduce_s + exchanged / self.hardware.interconnect_bytes_per_s
        return 2.0 * self.shape.layers * each_s

    def power_w(self, cost: StepCost) -> float:
        """Power above idle that the processors draw together during a step [W]."""
        numbers, hardware = self.hardware.numbers, self.hardware
        total_s = cost.seconds
        if total_s <= 0:
            return 0.0
        share: float = (
            numbers["active_share"]
            + (
                numbers["memory_share"] * cost.memory_s
                + numbers["compute_share"] * cost.arithmetic_s
                + numbers["sequence_share"] * cost.sequences_s
            )
            / total_s
        )
        return (hardware.peak_power_w - hardware.idle_power_w) * min(1.0, share) * self.num_processors

    def work_of(self, batch: Sequence[WorkSize]) -> list[float]:
        """Seconds of a step by item: operations and cached bytes by what each asks for, weights by its tokens.

        Costs of sequences are equal; what belongs to no item (layers, step, exchange) follows the tokens.
        """
        cost, shape = self.cost(batch), self.shape
        new_tokens = sum(work.new_tokens for work in batch)
        by_flop = cost.arithmetic_s / cost.flops if cost.flops else 0.0
        by_value = cost.kv_s * self.kv_bytes_per_value / cost.kv_bytes if cost.kv_bytes else 0.0
        common_s = (cost.weights_s + cost.layers_s + cost.step_s + cost.all_reduce_s) / max(1, new_tokens)
        each_s = cost.sequences_s / len(batch)
        asked = shape.item_work(batch)
        return [
            by_flop * flops + by_value * values + common_s * work.new_tokens + each_s
            for work, (flops, values) in zip(batch, asked, strict=True)
        ]
