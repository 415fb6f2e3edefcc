"""The sharing modes that YAML may name, and what a mode decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sim.core.registry import Registry

Seconds = TypeVar("Seconds", float, npt.NDArray[np.float64])
"""One time, or many of them, [n]."""


class SharingMode(ABC):
    """How layer 1 and a model share one GPU.

    Args:
        settings: Keys of ``ran_sharing``.

    Attributes:
        compute_share: Share of the arithmetic that the model has at all times.
        memory_share: Share of memory and bandwidth, likewise.
        num_gpus: GPUs that both have together.
        is_movable: Whether an orchestrator can change what layer 1 has.
        follows_steps: Whether a slot's time depends on how long a step has been under way.
    """

    compute_share: float = 1.0
    memory_share: float = 1.0
    num_gpus: int = 1
    is_movable: bool = False
    follows_steps: bool = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    def layer1_share(self) -> float:
        """Share of the GPU that is kept for layer 1; 0 where nothing is."""
        return 0.0

    def move(self, share: float) -> None:
        """Keep at least this share of the GPU for layer 1 from now on."""
        raise NotImplementedError

    def memory_share_at(self, share: float) -> float:  # noqa: ARG002
        """Share of the memory that the model has when layer 1 has this share of the GPU."""
        return self.memory_share

    @abstractmethod
    def layer1_s(self, alone_s: Seconds, is_busy: bool, since_s: Seconds) -> Seconds:
        """Time from a slot's work being there to its end [s].

        Args:
            alone_s: What it takes on the whole GPU; of one slot or of many.
            is_busy: Whether a step of the model is under way.
            since_s: For how long it has been.
        """

    @abstractmethod
    def lost_s(self, alone_s: Seconds) -> Seconds:
        """Time by which a slot's work delays a step of the model that is under way [s].

        Args:
            alone_s: What the slot's work takes on the whole GPU, more than 0; of one slot or of many.
        """


SHARING_MODES: Registry[Callable[[Any], SharingMode]] = Registry("sharing mode", "sim.serving.ran_sharing")
