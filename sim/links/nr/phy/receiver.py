"""Which blocks of a slot are decoded: ideally all, or by SINR, EESM, soft combining and block error curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from sim.links.base import Direction
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.uniform_stream import UniformStream

if TYPE_CHECKING:
    pass

Array = npt.NDArray[np.float64]


class Receiver(Protocol):
    """Decides about all blocks of one direction in one slot."""

    def receive(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:
        """Set ``received`` (and what is combined) of each block."""

    def expect(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:  # noqa: ARG002
        """These blocks will probably be sent in a slot to come; those who know no channel do nothing."""
        return


class IdealReceiver(Receiver):
    """Decodes everything, but for an independent error of every attempt.

    Args:
        block_error_rate: Probability that an attempt fails.
        uniforms: One uniform number per attempt, by direction.
    """

    def __init__(self, block_error_rate: float, uniform: dict[Direction, UniformStream]) -> None:
        self._error_rate = block_error_rate
        self._uniforms = uniform

    def receive(self, direction: Direction, slot: int, blocks: list[TransportBlock]) -> None:  # noqa: ARG002
        """Set ``received`` of each block."""
        uniform = self._uniforms[direction]
        for block in blocks:
            block.received = self._error_rate <= 0 or uniform.next(block.device) >= self._error_rate
