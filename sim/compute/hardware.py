"""Named hardware, and hardware that a scenario describes itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from sim.compute.data_files import HARDWARE_FILES, Sourced, read_table, sourced
from sim.core.errors import InputError, unknown_name_message
from sim.core.settings import Settings

_WORDS = ("title", "class", "typical", "runtime")
ARITHMETICS = ("fp32", "fp16", "fp8", "int8", "int4", "fp4")


@dataclass(frozen=True)
class Hardware:
    """A processor as the roofline sees it; figures are those of one of them.

    Attributes:
        name: What YAML calls it.
        title: What people call it.
        hardware_class: Its class, which determines the runtimes that run on it.
        runtime: The runtime that is meant where none is named.
        peak_flops: Dense operations per second by arithmetic, such as ``fp16``.
        memory_bandwidth_bytes_per_s: Bytes per second.
        memory_bytes: Memory that is not the operating system's.
        system_memory_share: Share of the whole memory that is.
        idle_power_w: Power drawn at rest [W].
        peak_power_w: Power drawn at most [W].
        interconnect_bytes_per_s: Each direction, between processors that share a layer.
        numbers: The other numbers of classes.yaml by their names there.
        own: Which of these are its own and not its class's.
        is_described: Whether a scenario describes it.
        sources: Where each number comes from.
    """

    name: str
    title: str
    hardware_class: str
    runtime: str
    peak_flops: dict[str, float]
    memory_bandwidth_bytes_per_s: float
    memory_bytes: float
    system_memory_share: float
    idle_power_w: float
    peak_power_w: float
    interconnect_bytes_per_s: float
    numbers: dict[str, Any]
    own: tuple[str, ...]
    is_described: bool
    sources: dict[str, str]


class HardwareBlock(Settings):
    """Hardware that a scenario describes itself, figures of one processor.

    What is not given is that of its class, or of the named hardware that it is ``like``.
    """

    title: str = "hardware of the scenario"
    """What people call it."""
    hardware_class: str | None = None
    """Class whose values are taken where none is given: `hbm-gpu`, `gddr-gpu`, `geforce`, `jetson`, `apple-gpu`, `npu`
    or `cpu`."""
    like: str | None = None
    """Named hardware whose values are taken where none is given; instead of hardware_class."""
    peak_tflops: dict[str, Annotated[float, Field(gt=0, le=1e6)]] | None = Field(default=None, min_length=1)
    """Dense operations per second by arithmetic, such as `{fp16: 312, int8: 624}` [10^12 per second]."""
    memory_bandwidth_gb_per_s: float | None = Field(default=None, gt=0, le=1e6)
    """Peak rate of its memory [10^9 byte/s]."""
    memory_gb: float | None = Field(default=None, gt=0, le=1e6)
    """Memory [10^9 byte]."""
    system_memory_share: float | None = Field(default=None, ge=0, lt=1)
    """Share of the memory that the operating system and others hold."""
    idle_power_w: float | None = Field(default=None, ge=0, le=1e5)
    """Power drawn at rest [W]."""
    peak_power_w: float | None = Field(default=None, gt=0, le=1e5)
    """Power drawn at most [W]."""
    interconnect_gb_per_s: float | None = Field(default=None, gt=0, le=1e5)
    """Rate between processors that share a layer, each direction [10^9 byte/s]."""
    compute_efficiency: dict[str, Annotated[float, Field(gt=0, le=1)]] | None = Field(default=None, min_length=1)
    """Share of each arithmetic's peak that is reached, such as `{fp16: 0.6}`."""
    bandwidth_efficiency: float | None = Field(default=None, gt=0, le=1)
    """Share of the memory's peak rate that is reached."""
    layer_s: float | None = Field(default=None, ge=0, le=1)
    """Cost of each layer beyond arithmetic and memory traffic [s]."""
    step_s: float | None = Field(default=None, ge=0, le=10)
    """Cost of each step beyond that of its layers and sequences [s]."""

    @field_validator("peak_tflops", "compute_efficiency")
    @classmethod
    def _arithmetics_are_known(cls, by_arithmetic: dict[str, float] | None) -> dict[str, float] | None:
        for name in by_arithmetic or ():
            if name not in ARITHMETICS:
                raise ValueError(unknown_name_message("arithmetic", name, ARITHMETICS))
        return by_arithmetic

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if (self.hardware_class is None) == (self.like is None):
            raise ValueError("give either hardware_class or like: what is not given here is taken from there")
        try:
            hardware_of(self)
        except InputError as error:
            raise ValueError(str(error)) from error
        return self


def _form(value: object) -> str:
    return "named-hardware" if isinstance(value, str) else "described-block"


HardwareChoice = Annotated[
    Annotated[str, Tag("named-hardware")] | Annotated[HardwareBlock, Tag("described-block")], Discriminator(_form)
]
"""A name, or a block of keys."""


@cache
def hardware_names() -> tuple[str, ...]:
    """All named hardware, sorted."""
    return tuple(sorted(_entries()))


@cache
def class_names() -> tuple[str, ...]:
    """All classes of hardware."""
    return tuple(read_table("classes"))


@cache
def _entries() -> dict[str, dict[str, Any]]:
    return {name: entry for file in HARDWARE_FILES for name, entry in read_table(file).items()}


@cache
def find_hardware(name: str) -> Hardware:
    """Look up named hardware.

    Raises:
        InputError: No such hardware; the message lists what there is.
    """
    entry = _entry(name)
    own = sourced(entry, _WORDS)
    return _hardware(name, entry["title"], entry["class"], _numbers(name), own, False)


def hardware_of(choice: str | HardwareBlock) -> Hardware:
    """The hardware that a scenario means.

    Raises:
        InputError: It names hardware or a class that is not listed.
    """
    if isinstance(choice, str):
        return find_hardware(choice)
    given = choice.model_dump(exclude={"title", "hardware_class", "like"}, exclude_none=True)
    own = Sourced(given, dict.fromkeys(given, "set in the scenario"))
    if choice.like is not None:
        hardware_class = _entry(choice.like)["class"]
        below = _numbers(choice.like)
    else:
        hardware_class = str(choice.hardware_class)
        below = _typical(hardware_class)
    if "compute_efficiency" in given:
        own.values["compute_efficiency"] = {**below.values["compute_efficiency"], **given["compute_efficiency"]}
    if "peak_power_w" in given and "idle_power_w" not in given:
        below.values.pop("idle_power_w", None)
    return _hardware(choice.title, choice.title, hardware_class, own.over(below), own, True)


def _entry(name: str) -> dict[str, Any]:
    if name not in _entries():
        raise InputError(unknown_name_message("hardware", name, hardware_names()))
    return _entries()[name]


def _class(name: str) -> dict[str, Any]:
    table = read_table("classes")
    if name not in table:
        raise InputError(unknown_name_message("hardware_class", name, table))
    return dict(table[name])


def _numbers(name: str) -> Sourced:
    """Numbers of named hardware, over those of its class."""
    entry = _entry(name)
    return sourced(entry, _WORDS).over(sourced(_class(entry["class"]), _WORDS))


def _typical(hardware_class: str) -> Sourced:
    """Numbers of a class, its peaks and the like those of its typical entry, its shares and overheads its own."""
    row = _class(hardware_class)
    return sourced(row, _WORDS).over(_numbers(row["typical"]))


def _hardware(
    name: str, title: str, hardware_class: str, numbers: Sourced, own: Sourced, is_described: bool
) -> Hardware:
    values = dict(numbers.values)
    peak_power_w = values.pop("peak_power_w")
    idle_share = values.pop("idle_power_share")
    system_share = values.pop("system_memory_share")
    memory = 1e9 * values.pop("memory_gb") * (1.0 - system_share)
    return Hardware(
        name=name,
        title=title,
        hardware_class=hardware_class,
        runtime=_class(hardware_class)["runtime"],
        peak_flops={key: 1e12 * value for key, value in values.pop("peak_tflops").items()},
        memory_bandwidth_bytes_per_s=1e9 * values.pop("memory_bandwidth_gb_per_s"),
        memory_bytes=memory,
        system_memory_share=system_share,
        idle_power_w=min(peak_power_w, values.pop("idle_power_w", idle_share * peak_power_w)),
        peak_power_w=peak_power_w,
        interconnect_bytes_per_s=1e9 * values.pop("interconnect_gb_per_s"),
        numbers=values,
        own=tuple(sorted(own.values.keys() & values.keys())),
        is_described=is_described,
        sources=numbers.sources,
    )
