"""Looks up named hardware and model sizes in the tables beside this file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, unknown_name_message
from sim.core.yaml_text import read_values

_MULTIPLIERS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9}


@dataclass(frozen=True, slots=True)
class Hardware:
    """A processor as the roofline sees it.

    Attributes:
        name: What YAML calls it.
        title: What people call it.
        peak_flops: Dense operations per second by arithmetic, such as ``fp16``.
        memory_bandwidth: Bytes per second.
        memory: Bytes that weights may fill.
        power_w: Power above idle while a forward runs [W].
        compute_efficiency: Share of ``peak_flops`` that is reached.
        bandwidth_efficiency: Share of ``memory_bandwidth`` that is reached.
        overhead_s: Time of a forward that is neither arithmetic nor memory traffic [s].
        sources: Where each number comes from.
    """

    name: str
    title: str
    peak_flops: dict[str, float]
    memory_bandwidth: float
    memory: float
    power_w: float
    compute_efficiency: float
    bandwidth_efficiency: float
    overhead_s: float
    sources: dict[str, str]


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What the work of a forward depends on.

    Attributes:
        name: What was asked for.
        source: The public model whose shape it has.
        parameters: All weights, embeddings included once.
        layer_parameters: Those of the layers, used by every token fed.
        head_parameters: Those of the output head, used by every row.
        layers: Number of layers.
        attention_width: Heads times head size.
        kv_width: Key-value heads times head size.
    """

    name: str
    source: str
    parameters: float
    layer_parameters: float
    head_parameters: float
    layers: float
    attention_width: float
    kv_width: float

    def flops(self, new_tokens: int, context_tokens: int, num_rows: int) -> float:
        """Operations of one forward: 2 per weight and token, 4 per attended position, layer and unit of width.

        The last of the new tokens attends to the whole text, each earlier one to one position less.
        """
        attended = new_tokens * context_tokens - new_tokens * (new_tokens - 1) / 2
        matrices = 2.0 * (self.layer_parameters * new_tokens + self.head_parameters * num_rows)
        return matrices + 4.0 * self.layers * self.attention_width * attended

    def kv_bytes(self, context_tokens: int, bytes_per_value: float) -> float:
        """Bytes of keys and values that one forward reads."""
        return 2.0 * self.layers * self.kv_width * context_tokens * bytes_per_value


@cache
def hardware_names() -> tuple[str, ...]:
    """All named hardware, sorted."""
    return tuple(sorted(_table("hardware.yaml")["hardware"]))


@cache
def model_size_names() -> tuple[str, ...]:
    """All listed model sizes, smallest first."""
    return tuple(_table("model_sizes.yaml"))


@cache
def find_hardware(name: str) -> Hardware:
    """Look up named hardware.

    Raises:
        InputError: No such hardware; the message lists what there is.
    """
    table = _table("hardware.yaml")
    if name not in table["hardware"]:
        raise InputError(unknown_name_message("hardware", name, hardware_names()))
    entry = table["hardware"][name]
    numbers: dict[str, dict[str, Any]] = {**table["classes"][entry["class"]]}
    numbers |= {key: value for key, value in entry.items() if key not in ("title", "class", "peak_flops")}
    sources = {key: value["source"] for key, value in numbers.items()}
    sources |= {f"peak_flops.{key}": value["source"] for key, value in entry["peak_flops"].items()}
    return Hardware(
        name=name,
        title=entry["title"],
        peak_flops={key: float(value["value"]) for key, value in entry["peak_flops"].items()},
        memory_bandwidth=float(numbers["memory_bandwidth"]["value"]),
        memory=float(numbers["memory"]["value"]),
        power_w=float(numbers["power_w"]["value"]),
        compute_efficiency=float(numbers["compute_efficiency"]["value"]),
        bandwidth_efficiency=float(numbers["bandwidth_efficiency"]["value"]),
        overhead_s=float(numbers["overhead_s"]["value"]),
        sources=sources,
    )


@cache
def find_model_size(size: str | float) -> ModelSize:
    """Look up a model size: a listed name such as ``8B``, or any number of parameters such as ``3B`` or 3.0e9.

    A size that is not listed takes the shape of the nearest listed one, its weights scaled in proportion and its
    width and depth each by the cube root.

    Raises:
        InputError: Neither a listed name nor a number of parameters.
    """
    table = _table("model_sizes.yaml")
    listed = {name.lower(): name for name in table}
    name = str(size).strip()
    if name.lower() in listed:
        return _shape(listed[name.lower()], table[listed[name.lower()]])
    match = re.fullmatch(r"([0-9.]+(?:e[+-]?[0-9]+)?)([kmb]?)", name.lower())
    try:
        parameters = float(match[1]) * _MULTIPLIERS[match[2]] if match else math.nan
    except ValueError:
        parameters = math.nan
    if not 0 < parameters < math.inf:
        valid = ", ".join(table)
        raise InputError(f"unknown model size {size!r}; valid: {valid}, or a number of parameters such as 3B")
    nearest = min(table, key=lambda key: abs(math.log(parameters / float(table[key]["parameters"]))))
    return _scaled(_shape(nearest, table[nearest]), name, parameters)


def _shape(name: str, row: dict[str, Any]) -> ModelSize:
    parameters = float(row["parameters"])
    head = float(row["hidden"]) * row["vocabulary"]
    return ModelSize(
        name=name,
        source=row["source"],
        parameters=parameters,
        layer_parameters=parameters - head * (1 if row["tied"] else 2),
        head_parameters=head,
        layers=row["layers"],
        attention_width=row["heads"] * row["head_size"],
        kv_width=row["kv_heads"] * row["head_size"],
    )


def _scaled(shape: ModelSize, name: str, parameters: float) -> ModelSize:
    ratio = parameters / shape.parameters
    side = ratio ** (1 / 3)
    return replace(
        shape,
        name=name,
        parameters=parameters,
        layer_parameters=shape.layer_parameters * ratio,
        head_parameters=shape.head_parameters * ratio,
        layers=shape.layers * side,
        attention_width=shape.attention_width * side,
        kv_width=shape.kv_width * side,
    )


@cache
def _table(file_name: str) -> dict[str, Any]:
    return dict(read_values(Path(__file__).with_name(file_name).read_text(encoding="utf-8")))
