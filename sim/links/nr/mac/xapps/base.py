"""What a controller is: one method that turns a measurement report into weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Indication:
    """What cells and devices have done in one period.

    Attributes:
        time_s: End of the period.
        cells: The rows of ``kpm.csv``.
        uplink_bits, downlink_bits: Data received from and by each device, [num_devices].
        uplink_prb, downlink_prb: PRBs of its transmissions, [num_devices].
        weights: Weights as they are, [num_devices].
    """

    time_s: float
    cells: list[dict[str, float]]
    uplink_bits: Array
    downlink_bits: Array
    uplink_prb: Array
    downlink_prb: Array
    weights: Array


class XApp(ABC):
    """A controller of the scheduler's weights, one object for all cells."""

    @abstractmethod
    def weights(self, indication: Indication) -> Array:
        """Weight of each device from now on, positive, [num_devices]; 1 is neutral."""
