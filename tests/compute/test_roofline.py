"""The roofline against numbers worked out by hand, published speeds and energies, and its tables against themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

import sim.compute
from sim.compute.base import WorkSize
from sim.compute.hardware import find_hardware, find_model_size, hardware_names, model_size_names
from sim.compute.roofline import RooflineSettings, make_roofline
from sim.core.errors import InputError

IDEAL = {"compute_efficiency": 1.0, "bandwidth_efficiency": 1.0, "overhead_s": 0.0}
TABLES = Path(sim.compute.__file__).parent


def seconds(work: list[WorkSize], **settings: Any) -> float:
    return make_roofline(RooflineSettings(**settings), None).price(work).seconds


def joules(work: list[WorkSize], **settings: Any) -> float:
    return make_roofline(RooflineSettings(**settings), None).price(work).joules


def test_h100_8b_decode_is_bound_by_memory() -> None:
    """8.03e9 weights of 2 bytes at 3.35e12 byte/s: 4.794 ms; keys and values of 1000 tokens add 131 kB each."""
    short = seconds([WorkSize(1, 1, 1)], hardware="h100", model_size="8B", **IDEAL)
    assert short == pytest.approx(8.0303e9 * 2 / 3.35e12, rel=1e-4)
    assert short == pytest.approx(4.8e-3, rel=0.01)
    long = seconds([WorkSize(1, 1001, 1)], hardware="h100", model_size="8B", **IDEAL)
    kv_per_token = 2 * 32 * 8 * 128 * 2  # keys and values, layers, kv heads, head size, bytes
    assert long - short == pytest.approx(1000 * kv_per_token / 3.35e12, rel=1e-9)


def test_h100_8b_prefill_is_bound_by_arithmetic() -> None:
    """4096 tokens through 6.98e9 layer weights, one row of the head, causal attention over 4096 * 4097 / 2 pairs."""
    layers = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    flops = 2 * layers * 4096 + 2 * 4096 * 128256 + 4 * 32 * 4096 * (4096 * 4097 / 2)
    got = seconds([WorkSize(4096, 4096, 1)], hardware="h100", model_size="8B", **IDEAL)
    assert got == pytest.approx(flops / 989.4e12, rel=1e-3)
    assert got > 10 * 8.0303e9 * 2 / 3.35e12


def test_efficiencies_overhead_and_processors_do_what_they_say() -> None:
    work = [WorkSize(1, 1, 1)]
    ideal = seconds(work, hardware="h100", model_size="8B", **IDEAL)
    half = {**IDEAL, "bandwidth_efficiency": 0.5}
    assert seconds(work, hardware="h100", model_size="8B", **half) == pytest.approx(2 * ideal)
    late = {**IDEAL, "overhead_s": 0.25}
    assert seconds(work, hardware="h100", model_size="8B", **late) == pytest.approx(ideal + 0.25)
    assert seconds(work, hardware="h100", model_size="8B", num_processors=4, **IDEAL) == pytest.approx(ideal / 4)
    quantised = seconds(work, hardware="h100", model_size="8B", bytes_per_weight=0.5, **IDEAL)
    assert quantised == pytest.approx(ideal / 4, rel=1e-3)
    small_cache = seconds([WorkSize(1, 9999, 1)], hardware="h100", model_size="8B", bytes_per_cached_value=1, **IDEAL)
    assert small_cache < seconds([WorkSize(1, 9999, 1)], hardware="h100", model_size="8B", **IDEAL)
    prompt = [WorkSize(4096, 4096, 1)]
    half = {**IDEAL, "compute_efficiency": 0.5}
    assert seconds(prompt, hardware="h100", model_size="8B", **half) == pytest.approx(
        2 * seconds(prompt, hardware="h100", model_size="8B", **IDEAL)
    )
    assert seconds(prompt, hardware="h100", model_size="8B", arithmetic="fp8", **IDEAL) == pytest.approx(
        0.5 * seconds(prompt, hardware="h100", model_size="8B", **IDEAL), rel=1e-3
    )


def test_batching_shares_the_weights() -> None:
    one = seconds([WorkSize(1, 100, 1)], hardware="h100", model_size="8B")
    eight = seconds([WorkSize(1, 100, 1)] * 8, hardware="h100", model_size="8B")
    assert one < eight < 1.1 * one


def test_joules_are_power_times_seconds() -> None:
    settings = RooflineSettings(hardware="l4", model_size="1B", power_w=60, num_processors=2)
    price = make_roofline(settings, None).price([WorkSize(3, 40, 3)])
    assert price.joules == pytest.approx(2 * 60 * price.seconds)


# Published single-stream speeds and energies per generated token. Factor 3: an order of magnitude is what a roofline
# with assumed efficiencies can promise.
ANCHORS = {
    # arXiv 2603.23640: Qwen2.5-1.5B at 4 bits on an RTX 4050 laptop, 131.7 token/s at 34.1 W.
    "rtx 4050": ({"hardware": "rtx-4050-laptop", "model_size": "1.5B"}, 131.7, 0.259),
    # Users' reports for LFM2-1.2B on a Galaxy S25 Ultra: 90 token/s and 9000 tokens per percent of its battery (5 Ah at
    # 3.85 V) on the NPU; 37 falling to 19 token/s and 2443 tokens per percent on the CPU.
    "phone npu": ({"hardware": "snapdragon-8-elite-npu", "model_size": "1.2B"}, 90, 0.077),
    "phone cpu": ({"hardware": "snapdragon-8-elite-cpu", "model_size": "1.2B"}, 28, 0.284),
}


@pytest.mark.parametrize("name", ANCHORS)
def test_published_decoding_speed_and_energy(name: str) -> None:
    settings, tokens_per_s, joules_per_token = ANCHORS[name]
    work = [WorkSize(1, 256, 1)]
    got_s = seconds(work, bytes_per_weight=0.5, **settings)
    got_j = joules(work, bytes_per_weight=0.5, **settings)
    assert 1 / 3 < got_s * tokens_per_s < 3
    assert 1 / 3 < got_j / joules_per_token < 3


def test_published_data_centre_energy() -> None:
    """Two Blackwell GPUs of a GB200, Llama 3 70B at 4 bits, 25 000 token/s in all at 0.12 J; here 256 requests each."""
    batch = [WorkSize(1, 1024, 1)] * 256
    settings = {"hardware": "gb200", "model_size": "70B", "bytes_per_weight": 0.5, "arithmetic": "fp4"}
    assert 1 / 3 < joules(batch, **settings) / 256 / 0.12 < 3
    assert 1 / 3 < 2 * 256 / seconds(batch, **settings) / 25_000 < 3
    # 70B in 16 bits on four H100, batch 1 to 8: 9 to 72 J per token.
    four = {"hardware": "h100", "model_size": "70B", "num_processors": 4}
    assert joules([WorkSize(1, 2048, 1)] * 8, **four) / 8 > 9 / 3
    assert joules([WorkSize(1, 2048, 1)], **four) < 72 * 3


def test_every_number_of_every_hardware_has_a_source() -> None:
    table = yaml.safe_load((TABLES / "hardware.yaml").read_text(encoding="utf-8"))
    assert set(hardware_names()) == set(table["hardware"])
    entries = [*table["classes"].values(), *table["hardware"].values()]
    numbers = [value for entry in entries for key, value in entry.items() if key not in ("title", "class")]
    numbers = [leaf for value in numbers for leaf in ([value] if "value" in value else value.values())]
    assert len(numbers) > 60
    for number in numbers:
        assert set(number) == {"value", "source"}
        assert isinstance(number["value"], float), number
        assert number["value"] > 0
        assert len(number["source"]) > 10


def test_every_hardware_is_wanted_and_sane() -> None:
    assert set(hardware_names()) >= {
        *("snapdragon-8-elite-npu", "snapdragon-8-elite-cpu", "raspberry-pi-5", "jetson-orin-nano"),
        *("jetson-agx-orin", "rtx-4090", "l4", "a100", "h100", "gh200", "gb200", "epyc-9654"),
    }
    for name in hardware_names():
        hardware = find_hardware(name)
        assert 0 < hardware.compute_efficiency <= 1
        assert 0 < hardware.bandwidth_efficiency <= 1
        # A processor reads its whole memory within 20 ms to 2 s, and does 5 to 2000 operations per byte it reads.
        assert 0.01 < hardware.memory / hardware.memory_bandwidth < 2
        assert all(5 < peak / hardware.memory_bandwidth < 2000 for peak in hardware.peak_flops.values())
        assert hardware.sources["memory_bandwidth"]
        price = make_roofline(RooflineSettings(hardware=name, model_size="0.5B"), None).price([WorkSize(4, 99, 4)])
        assert 1e-4 < price.seconds < 1
        assert 1e-3 < price.joules < 10


def test_model_sizes_follow_from_their_shapes() -> None:
    """Weights counted from the shape match the published total to 1.5 % (OPT also learns positions and biases)."""
    table = yaml.safe_load((TABLES / "model_sizes.yaml").read_text(encoding="utf-8"))
    assert tuple(table) == model_size_names()
    for name, row in table.items():
        attention = 2 * row["hidden"] * (row["heads"] + row["kv_heads"]) * row["head_size"]
        layer = attention + row["feed_forward_matrices"] * row["hidden"] * row["feed_forward"]
        embeddings = row["hidden"] * row["vocabulary"] * (1 if row["tied"] else 2)
        assert row["layers"] * layer + embeddings == pytest.approx(float(row["parameters"]), rel=0.015), name
        assert find_model_size(name).layer_parameters == pytest.approx(row["layers"] * layer, rel=0.025), name


@pytest.mark.parametrize(
    ("size", "parameters"), [("8b", 8.0303e9), ("3B", 3e9), ("350M", 350e6), (3.0e9, 3e9), ("8e9", 8e9), (7, 7)]
)
def test_model_sizes_are_understood(size: str | float, parameters: float) -> None:
    assert find_model_size(size).parameters == pytest.approx(parameters)


def test_an_unlisted_size_lies_between_its_neighbours() -> None:
    """3B has the shape of 1.5B, scaled: twice the weights, 2^(2/3) times the cache per token."""
    base, scaled = find_model_size("1.5B"), find_model_size("3B")
    ratio = 3e9 / base.parameters
    assert scaled.source == base.source
    assert scaled.layer_parameters / base.layer_parameters == pytest.approx(ratio)
    assert scaled.kv_bytes(100, 2) / base.kv_bytes(100, 2) == pytest.approx(ratio ** (2 / 3))


@pytest.mark.parametrize("size", ["huge", "", "-8B", "0B", "1.2.3B", "nan", -1.0, 0])
def test_unknown_model_size_is_refused(size: str | float) -> None:
    with pytest.raises(InputError, match=r"unknown model size .*valid: 68M, 125M, .*70B, or a number"):
        find_model_size(size)
    with pytest.raises(ValidationError, match="unknown model size"):
        RooflineSettings(hardware="h100", model_size=size)


def test_unknown_hardware_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown hardware 'h10' \(did you mean 'h100'\?\); valid: a100, .*rtx-4090"):
        find_hardware("h10")
    with pytest.raises(ValidationError, match="unknown hardware 'h10'"):
        RooflineSettings(hardware="h10", model_size="8B")


def test_unknown_arithmetic_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"unknown arithmetic of a100 'fp8' .*valid: auto, fp16, int8"):
        RooflineSettings(hardware="a100", model_size="8B", arithmetic="fp8")


def test_a_model_that_does_not_fit_is_refused() -> None:
    too_large = r"70B at 2 bytes per weight fills 141\.1 GB, and 1 x h100 has 80 GB"
    for size in ("70B", {"draft": "160M", "target": "70B"}):
        with pytest.raises(ValidationError, match=too_large):
            RooflineSettings(hardware="h100", model_size=size)
    make_roofline(RooflineSettings(hardware="h100", model_size="70B", num_processors=2), None)


def test_description_holds_numbers_and_their_sources() -> None:
    settings = RooflineSettings(hardware="h100", model_size="8B", power_w=500)
    described = make_roofline(settings, None).describe()
    hardware: Any = described["hardware"]
    assert hardware["power_w"] == 500
    assert hardware["sources"]["power_w"] == "set in the scenario"
    assert "data sheet" in hardware["sources"]["memory_bandwidth"]
    assert described["arithmetic"] == "fp16"
