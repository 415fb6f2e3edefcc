"""Compute of named hardware running a named model size, by the roofline model.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009. A forward
takes as long as the slower of its arithmetic and its memory traffic. The tokens still come from the models at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.hardware import Hardware, ModelSize, find_hardware, find_model_size
from sim.compute.registry import COMPUTE
from sim.compute.roles import PerRole, RoleSettings, single
from sim.core.errors import InputError, unknown_name_message
from sim.models.interface import LanguageModel


class RooflineSettings(RoleSettings):
    """Keys of ``roofline``."""

    hardware: str
    """Named hardware, such as ``jetson-orin-nano``; ``specran list hardware`` shows all."""
    model_size: PerRole[str | float] | None = None
    """Size of the model that the time is for: a listed one such as ``8B``, or a number of parameters; or a size for
    each model role that runs here, such as ``{draft: 160M, target: 7B}``. Without it, the parameter count of the model
    at hand."""
    bytes_per_weight: PerRole[Annotated[float, Field(gt=0, le=8)]] = 2.0
    """Stored bytes per weight: 2 for fp16 and bf16, 1 for int8 and fp8, 0.5 for 4 bits; or a value for each role."""
    bytes_per_cached_value: float = Field(default=2.0, gt=0, le=8)
    """Stored bytes per value of the key-value cache."""
    arithmetic: str = "auto"
    """Arithmetic whose peak counts, such as ``fp16`` or ``int8``. ``auto``: fp16 (weights are unpacked for it), or what
    the hardware has instead."""
    num_processors: PerRole[Annotated[int, Field(ge=1, le=1024)]] = 1
    """Processors that share every layer (tensor parallel); ideal, their communication costs nothing. One number, or a
    value for each role."""
    compute_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of the arithmetic peak that is reached; the hardware's own if not set."""
    bandwidth_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of the memory bandwidth that is reached; the hardware's own if not set."""
    overhead_s: float | None = Field(default=None, ge=0)
    """Time of a forward beyond arithmetic and memory traffic [s]; the hardware's own if not set."""
    power_w: float | None = Field(default=None, ge=0)
    """Power of one processor above idle while a forward runs [W]; the hardware's own if not set."""

    @field_validator("hardware")
    @classmethod
    def _hardware_is_known(cls, name: str) -> str:
        try:
            return find_hardware(name).name
        except InputError as error:
            raise ValueError(str(error)) from error

    @field_validator("model_size")
    @classmethod
    def _sizes_are_known(cls, sizes: PerRole[str | float] | None) -> PerRole[str | float] | None:
        try:
            for size in sizes.values() if isinstance(sizes, dict) else [sizes]:
                if size is not None:
                    find_model_size(size)
        except InputError as error:
            raise ValueError(str(error)) from error
        return sizes

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        """What is said of a model must be possible on this hardware, whichever role has it."""
        if self.model_size is not None:
            try:
                for role in self.roles_given():
                    make_roofline(self.for_role(role), None)
            except InputError as error:
                raise ValueError(str(error)) from error
        return self

    def problem_together(self, roles: Sequence[str]) -> str | None:
        """Models need sizes of their own, and must fit side by side."""
        if self.model_size is None:
            return None
        if not isinstance(self.model_size, dict):
            return self._one_size_for(roles)
        alone = [self.for_role(role) for role in roles]
        sizes = [keys.model_size for keys in alone]
        filled = sum(
            find_model_size(single(size)).parameters * single(keys.bytes_per_weight) / single(keys.num_processors)
            for size, keys in zip(sizes, alone, strict=True)
            if size is not None
        )
        memory = find_hardware(self.hardware).memory
        if filled <= memory:
            return None
        names = " and ".join(f"{role} {size}" for role, size in zip(roles, sizes, strict=True))
        return (
            f"models of sizes {names} fill {filled / 1e9:.1f} GB of each processor together, and {self.hardware} has "
            f"{memory / 1e9:g} GB: use fewer bytes per weight or more processors"
        )

    def _one_size_for(self, roles: Sequence[str]) -> str | None:
        """One size for several models would price a draft as its target; says how each gets its own."""
        if len(roles) < 2:
            return None
        names = f"{', '.join(roles[:-1])} and {roles[-1]}"
        sizes = {"draft": "160M", "middle": "0.5B", "target": "7B"}
        each = ", ".join(f"{role}: {sizes.get(role, '1B')}" for role in roles)
        return (
            f"model_size {self.model_size} would price {names} model alike; give each its own, such as "
            f"model_size: {{{each}}}, or leave the key out for the sizes of the models at hand"
        )


class RooflineCompute(ComputeModel):
    """seconds = max(flops / (peak * efficiency), bytes / (bandwidth * efficiency)) + overhead.

    Bytes are all weights once per batch and the cached keys and values of every text; joules = power * seconds.

    Args:
        hardware: What it runs on; its efficiencies, overhead and power are taken as they are.
        size: What model runs.
        bytes_per_weight: Stored bytes per weight.
        bytes_per_cached_value: Stored bytes per value of the key-value cache.
        arithmetic: Whose peak counts; a key of ``hardware.peak_flops``.
        num_processors: How many share the work ideally.

    Raises:
        InputError: The hardware does not have this arithmetic, or its memory does not hold the weights.
    """

    def __init__(
        self,
        hardware: Hardware,
        size: ModelSize,
        bytes_per_weight: float = 2.0,
        bytes_per_cached_value: float = 2.0,
        arithmetic: str = "auto",
        num_processors: int = 1,
    ) -> None:
        if arithmetic == "auto":
            arithmetic = "fp16" if "fp16" in hardware.peak_flops else next(iter(hardware.peak_flops))
        if arithmetic not in hardware.peak_flops:
            raise InputError(
                unknown_name_message(f"arithmetic of {hardware.name}", arithmetic, ["auto", *hardware.peak_flops])
            )
        self.weight_bytes = size.parameters * bytes_per_weight
        if self.weight_bytes > hardware.memory * num_processors:
            raise InputError(
                f"a model of size {size.name} at {bytes_per_weight:g} bytes per weight fills "
                f"{self.weight_bytes / 1e9:.1f} GB, and {num_processors} x {hardware.name} has "
                f"{hardware.memory * num_processors / 1e9:g} GB: use fewer bytes per weight or more processors"
            )
        self.weights_bytes = self.weight_bytes
        self.kv_bytes_per_token = size.kv_bytes(1, bytes_per_cached_value)
        self.memory_bytes = hardware.memory * num_processors
        self.hardware = hardware
        self.size = size
        self.bytes_per_weight = bytes_per_weight
        self.bytes_per_cached_value = bytes_per_cached_value
        self.arithmetic = arithmetic
        self.num_processors = num_processors
        self._flop_rate = hardware.peak_flops[arithmetic] * hardware.compute_efficiency * num_processors  # [1/s]
        self._byte_rate = hardware.memory_bandwidth * hardware.bandwidth_efficiency * num_processors  # [byte/s]

    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Cost by the roofline."""
        flops = sum(self.size.flops(work.new_tokens, work.context_tokens, work.num_rows) for work in batch)
        cached = sum(self.size.kv_bytes(work.context_tokens, self.bytes_per_cached_value) for work in batch)
        busy_s = max(flops / self._flop_rate, (self.weight_bytes + cached) / self._byte_rate)
        seconds = busy_s + self.hardware.overhead_s
        return Cost(seconds, seconds * self.hardware.power_w * self.num_processors)

    def describe(self) -> dict[str, object]:
        """Every number that a price depends on, and the sources of the hardware's."""
        return {
            "kind": "roofline",
            "hardware": asdict(self.hardware),
            "model_size": asdict(self.size),
            "bytes_per_weight": self.bytes_per_weight,
            "bytes_per_cached_value": self.bytes_per_cached_value,
            "arithmetic": self.arithmetic,
            "num_processors": self.num_processors,
        }


@COMPUTE.register("roofline", RooflineSettings)
def make_roofline(settings: RooflineSettings, model: LanguageModel | None = None) -> RooflineCompute:
    """Named hardware running a named model size, from public peak figures with sources."""
    wanted = None if settings.model_size is None else single(settings.model_size)
    if wanted is None:
        if model is None:
            raise InputError("roofline needs model_size where there is no model at hand")
        wanted = float(model.num_parameters)
    hardware = find_hardware(settings.hardware)
    for name in ("compute_efficiency", "bandwidth_efficiency", "overhead_s", "power_w"):
        value = getattr(settings, name)
        if value is not None:
            sources = {**hardware.sources, name: "set in the scenario"}
            changes: dict[str, Any] = {name: value, "sources": sources}
            hardware = replace(hardware, **changes)
    return RooflineCompute(
        hardware,
        find_model_size(wanted),
        single(settings.bytes_per_weight),
        settings.bytes_per_cached_value,
        settings.arithmetic,
        single(settings.num_processors),
    )
