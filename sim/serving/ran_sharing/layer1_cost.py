"""What layer 1 of a slot takes on a GPU: fixed, and by PRB and layer, and by code block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.compute.hardware import hardware_of
from sim.core.yaml_text import read_values

_FILE = Path(__file__).with_name("layer1_cost.yaml")


@dataclass(frozen=True)
class Load:
    """Layer-1 work of a slot.

    Attributes:
        prb_layers: PRBs times layers, over all blocks, as if each cell had four antennas.
        code_blocks: LDPC code blocks of them, as if each took ten iterations.
    """

    prb_layers: float = 0.0
    code_blocks: float = 0.0

    def plus(self, other: Load) -> Load:
        """Both together."""
        return Load(self.prb_layers + other.prb_layers, self.code_blocks + other.code_blocks)


@dataclass(frozen=True)
class Layer1Cost:
    """Time of a whole GPU.

    Attributes:
        fixed_s: Of each slot with any block [s].
        per_prb_layer_s: Of each PRB and layer [s].
        per_code_block_s: Of each code block [s].
        peak: Work of a slot of a cell that is full, 273 PRBs with 4 layers at the highest MCS.
        antennas: Antennas of a base station that this holds for; what PRBs take goes with them.
        ldpc_iterations: Iterations of the decoder that this holds for; what code blocks take goes with them.
        busy_w: What the GPU draws above idle while layer 1 works [W].
        idle_w: What it draws at rest [W].
    """

    fixed_s: float
    per_prb_layer_s: float
    per_code_block_s: float
    peak: Load
    antennas: int
    ldpc_iterations: float
    busy_w: float
    idle_w: float

    def seconds(self, load: Load) -> float:
        """Time of a slot with this work; an idle one takes none."""
        if load.prb_layers <= 0:
            return 0.0
        return self.fixed_s + self.per_prb_layer_s * load.prb_layers + self.per_code_block_s * load.code_blocks

    def load(self, full_cells: float) -> Load:
        """Work of a slot of so many full cells."""
        return Load(full_cells * self.peak.prb_layers, full_cells * self.peak.code_blocks)

    def seconds_of(self, full_cells: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Times of slots with so many full cells, [n] each."""
        peak = self.peak
        each_s = self.per_prb_layer_s * peak.prb_layers + self.per_code_block_s * peak.code_blocks
        return np.where(full_cells > 0, self.fixed_s + each_s * full_cells, 0.0)


@cache
def layer1_cost(gpu: str) -> Layer1Cost:
    """The cost on named hardware: the A100's, scaled by memory bandwidth, which is an assumption.

    Power is that of the roofline for a kernel that is bound by memory traffic, an assumption too.

    Raises:
        InputError: No such hardware.
    """
    data: dict[str, Any] = read_values(_FILE.read_text(encoding="utf-8"))
    hardware, measured = hardware_of(gpu), hardware_of(data["gpu"])
    scale = measured.memory_bandwidth_bytes_per_s / hardware.memory_bandwidth_bytes_per_s
    busy_share = min(1.0, hardware.numbers["active_share"] + hardware.numbers["memory_share"])
    fixed_s, prb_s, block_s = (float(data[name]) * scale for name in ("fixed_s", "per_prb_layer_s", "per_code_block_s"))
    return Layer1Cost(
        fixed_s,
        prb_s,
        block_s,
        Load(data["peak_prb_layers"], data["peak_code_blocks"]),
        int(data["antennas"]),
        float(data["ldpc_iterations"]),
        (hardware.peak_power_w - hardware.idle_power_w) * busy_share,
        hardware.idle_power_w,
    )
