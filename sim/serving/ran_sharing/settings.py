"""Keys of ``edge.ran_sharing``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sim.compute.hardware import hardware_of
from sim.core.errors import InputError
from sim.core.selection import SelectedFrom, Selection
from sim.core.settings import Settings
from sim.serving.ran_sharing.load_profiles import profile_factors
from sim.serving.ran_sharing.orchestrators.base import Orchestrator
from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS
from sim.serving.ran_sharing.registry import SHARING_MODES

# As YAML has it.
_STATIC: Any = "static"


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
    """What each of them does in a slot in which it has data, as a share of a full slot."""
    other_active_share: float = Field(default=1.0, ge=0, le=1)
    """Probability with which each of them has data in a slot, independently."""
    other_profile: str | list[float] | None = None
    """What `other_active_share` or `other_load` is multiplied by, by time of day: factors from 0 to 1, each over an
    equal part of the day; or `residential`, measured at towers in residential areas (Xu et al., 2017)."""
    other_profile_scales: Literal["activity", "load"] = "activity"
    """`activity`: the profile multiplies `other_active_share`, so that slots are as full as ever and fewer; `load`: it
    multiplies `other_load`, so that all slots are less full."""
    day_s: float = Field(default=86_400.0, gt=0, le=1e6)
    """Length of a day; a shorter one passes through the same hours faster."""
    day_begins_s: float = Field(default=0.0, ge=0, le=1e6)
    """Time of the day at which the run begins."""
    ldpc_iterations: float = Field(default=10.0, gt=0, le=100)
    """Iterations in which an uplink block is decoded; layer 1's time of its code blocks goes with them."""
    max_ldpc_iterations: float = Field(default=20.0, gt=0, le=100)
    """Iterations after which an uplink block that is not decoded is given up."""
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

    orchestrator: Annotated[Selection, SelectedFrom(ORCHESTRATORS, "name")] = Field(
        default=_STATIC, validate_default=True
    )
    """What moves the shares of `mig` and `mps` every `period_s`, `name` and its own keys: `static` (nothing),
    `time_of_day`, `prb_load`, `slo_deficit`, or `module:Name`."""
    period_s: float = Field(default=1.0, ge=1e-3, le=1e6)
    """Time between two decisions of the orchestrator."""
    change_s: float = Field(default=0.1, ge=0, le=1e4)
    """Time for which the model stands still when shares change: its process starts anew on the other slices."""
    min_layer1_share: float = Field(default=1 / 7, gt=0, lt=1)
    """Least share of the GPU that an orchestrator may keep for layer 1."""
    max_layer1_share: float = Field(default=4 / 7, gt=0, lt=1)
    """Largest share likewise; the model's keys and values have the memory that is left then, all the time."""

    @property
    def is_moved(self) -> bool:
        """Whether an orchestrator acts."""
        return self.orchestrator.name != "static"

    def make_orchestrator(self) -> Orchestrator | None:
        """The orchestrator, or None if nothing moves."""
        return self.orchestrator.entry.make(self.orchestrator.settings) if self.is_moved else None

    @field_validator("other_profile")
    @classmethod
    def _profile_is_known(cls, profile: str | list[float] | None) -> str | list[float] | None:
        if profile is not None:
            try:
                profile_factors(profile)
            except InputError as error:
                raise ValueError(str(error)) from error
        return profile

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.min_layer1_share > self.max_layer1_share:
            raise ValueError("min_layer1_share must not be above max_layer1_share")
        if self.is_moved and not getattr(SHARING_MODES.find(self.mode).make, "is_movable", True):
            raise ValueError(f"orchestrator moves shares that {self.mode} does not have; valid: mode mig or mps")
        return self

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
