"""The roofline against numbers worked out by hand; what its keys do, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from sim.compute.base import WorkSize
from sim.compute.roofline import RooflineCompute, RooflineSettings, price_model

DECODE = [WorkSize(1, 1, 1)]
PROMPT = [WorkSize(4096, 4096, 1)]
H100 = {"hardware": "h100", "model_size": "8B"}
LAYERS_8B = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
HEAD_8B = 4096 * 128256


def roofline(**settings: Any) -> RooflineCompute:
    return price_model(RooflineSettings(**settings))


def seconds(work: list[WorkSize], **settings: Any) -> float:
    return roofline(**settings).price(work).seconds


def ideal(work: list[WorkSize], **settings: Any) -> float:
    return seconds(work, **{**H100, "runtime": "ideal", **settings})


def test_memory_side_streams_all_matrices_but_the_input_embedding() -> None:
    """(6.98e9 + 0.525e9) weights of 2 bytes at 3.35e12 byte/s: 4.48 ms; 131 kB for each token of context."""
    cost = roofline(**H100, runtime="ideal").cost(DECODE)
    assert cost.weights_bytes == pytest.approx((LAYERS_8B + HEAD_8B) * 2, rel=1e-3)
    assert cost.weights_s == pytest.approx((LAYERS_8B + HEAD_8B) * 2 / 3.35e12, rel=1e-3)
    assert cost.seconds == pytest.approx(math.hypot(cost.weights_s + cost.kv_s, cost.arithmetic_s), rel=1e-12)
    kv_per_token = 2 * 32 * 8 * 128 * 2  # keys and values, layers, kv heads, head size, bytes
    long = roofline(**H100, runtime="ideal").cost([WorkSize(1, 1001, 1)])
    assert long.kv_s == pytest.approx(1001 * kv_per_token / 3.35e12, rel=1e-9)
    assert roofline(**H100).kv_bytes_per_token == kv_per_token


def test_arithmetic_side_of_a_prompt() -> None:
    """4096 tokens through the layers, one row of the head, causal attention over 4096 * 4097 / 2 pairs."""
    flops = 2 * LAYERS_8B * 4096 + 2 * HEAD_8B + 4 * 32 * 4096 * (4096 * 4097 / 2)
    cost = roofline(**H100, runtime="ideal").cost(PROMPT)
    assert cost.flops == pytest.approx(flops, rel=1e-3)
    assert cost.arithmetic_s == pytest.approx(flops / 989.4e12, rel=1e-3)
    assert cost.bound == "arithmetic"


def test_the_knee_is_smooth() -> None:
    """Where arithmetic takes as long as memory, both together take sqrt(2) times that; far from it, the longer one."""
    model = roofline(**H100, runtime="ideal")
    tokens = next(n for n in range(1, 2000) if (c := model.cost([WorkSize(n, n, 1)])).arithmetic_s > c.memory_s)
    cost = model.cost([WorkSize(tokens, tokens, 1)])
    assert cost.seconds == pytest.approx(math.sqrt(2) * cost.memory_s, rel=0.01)
    assert model.cost(DECODE).seconds == pytest.approx(model.cost(DECODE).memory_s, rel=1e-4)


def test_costs_beside_the_roofline_add_up() -> None:
    base = ideal(DECODE)
    assert ideal(DECODE, overhead_s=0.25) == pytest.approx(base + 0.25)
    assert ideal(DECODE, layer_s=1e-3) == pytest.approx(base + 32e-3)
    assert ideal(DECODE * 3, sequence_s=1e-2) == pytest.approx(ideal(DECODE * 3) + 3e-2)
    four = ideal(DECODE, num_processors=4)
    assert ideal(DECODE, num_processors=4, all_reduce_s=1e-3) == pytest.approx(four + 64e-3)
    # 64 exchanges of 2 * 3/4 of 4096 values of 2 bytes over 450 GB/s.
    assert four == pytest.approx(base / 4 + 64 * 1.5 * 4096 * 2 / 450e9, rel=1e-6)


def test_the_parts_of_a_step_add_up_for_every_kind_of_step() -> None:
    model = roofline(**H100, num_processors=2)
    for batch in (DECODE, PROMPT, [WorkSize(5, 300, 5)] * 7 + [WorkSize(512, 900, 0)]):
        cost = model.cost(batch)
        parts = cost.parts()
        outside = ("kernels_s", "layers_s", "sequences_s", "step_s", "all_reduce_s")
        assert sum(parts[name] for name in outside) == pytest.approx(cost.seconds, rel=1e-12)
        assert max(cost.arithmetic_s, cost.memory_s) <= cost.kernels_s <= cost.arithmetic_s + cost.memory_s
        assert model.price(batch).seconds == cost.seconds


def test_efficiencies_do_what_they_say() -> None:
    assert ideal(DECODE, bandwidth_efficiency=0.5) == pytest.approx(2 * ideal(DECODE), rel=1e-3)
    assert ideal(PROMPT, compute_efficiency=0.5) == pytest.approx(2 * ideal(PROMPT), rel=1e-2)
    text = [WorkSize(1, 100_000, 1)]
    cost = roofline(**H100, runtime="ideal").cost(text)
    assert ideal(text, kv_efficiency=0.5) == pytest.approx(
        math.hypot(cost.weights_s + 2 * cost.kv_s, cost.arithmetic_s)
    )
    assert ideal(text, bytes_per_cached_value=1) < ideal(text)


def test_prompts_cost_more_for_each_layer_where_a_runtime_says_so() -> None:
    model = roofline(**H100, runtime="trt-llm")
    verify, prompt = model.cost([WorkSize(40, 400, 40)]), model.cost([WorkSize(40, 400, 1)])
    assert verify.layers_s == pytest.approx(32 * 35e-6)
    assert prompt.layers_s == pytest.approx(32 * (35e-6 + 91e-6))


def test_a_chunk_of_a_prompt_that_others_follow_reads_no_head() -> None:
    model = roofline(**H100, runtime="ideal")
    chunk, last = model.cost([WorkSize(512, 1024, 0)]), model.cost([WorkSize(512, 1024, 1)])
    assert last.weights_bytes - chunk.weights_bytes == pytest.approx(HEAD_8B * 2)


@pytest.mark.parametrize(
    ("weights", "bytes_read", "arithmetic"),
    [
        ("bf16", 2, "fp16"),
        ("fp8", 1, "fp8"),
        ("int8", 1, "int8"),
        ("w8a16", 1, "fp16"),
        ("int4", 0.5625, "fp16"),
        ("fp4", 0.5625, "fp8"),
    ],
)
def test_precision_of_weights(weights: str, bytes_read: float, arithmetic: str) -> None:
    model = roofline(**H100, weights=weights)
    assert model.step.arithmetic == arithmetic
    assert model.cost(DECODE).weights_bytes == pytest.approx((LAYERS_8B + HEAD_8B) * bytes_read, rel=1e-3)
    assert model.weights_bytes == pytest.approx(8.03026e9 * bytes_read)


def test_embedding_and_head_may_stay_in_16_bits() -> None:
    model = roofline(**H100, weights="w4a16")
    assert model.cost(DECODE).weights_bytes == pytest.approx(LAYERS_8B * 0.5625 + HEAD_8B * 2, rel=1e-3)
    assert model.weights_bytes == pytest.approx(LAYERS_8B * 0.5625 + 2 * HEAD_8B * 2, rel=1e-3)


def test_unpacking_costs_arithmetic() -> None:
    assert ideal(PROMPT, weights="int4") > 1.15 * ideal(PROMPT)
    assert ideal(PROMPT, weights="fp8") == pytest.approx(0.5 * ideal(PROMPT), rel=1e-2)


def test_batching_shares_the_weights() -> None:
    one, eight = (seconds([WorkSize(1, 100, 1)] * n, **H100) for n in (1, 8))
    assert one < eight < 1.1 * one


def test_time_never_falls_when_a_step_grows() -> None:
    for runtime in ("vllm", "trt-llm", "nim", "llama.cpp"):
        model = roofline(**H100, runtime=runtime, num_processors=2)
        base = model.price([WorkSize(5, 200, 5)] * 4).seconds
        for grown in (
            [WorkSize(6, 201, 5)] * 4,
            [WorkSize(5, 300, 5)] * 4,
            [WorkSize(5, 200, 5)] * 5,
            [WorkSize(5, 200, 5)] * 4 + [WorkSize(300, 300, 0)],
        ):
            assert model.price(grown).seconds > base


def test_memory_of_a_site() -> None:
    """80 GB, 16.06 GB of weights: (72 - 16.06) / 131 kB = 426,800 tokens; four processors hold four times as much."""
    model = roofline(**H100)
    assert model.memory_bytes == 80e9
    assert model.weights_bytes == pytest.approx(16.06e9, rel=1e-3)
    assert model.kv_capacity_tokens(0.9) == int((72e9 - model.weights_bytes) // 131072)
    assert roofline(**H100, num_processors=4).memory_bytes == 320e9
    assert roofline(hardware="jetson-orin-nano", model_size="1B").memory_bytes == pytest.approx(0.85 * 8e9)
    assert roofline(**H100, bytes_per_cached_value=1).kv_bytes_per_token == 65536


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"unknown hardware 'h10'.*did you mean"):
        RooflineSettings(hardware="h10", model_size="8B")
    with pytest.raises(ValidationError, match=r"unknown runtime 'vlm'.*did you mean 'vllm'"):
        RooflineSettings(hardware="h100", runtime="vlm")
    with pytest.raises(ValidationError, match=r"unknown precision of weights 'fp9'.*valid: bf16"):
        RooflineSettings(**H100, weights="fp9")
    with pytest.raises(ValidationError, match=r"unknown arithmetic of a100 'fp8' .*valid: auto, fp16, int4, int8"):
        RooflineSettings(hardware="a100", model_size="8B", arithmetic="fp8")
    with pytest.raises(ValidationError, match=r"no figures of runtime 'mlx' on hbm-gpu hardware \(h100\); valid: auto"):
        RooflineSettings(**H100, runtime="mlx")


def test_a_model_that_does_not_fit_is_refused() -> None:
    too_large = r"70B at 2 bytes per weight fills 141\.1 GB, and 1 x h100 has 80 GB"
    for size in ("70B", {"draft": "160M", "target": "70B"}):
        with pytest.raises(ValidationError, match=too_large):
            RooflineSettings(hardware="h100", model_size=size)
    roofline(hardware="h100", model_size="70B", num_processors=2)


def test_description_holds_numbers_and_their_sources() -> None:
    described = roofline(**H100, bandwidth_efficiency=0.5).describe()
    hardware: Any = described["hardware"]
    assert "data sheet" in hardware["sources"]["memory_bandwidth_gb_per_s"]
    assert described["overhead_sources"]["bandwidth_efficiency"] == "set in the scenario"  # type: ignore[index]
    assert "ML.ENERGY" in described["overhead_sources"]["sequence_s"]  # type: ignore[index]
    assert (described["runtime"], described["arithmetic"]) == ("vllm", "fp16")
    assert described["notes"] == []
