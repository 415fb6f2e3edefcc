"""What layer 1 of a slot takes on a GPU: fixed, and by PRB and layer, and by code block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sim.compute.hardware import hardware_of
from sim.core.yaml_text import read_values

_FILE = Path(__file__).with_name("layer1_cost.yaml")


@dataclass(frozen=True)
class Load:
    """Layer-1 work of a slot.

    Attributes:
        prb_layers: PRBs times layers, over all blocks.
        code_blocks: LDPC code blocks of them.
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
    """

    fixed_s: float
    per_prb_layer_s: float
    per_code_block_s: float
    peak: Load

    def seconds(self, load: Load) -> float:
        """Time of a slot with this work; an idle one takes none."""
        if load.prb_layers <= 0:
            return 0.0
        return self.fixed_s + self.per_prb_layer_s * load.prb_layers + self.per_code_block_s * load.code_blocks


@cache
def layer1_cost(gpu: str) -> Layer1Cost:
    """The cost on named hardware: the A100's, scaled by memory bandwidth, which is an assumption.

    Raises:
        InputError: No such hardware.
    """
    data: dict[str, Any] = read_values(_FILE.read_text(encoding="utf-8"))
    measured = hardware_of(data["gpu"]).memory_bandwidth_bytes_per_s
    scale = measured / hardware_of(gpu).memory_bandwidth_bytes_per_s
    peak = Load(data["peak_prb_layers"], data["peak_code_blocks"])
    fixed_s, prb_s, block_s = (float(data[name]) * scale for name in ("fixed_s", "per_prb_layer_s", "per_code_block_s"))
    return Layer1Cost(fixed_s, prb_s, block_s, peak)
