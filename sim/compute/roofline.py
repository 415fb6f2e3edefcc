"""Compute of named hardware running a named model size, by the roofline of ``step_cost``.

The tokens still come from the models at hand; what they cost is what the named model would cost on the named hardware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.hardware import Hardware, HardwareChoice, hardware_of
from sim.compute.model_sizes import find_shape, shape_of_model
from sim.compute.registry import COMPUTE
from sim.compute.roles import PerRole, RoleSettings, single
from sim.compute.runtimes import Overheads, Precision, find_overheads, find_precision, precision_of_bytes
from sim.compute.shapes import ModelShape
from sim.compute.step_cost import StepCost, StepModel
from sim.core.errors import InputError, unknown_name_message
from sim.models.interface import LanguageModel

_LABELS = ("name", "source", "note")  # of a shape: what it is called
_HOW = ("own", "is_described")  # how hardware was put together, not what it is


class RooflineSettings(RoleSettings):
    """Keys of ``roofline``."""

    hardware: HardwareChoice
    """Named hardware, such as ``jetson-orin-nano`` (``specran list hardware`` shows all), or a block of keys that
    describes it, such as ``{like: h100, memory_gb: 94}`` or ``{hardware_class: gddr-gpu, memory_gb: 32}``."""
    model_size: PerRole[str | float] | None = None
    """Model that the time is for: a listed one by size or name (``8B``, ``Qwen3-14B``; ``specran list sizes``), a path
    to a ``config.json``, the id of a repository in the local Hugging Face cache, or a number of parameters; or one for
    each model role that runs here, such as ``{draft: 160M, target: 7B}``. Without it, the model at hand."""
    runtime: str = "auto"
    """Inference runtime, such as ``vllm`` or ``llama.cpp`` (``specran list runtimes``), which sets what is reached of
    the peaks and what a step costs beside them. ``auto``: the usual one of such hardware."""
    weights: PerRole[str] | None = None
    """Precision of the weights: ``fp16``, ``bf16``, ``fp8``, ``int8``, ``int4``, ``w4a16`` and others (``specran list
    precisions``), for their bytes, their arithmetic and what of its peak is reached; or one for each role. Without it,
    16 bits."""
    bytes_per_weight: PerRole[Annotated[float, Field(gt=0, le=8)]] | None = None
    """Stored bytes per weight, instead of those of ``weights``; or a value for each role. Without ``weights`` they are
    unpacked for 16-bit arithmetic."""
    bytes_per_cached_value: float = Field(default=2.0, gt=0, le=8)
    """Stored bytes per value of the key-value cache."""
    arithmetic: str = "auto"
    """Arithmetic whose peak counts, such as ``fp16`` or ``int8``. ``auto``: what weights of such precision are computed
    in, as far as the hardware has it."""
    num_processors: PerRole[Annotated[int, Field(ge=1, le=1024)]] = 1
    """Processors that share every layer (tensor parallel). One number, or a value for each role."""
    compute_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of the arithmetic peak that is reached; the runtime's and hardware's own if not set."""
    bandwidth_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of the memory bandwidth that is reached; the runtime's and hardware's own if not set."""
    kv_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of that bandwidth that reads of keys and values reach; the runtime's own if not set."""
    overhead_s: float | None = Field(default=None, ge=0, le=10)
    """Time of a step beyond arithmetic, memory traffic, layers and sequences [s]; the runtime's own if not set."""
    layer_s: float | None = Field(default=None, ge=0, le=1)
    """Cost of each layer beyond arithmetic and memory traffic [s]; the runtime's own if not set."""
    sequence_s: float | None = Field(default=None, ge=0, le=1)
    """Cost of each sequence of a step [s]; the runtime's own if not set."""
    all_reduce_s: float | None = Field(default=None, ge=0, le=1)
    """Cost of each exchange between processors that share a layer, two a layer, beside the transfer [s]; the runtime's
    own if not set."""
    power_w: float | None = Field(default=None, ge=0)
    """Power of one processor above idle while a step runs [W]; by load, between the hardware's idle and peak power, if
    not set."""

    @field_validator("hardware")
    @classmethod
    def _hardware_is_known(cls, choice: HardwareChoice) -> HardwareChoice:
        try:
            hardware_of(choice)
        except InputError as error:
            raise ValueError(str(error)) from error
        return choice

    @field_validator("model_size")
    @classmethod
    def _sizes_are_known(cls, sizes: PerRole[str | float] | None) -> PerRole[str | float] | None:
        try:
            for size in sizes.values() if isinstance(sizes, dict) else [sizes]:
                if size is not None:
                    find_shape(size)
        except InputError as error:
            raise ValueError(str(error)) from error
        return sizes

    @field_validator("weights")
    @classmethod
    def _precisions_are_known(cls, names: PerRole[str] | None) -> PerRole[str] | None:
        try:
            for name in names.values() if isinstance(names, dict) else [names]:
                if name is not None:
                    find_precision(name)
        except InputError as error:
            raise ValueError(str(error)) from error
        return names

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        """What the keys state of a model must be possible on this hardware, whichever role has it."""
        try:
            hardware = hardware_of(self.hardware)
            find_overheads(self.runtime, hardware)
            if self.model_size is not None:
                for role in self.roles_given():
                    price_model(self.for_role(role))
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    def problem_together(self, roles: Sequence[str]) -> str | None:
        """Models need sizes of their own, and must fit side by side."""
        if self.model_size is None:
            return None
        if not isinstance(self.model_size, dict):
            return self._one_size_for(roles)
        made = [price_model(self.for_role(role)) for role in roles]
        filled = sum(model.weights_bytes / model.num_processors for model in made)
        memory = made[0].hardware.memory_bytes
        if filled <= memory:
            return None
        names = " and ".join(f"{role} {model.shape.name}" for role, model in zip(roles, made, strict=True))
        return (
            f"models of sizes {names} fill {filled / 1e9:.1f} GB of each processor together, and "
            f"{made[0].hardware.name} has {memory / 1e9:.3g} GB for them: use fewer bytes per weight or more processors"
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

    def notes_of(self, role: str) -> tuple[str, ...]:
        """How the shape of a size was found, if it is not a listed one."""
        return () if self.model_size is None else price_model(self.for_role(role)).notes


class RooflineCompute(ComputeModel):
    """Prices steps by ``StepModel``; joules = power above idle by load * seconds.

    Args:
        step: Model, hardware and what is reached there.
        runtime: The runtime's name.
        power_w: Power of one processor above idle, whatever the load; None for power by load.
        sources: Where the runtime's figures come from.

    Raises:
        InputError: The memory does not hold the weights.
    """

    weights_bytes: float
    kv_bytes_per_token: float
    memory_bytes: float

    def __init__(
        self, step: StepModel, runtime: str, power_w: float | None = None, sources: dict[str, str] | None = None
    ) -> None:
        self.step = step
        self.runtime = runtime
        self.power_w = power_w
        self.sources = sources or {}
        self.hardware = step.hardware
        self.shape = step.shape
        self.num_processors = step.num_processors
        self.weights_bytes = step.stored_bytes()
        self.kv_bytes_per_token = step.shape.kv_values_per_token() * step.kv_bytes_per_value
        self.memory_bytes = step.hardware.memory_bytes * step.num_processors
        self.system_memory_share = step.hardware.system_memory_share
        self.idle_power_w = step.hardware.idle_power_w * step.num_processors
        self.notes = (step.shape.note,) if step.shape.note else ()
        if self.weights_bytes > self.memory_bytes:
            raise InputError(
                f"a model of size {step.shape.name} at {step.precision.bytes_per_weight:g} bytes per weight fills "
                f"{self.weights_bytes / 1e9:.1f} GB, and {step.num_processors} x {step.hardware.name} has "
                f"{self.memory_bytes / 1e9:.3g} GB for it: use fewer bytes per weight or more processors"
            )

    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Cost of one step."""
        cost = self.step.cost(batch)
        return Cost(cost.seconds, cost.seconds * self.drawn_w(cost))

    def drawn_w(self, cost: StepCost) -> float:
        """Power above idle, of all processors together [W]."""
        return self.step.power_w(cost) if self.power_w is None else self.power_w * self.num_processors

    def cost(self, batch: Sequence[WorkSize]) -> StepCost:
        """The parts of a step."""
        return self.step.cost(batch)

    def work_of(self, batch: Sequence[WorkSize]) -> list[float]:
        """Seconds of the step by item."""
        return self.step.work_of(batch)

    def describe(self) -> dict[str, object]:
        """Every number that a price depends on, and the sources of the hardware's and the runtime's."""
        step = self.step
        return {
            "kind": "roofline",
            "hardware": {key: value for key, value in asdict(step.hardware).items() if key not in _HOW},
            "runtime": self.runtime,
            "overheads": asdict(step.overheads),
            "overhead_sources": self.sources,
            "model_size": asdict(step.shape),
            "weights": {**asdict(step.precision), "arithmetics": list(step.precision.arithmetics)},
            "bytes_per_cached_value": step.kv_bytes_per_value,
            "arithmetic": step.arithmetic,
            "num_processors": step.num_processors,
            "power_w": self.power_w,
            "weights_bytes": self.weights_bytes,
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "memory_bytes": self.memory_bytes,
            "notes": list(self.notes),
        }

    def basis(self) -> dict[str, object]:
        """The same numbers, whatever the model that they are of is called and wherever its configuration lies."""
        shape = {key: value for key, value in asdict(self.step.shape).items() if key not in _LABELS}
        return {**self.describe(), "model_size": shape, "notes": []}


@COMPUTE.register("roofline", RooflineSettings)
def make_roofline(settings: RooflineSettings, model: LanguageModel | None = None) -> RooflineCompute:
    """Named hardware running a named model size, from public peak figures with sources."""
    return price_model(settings, model)


def price_model(settings: RooflineSettings, model: LanguageModel | None = None) -> RooflineCompute:
    """The cost model of one role's keys.

    Args:
        settings: The keys as they are for one role.
        model: The model at hand, whose shape counts where the keys name no size; None where there is none.

    Raises:
        InputError: Something is not listed, or does not fit.
    """
    hardware = hardware_of(settings.hardware)
    runtime, overheads, sources = find_overheads(settings.runtime, hardware)
    precision = _precision(settings)
    arithmetic = _arithmetic(settings.arithmetic, precision, hardware)
    overheads = _as_set(settings, overheads, arithmetic, sources)
    step = StepModel(
        hardware,
        overheads,
        _shape(settings, model),
        precision,
        arithmetic,
        settings.bytes_per_cached_value,
        single(settings.num_processors),
    )
    return RooflineCompute(step, runtime, settings.power_w, sources)


def _shape(settings: RooflineSettings, model: LanguageModel | None) -> ModelShape:
    wanted: Any = None if settings.model_size is None else single(settings.model_size)
    if wanted is not None:
        return find_shape(wanted)
    if model is None:
        raise InputError("roofline needs model_size where there is no model at hand")
    return shape_of_model(model.name, model.num_parameters)


def _precision(settings: RooflineSettings) -> Precision:
    name = None if settings.weights is None else single(settings.weights)
    given = None if settings.bytes_per_weight is None else single(settings.bytes_per_weight)
    if name is None:
        return find_precision("fp16") if given is None else precision_of_bytes(given)
    precision = find_precision(name)
    return precision if given is None else replace(precision, bytes_per_weight=given, head_bytes_per_weight=given)


def _arithmetic(wanted: str, precision: Precision, hardware: Hardware) -> str:
    if wanted != "auto":
        if wanted not in hardware.peak_flops:
            raise InputError(
                unknown_name_message(f"arithmetic of {hardware.name}", wanted, ["auto", *hardware.peak_flops])
            )
        return wanted
    able = [name for name in precision.arithmetics if name in hardware.peak_flops]
    return able[0] if able else next(iter(hardware.peak_flops))


def _as_set(settings: RooflineSettings, overheads: Overheads, arithmetic: str, sources: dict[str, str]) -> Overheads:
    """The runtime's figures, those that the scenario sets in their place."""
    if arithmetic not in overheads.compute_efficiency and settings.compute_efficiency is None:
        raise InputError(f"nothing is known of what share of the {arithmetic} peak is reached: set compute_efficiency")
    names = {
        "bandwidth_efficiency": "bandwidth_efficiency",
        "kv_efficiency": "kv_efficiency",
        "overhead_s": "step_s",
        "layer_s": "layer_s",
        "sequence_s": "sequence_s",
        "all_reduce_s": "all_reduce_s",
    }
    changes: dict[str, Any] = {
        name: value for key, name in names.items() if (value := getattr(settings, key)) is not None
    }
    if settings.compute_efficiency is not None:
        changes["compute_efficiency"] = {**overheads.compute_efficiency, arithmetic: settings.compute_efficiency}
    sources.update(dict.fromkeys(changes, "set in the scenario"))
    return replace(overheads, **changes)
