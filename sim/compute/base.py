"""What a piece of model work costs: seconds and joules, from the sizes of the forward passes alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class WorkSize:
    """The size of one forward pass, or of one sequence's part of a batched one; all that its price depends on.

    Attributes:
        new_tokens: Tokens fed to the model (those that its cache lacks).
        context_tokens: Length of the text that they attend to, themselves included.
        num_rows: Rows of logits computed; 0 for a chunk of a prompt that others follow.
    """

    new_tokens: int
    context_tokens: int
    num_rows: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a batch of forward passes costs.

    Attributes:
        seconds: Time during which the processor is busy with the batch.
        joules: Energy above idle.
    """

    seconds: float
    joules: float


class ComputeModel(ABC):
    """Prices batches of forward passes of one model at one site.

    A batch may mix decoding, verification and chunks of prompts: an item for each sequence that takes part.

    Attributes:
        needs_wall_clock: No price follows from sizes: time the forward passes as they run and ask ``price_measured``.
        idle_power_w: Power that the site's hardware draws whether it computes or not [W]; 0 where nothing is known.
        weights_bytes: Memory that the model's weights fill, all processors together; None where nothing is known.
        kv_bytes_per_token: Memory that keys and values of one token of one sequence fill, likewise.
        memory_bytes: Memory that weights, keys and values may fill, likewise.
        system_memory_share: Share of the hardware's memory that the operating system has and ``memory_bytes`` lacks.
        notes: What the user should know of how prices were found, a sentence each.
    """

    needs_wall_clock: ClassVar[bool] = False
    idle_power_w: float = 0.0
    weights_bytes: float | None = None
    kv_bytes_per_token: float | None = None
    memory_bytes: float | None = None
    system_memory_share: float = 0.0
    notes: tuple[str, ...] = ()

    @abstractmethod
    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Seconds and joules of one batched forward pass; the batch is not empty."""

    def price_measured(self, seconds: float) -> Cost:
        """Cost of a batched forward pass that took ``seconds`` on this host; only where ``needs_wall_clock``."""
        raise TypeError(f"{type(self).__name__} prices by size, not by the {seconds} s that were measured")

    def work_of(self, batch: Sequence[WorkSize]) -> list[float]:
        """How much of a batch's work each item is, in any unit: new tokens, unless a model of cost knows better."""
        return [float(work.new_tokens) for work in batch]

    def split(self, batch: Sequence[WorkSize], joules: float) -> list[float]:
        """Energy of a batch by item, in proportion to the work; the parts add up to ``joules`` but for rounding."""
        if len(batch) == 1:
            return [joules]
        work = self.work_of(batch)
        total = sum(work)
        return [joules * part / total if total > 0 else joules / len(batch) for part in work]

    def kv_capacity_tokens(self, memory_share: float = 0.9) -> int | None:
        """Tokens whose keys and values fit beside the weights; None where nothing is known.

        Args:
            memory_share: Share of the memory that weights, keys and values may fill together.
        """
        if self.memory_bytes is None or self.weights_bytes is None or not self.kv_bytes_per_token:
            return None
        return max(0, int((self.memory_bytes * memory_share - self.weights_bytes) // self.kv_bytes_per_token))

    def describe(self) -> dict[str, object]:
        """What was assumed, for the manifest: kind, coefficients, fit errors, sources."""
        return {}

    def basis(self) -> dict[str, object]:
        """What of it prices depend on, which a run's address holds: no names of files, no words about them."""
        return self.describe()


def idle_power_w(cost_models: Iterable[ComputeModel]) -> float:
    """What the hardware of one site draws at rest [W]: models share it, so the largest of theirs."""
    return max((model.idle_power_w for model in cost_models), default=0.0)
