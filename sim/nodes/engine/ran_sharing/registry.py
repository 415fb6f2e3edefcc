"""The sharing modes that YAML may name, and what a mode decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from sim.core.registry import Registry


class SharingMode(ABC):
    """How layer 1 and a model share one GPU.

    Args:
        settings: Keys of ``ran_sharing``.

    Attributes:
        compute_share: Share of the arithmetic that the model has at all times.
        memory_share: Share of memory and bandwidth, likewise.
    """

    compute_share: float = 1.0
    memory_share: float = 1.0

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def layer1_s(self, alone_s: float, is_busy: bool, since_s: float) -> float:
        """Time from a slot's work being there to its end [s].

        Args:
            alone_s: What it takes on the whole GPU.
            is_busy: Whether a step of the model is under way.
            since_s: For how long it has been.
        """

    @abstractmethod
    def lost_s(self, alone_s: float) -> float:
        """Time by which a slot's work delays a step of the model that is under way [s].

        Args:
            alone_s: What the slot's work takes on the whole GPU; more than 0.
        """


SHARING_MODES: Registry[Callable[[Any], SharingMode]] = Registry("sharing mode", "sim.nodes.engine.ran_sharing")
