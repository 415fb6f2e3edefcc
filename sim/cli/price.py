"""``specran price``: what one step of a model costs on hardware; and the tables that prices come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError

if TYPE_CHECKING:
    from sim.compute.roofline import RooflineCompute

PRICE_TABLES = ("runtimes", "precisions", "sizes")
_VERIFIED = 16
"""A sequence that feeds up to so many tokens is taken for a verification, which wants a row for each."""


@dataclass(frozen=True)
class PriceRequest:
    """What is to be priced.

    Attributes:
        hardware: Name, or a YAML file with a block of keys.
        model: Model size, as in a scenario.
        batch: Sequences.
        new_tokens: Tokens that each feeds.
        context: Tokens that each attends to; None for the new ones alone.
        rows: Rows that each wants; None for the usual ones.
        prompt_tokens: Tokens of a prompt in the same step.
        weights: Precision.
        cached_bytes: Bytes of a cached value.
        processors: How many share the layers.
        runtime: Inference runtime.
    """

    hardware: str
    model: str
    batch: int
    new_tokens: int
    context: int | None
    rows: int | None
    prompt_tokens: int
    weights: str
    cached_bytes: float
    processors: int
    runtime: str


def price_command(request: PriceRequest, as_json: bool) -> None:
    """Price a step and show it."""
    from sim.cli.output import print_json, say

    model = _model(request)
    priced = priced_step(model, request)
    for note in model.notes:
        say(f"note:    {note}")
    if as_json:
        print_json(priced)
    else:
        _show(model, request, priced)


def _model(request: PriceRequest) -> RooflineCompute:
    from pydantic import ValidationError

    from sim.compute.roofline import RooflineSettings, price_model
    from sim.scenario.problems import ScenarioProblems, problems_of

    keys = {
        "hardware": _hardware(request.hardware),
        "model_size": request.model,
        "runtime": request.runtime,
        "weights": request.weights,
        "bytes_per_cached_value": request.cached_bytes,
        "num_processors": request.processors,
    }
    try:
        return price_model(RooflineSettings.model_validate(keys))
    except ValidationError as error:
        raise ScenarioProblems(problems_of(error, keys)) from error


def _hardware(name: str) -> Any:
    """A name as it is; the block of keys that a YAML file holds."""
    path = Path(name).expanduser()
    if path.suffix.lower() not in (".yaml", ".yml"):
        return name
    from channels.text_files import TextFileError, read_text
    from sim.core.yaml_text import YamlError, read_values

    try:
        block = read_values(read_text(path))
    except TextFileError as error:
        raise InputError(str(error)) from error
    except YamlError as error:
        raise InputError(f"{name}: this is no YAML: {error}") from error
    return block.get("hardware", block) if isinstance(block, dict) else block


def priced_step(model: RooflineCompute, request: PriceRequest) -> dict[str, Any]:
    """The price of a step with its parts, and the memory that model and sequences take, as JSON has them."""
    from sim.compute.base import WorkSize

    context = request.new_tokens if request.context is None else request.context
    if context < request.new_tokens:
        raise InputError(f"--context {context} counts the new tokens, too: it cannot be less than --new-tokens")
    rows = request.rows
    if rows is None:
        rows = request.new_tokens if request.new_tokens <= _VERIFIED else 1
    work = [WorkSize(request.new_tokens, context, rows)] * request.batch
    if request.prompt_tokens:
        work = [*work, WorkSize(request.prompt_tokens, request.prompt_tokens, 1)]
    cost = model.cost(work)
    price = model.price(work)
    idle_j = model.idle_power_w * price.seconds
    return {
        "seconds": price.seconds,
        "joules": price.joules + idle_j,
        "bound": cost.bound,
        "parts": cost.parts(),
        "joules_above_idle": price.joules,
        "joules_idle": idle_j,
        "power_w": (price.joules + idle_j) / price.seconds if price.seconds > 0 else 0.0,
        "flops": cost.flops,
        "weights_read_bytes": cost.weights_bytes,
        "kv_read_bytes": cost.kv_bytes,
        "memory": {
            "weights_bytes": model.weights_bytes,
            "kv_bytes_per_token": model.kv_bytes_per_token,
            "memory_bytes": model.memory_bytes,
            "kv_capacity_tokens": model.kv_capacity_tokens(),
        },
        "hardware": model.hardware.name,
        "hardware_class": model.hardware.hardware_class,
        "runtime": model.runtime,
        "arithmetic": model.step.arithmetic,
        "model": {"name": model.shape.name, "source": model.shape.source, "parameters": model.shape.parameters},
        "notes": list(model.notes),
    }


_PARTS = (
    ("arithmetic", "arithmetic_s"),
    ("reading weights", "weights_s"),
    ("reading keys and values", "kv_s"),
    ("these together (smooth knee)", "kernels_s"),
    ("cost of layers", "layers_s"),
    ("cost of sequences", "sequences_s"),
    ("cost of the step", "step_s"),
    ("exchange between processors", "all_reduce_s"),
)


def _show(model: RooflineCompute, request: PriceRequest, priced: dict[str, Any]) -> None:
    """A table for people."""
    from sim.cli.output import print_table

    times = "" if request.processors == 1 else f"{request.processors} x "
    title = (
        f"{model.shape.name} ({priced['model']['source']}, {request.weights}) on {times}{model.hardware.title}, "
        f"{model.runtime}: bound by {priced['bound']}"
    )
    seconds, joules = priced["seconds"], priced["joules"]
    new = request.batch * request.new_tokens + request.prompt_tokens
    rows: list[tuple[str, float | str, str]] = [
        ("time of the step", 1e3 * seconds, "ms"),
        *((f"  {name}", 1e3 * priced["parts"][key], "ms") for name, key in _PARTS),
        ("energy of the step, idle power included", joules, "J"),
        ("power", priced["power_w"], "W"),
        ("new tokens per second", new / seconds if seconds else 0.0, "token/s"),
        ("energy per new token", joules / new, "J/token"),
        ("weights in memory", priced["memory"]["weights_bytes"] / 1e9, "GB"),
        ("keys and values per token", priced["memory"]["kv_bytes_per_token"] / 1e3, "kB"),
        ("tokens that fit beside the weights, in 90 % of the memory", priced["memory"]["kv_capacity_tokens"], ""),
    ]
    print_table(title, ("figure", "value", "unit"), rows)


def price_table(kind: str) -> list[tuple[str, str]]:
    """Names and a line on each of the tables that prices come from."""
    from sim.compute import model_sizes, runtimes

    if kind == "runtimes":
        return [(name, runtimes.runtime_title(name)) for name in runtimes.runtime_names()]
    if kind == "precisions":
        return [(name, _precision_line(runtimes.find_precision(name))) for name in runtimes.precision_names()]
    return [(name, _model_line(model_sizes.find_shape(name))) for name in model_sizes.shape_names()]


def _precision_line(precision: Any) -> str:
    head = precision.head_bytes_per_weight
    beside = "" if head == precision.bytes_per_weight else f", {head:g} in embedding and head"
    return f"{precision.bytes_per_weight:g} bytes per weight{beside}; computed in {' or '.join(precision.arithmetics)}"


def _model_line(shape: Any) -> str:
    from sim.compute.model_sizes import size_names

    sizes = [size for size, name in size_names().items() if name == shape.name]
    called = f" ({sizes[0]})" if sizes else ""
    return (
        f"{shape.parameters / 1e9:.3g}B{called}, {shape.layers:g} layers, "
        f"{shape.kv_values_per_token() * 2 / 1e3:.4g} kB of 16-bit keys and values per token, {shape.source}"
    )
