"""The handover policies that YAML may name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from sim.core.registry import Registry


class Decision(StrEnum):
    """What becomes of a request whose device is served by a cell of another site from now on."""

    STAY = "stay"
    """Its site stays the same, and its messages take the longer path."""
    CARRY = "carry"
    """Its keys and values are sent to the new site."""
    RECOMPUTE = "recompute"
    """The new site computes them from the text."""


class Move(NamedTuple):
    """What is known of a possible move when it is decided about.

    Attributes:
        tokens: Tokens of text whose keys and values the old site holds.
        transfer_s: Time until the new site could go on with keys and values that are sent to it now.
        prefill_s: Time that the new site would need to compute them if it had nothing else to do.
    """

    tokens: int
    transfer_s: float
    prefill_s: float


class HandoverPolicy(ABC):
    """Decides about each handover.

    Attributes:
        may_carry: Whether it ever has keys and values sent, whose size must then be known.
    """

    may_carry: bool = False

    @abstractmethod
    def decide(self, move: Move) -> Decision:
        """What becomes of the request."""


HANDOVERS: Registry[Callable[[], HandoverPolicy]] = Registry("handover policy", "sim.serving.handover")
