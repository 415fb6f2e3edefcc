"""What a piece of model work costs: seconds and joules, from the sizes of the forwards alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class WorkSize:
    """The size of one forward, all that its price depends on.

    Attributes:
        new_tokens: Tokens fed to the model (those that its cache lacks).
        context_tokens: Length of the text that they attend to, themselves included.
        num_rows: Rows of logits computed.
    """

    new_tokens: int
    context_tokens: int
    num_rows: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a batch of forwards costs.

    Attributes:
        seconds: Time during which the processor is busy with the batch.
        joules: Energy above idle.
    """

    seconds: float
    joules: float


class ComputeModel(ABC):
    """Prices batches of forwards of one model at one site.

    Attributes:
        needs_wall_clock: Sizes do not tell the price: time the forwards as they run and ask ``price_measured``.
    """

    needs_wall_clock: ClassVar[bool] = False

    @abstractmethod
    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Seconds and joules of one batched forward; the batch is not empty."""

    def price_measured(self, seconds: float) -> Cost:
        """Cost of a batched forward that took ``seconds`` on this host; only where ``needs_wall_clock``."""
        raise TypeError(f"{type(self).__name__} prices by size, not by the {seconds} s that were measured")

    def describe(self) -> dict[str, object]:
        """What was assumed, for the manifest: kind, coefficients, fit errors, sources."""
        return {}
