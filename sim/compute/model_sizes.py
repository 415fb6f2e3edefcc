"""From what a scenario calls a model's size to a shape: a listed model, a configuration, or a number of parameters."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from typing import Any

from sim.compute.data_files import read_table
from sim.compute.model_config import find_config, shape_from_config
from sim.compute.shapes import ModelShape, shape_of
from sim.core.errors import InputError

_MULTIPLIERS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9}
# Within this ratio of weights, a number of parameters means the model itself.
_SAME_MODEL = 0.005
# Beyond this ratio of weights, a number of parameters is another kind of model than its nearest neighbour.
_SAME_KIND = 1.5


@cache
def shape_names() -> tuple[str, ...]:
    """All listed models, smallest first."""
    return tuple(read_table("model_shapes"))


@cache
def size_names() -> dict[str, str]:
    """What a listed model may be called by its size alone, and its name; smallest first."""
    return {row["size"]: name for name, row in read_table("model_shapes").items() if "size" in row}


def find_shape(size: str | float) -> ModelShape:
    """Look up the shape of a model.

    Args:
        size: A listed model by name (``Qwen3-14B``), by repository (``Qwen/Qwen3-14B``) or by size (``8B``); a path to
            a ``config.json`` or its folder; the id of a repository in the local Hugging Face cache; or any number of
            parameters, such as ``3.5B`` or 3.5e9, which takes the nearest listed shape and says so.

    Raises:
        InputError: None of these.
    """
    name = str(size).strip()
    if name.lower() in _listed():
        return _listed_shape(name)
    match = re.fullmatch(r"([0-9.]+(?:e[+-]?[0-9]+)?)([kmb]?)", name.lower())
    if match:
        return _by_parameters(name, match[1], match[2])
    path = find_config(name) if name else None
    if path is None:
        raise InputError(_unknown(size))
    return shape_from_config(name, path)


@cache
def _listed_shape(name: str) -> ModelShape:
    row = read_table("model_shapes")[_listed()[name.lower()]]
    return shape_of(name, row["source"], row, float(row["parameters"]))


@cache
def _listed() -> dict[str, str]:
    """Names of listed models by all that they may be called, in lower case."""
    known: dict[str, str] = {}
    for name, row in read_table("model_shapes").items():
        for called in (name, row["source"].split(" ")[0], row.get("size")):
            if called is not None:
                known.setdefault(called.lower(), name)
    return known


def shape_of_model(name: str, num_parameters: int) -> ModelShape:
    """The shape of a model at hand: by its own configuration, by its name if it is listed, or by its size.

    Raises:
        InputError: Its size is not known, as that of a table of probabilities.
    """
    if name.lower() in _listed():
        return _listed_shape(name)
    try:
        path = find_config(name)
    except InputError:  # no configuration on this machine
        path = None
    if path is not None:
        return shape_from_config(name, path)
    if num_parameters < 1:
        raise InputError(f"the model {name} has no weights to count: give a model_size")
    return _by_parameters(str(num_parameters), str(num_parameters), "")


def _unknown(size: object) -> str:
    valid = ", ".join(size_names())
    return (
        f"unknown model size {str(size)!r}; valid: {valid}, a model of `specran list sizes`, "
        f"a path to a config.json, or a number of parameters such as 3.5B"
    )


@cache
def _by_parameters(name: str, digits: str, unit: str) -> ModelShape:
    """The nearest listed dense shape, its weights scaled to a number of parameters."""
    try:
        parameters = float(digits) * _MULTIPLIERS[unit]
    except ValueError:
        parameters = math.nan
    if not 0 < parameters < math.inf:
        raise InputError(_unknown(name))
    table: dict[str, dict[str, Any]] = {
        key: row for key, row in read_table("model_shapes").items() if row.get("experts", 1) == 1
    }
    nearest = min(table, key=lambda key: abs(math.log(parameters / float(table[key]["parameters"]))))
    row = table[nearest]
    return scaled(shape_of(name, row["source"], row, float(row["parameters"])), name, parameters)


def scaled(shape: ModelShape, name: str, parameters: float) -> ModelShape:
    """A shape with another number of weights, and a note that says what was taken from where.

    Layers, attention and cache stay as they are for a number nearby. Far from any listed model depth and width follow
    the cube root of the ratio.
    """
    ratio = parameters / shape.parameters
    if math.isclose(ratio, 1.0, rel_tol=_SAME_MODEL):
        return replace(shape, name=name, note=f"{name} parameters: priced as {shape.source}")
    side = 1.0 if 1 / _SAME_KIND <= ratio <= _SAME_KIND else ratio ** (1 / 3)
    how = "layers and heads" if side == 1.0 else "layers and heads, scaled with the cube root of the weights,"
    note = (
        f"no model of {name} parameters is listed: priced with the {how} of {shape.source} "
        f"({shape.parameters / 1e9:.3g}B), its weights times {ratio:.3g}"
    )
    return replace(
        shape,
        name=name,
        parameters=parameters,
        layer_parameters=shape.layer_parameters * ratio,
        head_parameters=shape.head_parameters * ratio,
        layers=shape.layers if side == 1.0 else max(1.0, shape.layers * side),
        hidden=shape.hidden * side,
        attention_width=shape.attention_width * side,
        kv_width=shape.kv_width * side,
        windowed_layers=shape.windowed_layers * side,
        note=note,
    )
