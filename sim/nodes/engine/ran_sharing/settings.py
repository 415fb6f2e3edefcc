"""Keys of ``edge.ran_sharing``."""

from __future__ import annotations

from pydantic import Field, field_validator

from sim.compute.hardware import hardware_of
from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.nodes.engine.ran_sharing.registry import SHARING_MODES


class RanSharingSettings(Settings):
    """Layer 1 of the link's cells on a GPU: its load, its deadline, and how it shares the GPU with the model."""

    mode: str = "priority"
    """`dedicated` (a GPU for each), `mig` (fixed slices), `mps` (at the same time by weights), `time_slice` (turns), or
    `priority` (layer 1 preempts between kernels)."""
    gpu: str = "a100"
    """Named hardware that layer 1 runs on; its cost is the A100's, scaled by memory bandwidth."""
    deadline_s: float = Field(default=500e-6, gt=0, le=0.01)
    """Time in which the work of a slot must be done; blocks of a slot that is late are lost, and HARQ repeats them."""
    other_cells: int = Field(default=0, ge=0, le=100)
    """Further cells of 4T4R, 100 MHz on the same GPU that are not simulated."""
    other_load: float = Field(default=0.5, ge=0, le=1)
    """What each of them does in every slot, as a share of a full slot."""
    layer1_compute_slices: int = Field(default=3, ge=1, le=6)
    """`mig`: slices of arithmetic that layer 1 has, of 7."""
    layer1_memory_slices: int = Field(default=4, ge=1, le=7)
    """`mig`: slices of memory and bandwidth that layer 1 has, of 8."""
    layer1_weight: float = Field(default=0.5, gt=0, lt=1)
    """`mps`: share of the GPU that layer 1 has while both work."""
    interference: float = Field(default=0.1, ge=0, le=10)
    """`mps`: by which share both are slower for want of bandwidth while both work."""
    slice_s: float = Field(default=0.002, gt=0, le=1)
    """`time_slice`: length of a turn."""
    switch_s: float = Field(default=20e-6, ge=0, le=0.01)
    """`time_slice`: cost of a change of turn."""
    kernel_s: float = Field(default=30e-6, ge=0, le=0.01)
    """`priority`: longest kernel of the model that layer 1 waits for."""
    relaunch_s: float = Field(default=10e-6, ge=0, le=0.01)
    """`priority`: what the model loses beside the time of layer 1 each time."""

    @field_validator("mode")
    @classmethod
    def _mode_is_known(cls, name: str) -> str:
        try:
            return SHARING_MODES.find(name).name
        except InputError as error:
            raise ValueError(str(error)) from error

    @field_validator("gpu")
    @classmethod
    def _gpu_is_known(cls, name: str) -> str:
        try:
            return hardware_of(name).name
        except InputError as error:
            raise ValueError(str(error)) from error
