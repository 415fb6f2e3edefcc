"""Inference runtimes and precisions: what of the peaks they reach, and what they cost beside them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from sim.compute.data_files import Sourced, read_table, sourced
from sim.compute.hardware import Hardware
from sim.core.errors import InputError, unknown_name_message


@dataclass(frozen=True)
class Overheads:
    """Shares of the peaks that are reached, and costs beside arithmetic and memory traffic, of a runtime on hardware.

    Attributes:
        compute_efficiency: Share of the peak by arithmetic.
        bandwidth_efficiency: Share of the memory's peak rate.
        kv_efficiency: Share of that rate that reads of keys and values reach.
        layer_s: Each layer [s].
        prompt_layer_s: Each layer of a step that computes a prompt, in addition [s].
        sequence_s: Each sequence of a step [s].
        step_s: Each step [s].
        all_reduce_s: Each exchange between processors that share a layer [s]; two a layer.
    """

    compute_efficiency: dict[str, float]
    bandwidth_efficiency: float
    kv_efficiency: float
    layer_s: float
    prompt_layer_s: float
    sequence_s: float
    step_s: float
    all_reduce_s: float


@dataclass(frozen=True)
class Precision:
    """How weights are kept.

    Attributes:
        name: What YAML calls it.
        bytes_per_weight: Bytes per weight of the layers, scales included.
        head_bytes_per_weight: The same of embedding and output head.
        arithmetics: What products run in, the first that the hardware has.
        compute_share: What unpacking leaves of the arithmetic's reachable peak.
    """

    name: str
    bytes_per_weight: float
    head_bytes_per_weight: float
    arithmetics: tuple[str, ...]
    compute_share: float = 1.0


@cache
def runtime_names() -> tuple[str, ...]:
    """All runtimes, in the order of their table."""
    return tuple(read_table("runtimes"))


def runtime_title(name: str) -> str:
    """What a runtime is, and the classes of hardware that there are figures for."""
    row = read_table("runtimes")[name]
    return f"{row['title']} ({', '.join(key for key in row if key != 'title')})"


def find_overheads(runtime: str, hardware: Hardware) -> tuple[str, Overheads, dict[str, str]]:
    """What a runtime reaches and costs on hardware.

    Args:
        runtime: A listed one, or ``auto`` for the one that is usual on such hardware.
        hardware: What it runs on. A number of its own comes first, then the runtime's, then that of its class.

    Returns:
        The runtime's name, its figures, and their sources.

    Raises:
        InputError: No such runtime, or none that has figures for such hardware.
    """
    name = hardware.runtime if runtime == "auto" else runtime
    table = read_table("runtimes")
    if name not in table:
        raise InputError(unknown_name_message("runtime", name, ["auto", *table]))
    row = table[name].get(hardware.hardware_class, table[name].get("any"))
    if row is None:
        able = [key for key, rows in table.items() if hardware.hardware_class in rows or "any" in rows]
        raise InputError(
            f"there are no figures of runtime {name!r} on {hardware.hardware_class} hardware ({hardware.name}); "
            f"valid: auto, {', '.join(able)}"
        )
    own = sourced(row)
    if "compute_efficiency" in own.values:
        # A share of arithmetic that a runtime's row does not give is reached as the hardware's other runtimes reach it.
        own.values["compute_efficiency"] = {
            **hardware.numbers["compute_efficiency"],
            **own.values["compute_efficiency"],
        }
    if hardware.is_described or "any" not in table[name]:
        for key in hardware.own:
            own.values.pop(key, None)
            own.sources.pop(key, None)
    names = [field.name for field in fields(Overheads)]
    base = Sourced(hardware.numbers, {key: hardware.sources[key] for key in names})
    both = own.over(base)
    return name, Overheads(**{key: both.values[key] for key in names}), {key: both.sources[key] for key in names}


@cache
def precision_names() -> tuple[str, ...]:
    """All precisions, in the order of their table."""
    return tuple(read_table("precisions"))


@cache
def find_precision(name: str) -> Precision:
    """Look up how weights are kept.

    Raises:
        InputError: No such precision.
    """
    table: dict[str, Any] = read_table("precisions")
    if name not in table:
        raise InputError(unknown_name_message("precision of weights", name, table))
    row = sourced(table[name], ("arithmetic",)).values
    return Precision(
        name,
        row["bytes_per_weight"],
        row.get("head_bytes_per_weight", row["bytes_per_weight"]),
        tuple(table[name]["arithmetic"]),
        row.get("compute_share", 1.0),
    )


def precision_of_bytes(bytes_per_weight: float) -> Precision:
    """Weights of so many bytes that are unpacked for 16-bit arithmetic."""
    arithmetics = ("fp16", "fp32", "int8") if bytes_per_weight <= 2 else ("fp32", "fp16")
    return Precision(f"{bytes_per_weight:g} bytes", bytes_per_weight, bytes_per_weight, arithmetics)
