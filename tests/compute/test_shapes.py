"""Shapes of models: the listed ones against themselves, configurations, and numbers of parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.compute.base import WorkSize
from sim.compute.data_files import read_table
from sim.compute.model_sizes import find_shape, shape_names, shape_of_model, size_names
from sim.compute.roofline import RooflineSettings, price_model
from sim.compute.shapes import shape_of
from sim.core.errors import InputError

QWEN3_14B = {
    "model_type": "qwen3",
    "hidden_size": 5120,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 17408,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
    "sliding_window": None,
    "use_sliding_window": False,
}
MIXTRAL = {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 32000,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}
DEEPSEEK_V2_LITE = {
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 512,
    "q_lora_rank": None,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "vocab_size": 102400,
    "tie_word_embeddings": False,
}


def written(folder: Path, config: Any, name: str = "config.json") -> str:
    path = folder / name
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return str(path)


def test_listed_shapes_count_to_their_published_weights() -> None:
    """Matrices counted from the shape match the published total to 1.5 % (OPT also learns positions and biases)."""
    table = read_table("model_shapes")
    assert list(shape_names()) == sorted(shape_names(), key=lambda name: float(table[name]["parameters"]))
    for name, row in table.items():
        counted = shape_of(name, row["source"], row)
        assert counted.parameters == pytest.approx(float(row["parameters"]), rel=0.015), name
        every_layer = [shape.parameters - 2 * shape.head_parameters for shape in (find_shape(name), counted)]
        assert every_layer[0] == pytest.approx(every_layer[1], rel=0.04), name
    assert set(size_names()) >= {"68M", "160M", "0.5B", "0.6B", "1B", "3B", "4B", "7B", "7.25B", "8B", "14B", "32B"}


@pytest.mark.parametrize(
    ("size", "kv_bytes"),
    [
        # 2 (keys and values) layers kv_heads head_size 2 bytes, from the models' own configurations.
        ("14B", 2 * 40 * 8 * 128 * 2),
        ("4B", 2 * 36 * 8 * 128 * 2),
        ("3B", 2 * 28 * 8 * 128 * 2),
        ("0.6B", 2 * 28 * 8 * 128 * 2),
        ("7.25B", 2 * 32 * 8 * 128 * 2),
        ("Qwen/Qwen2.5-7B", 2 * 28 * 4 * 128 * 2),
        ("mistral-nemo-12b", 2 * 40 * 8 * 128 * 2),
    ],
)
def test_cache_of_a_token_is_that_of_the_real_model(size: str, kv_bytes: int) -> None:
    assert find_shape(size).kv_values_per_token() * 2 == kv_bytes
    assert not find_shape(size).note


def test_a_configuration_gives_the_listed_shape(tmp_path: Path) -> None:
    by_file, listed = find_shape(written(tmp_path, QWEN3_14B)), find_shape("Qwen3-14B")
    for name in ("layers", "hidden", "attention_width", "kv_width", "head_parameters"):
        assert getattr(by_file, name) == getattr(listed, name)
    assert by_file.parameters == pytest.approx(listed.parameters, rel=1e-3)
    assert find_shape(str(tmp_path)).parameters == by_file.parameters  # its folder means the same
    assert str(tmp_path) not in by_file.source  # no folder of this machine reaches a manifest
    priced = price_model(RooflineSettings(hardware="h100", model_size=str(tmp_path / "config.json")))
    assert priced.kv_bytes_per_token == 163840


def test_the_language_model_of_a_model_that_sees(tmp_path: Path) -> None:
    nested = {"model_type": "gemma3", "vision_config": {"hidden_size": 1152}, "text_config": QWEN3_14B}
    assert find_shape(written(tmp_path, nested)).layers == 40


def test_a_repository_in_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--acme--tiny-llm" / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    written(snapshot, {**QWEN3_14B, "num_hidden_layers": 10})
    refs = tmp_path / "models--acme--tiny-llm" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc123")
    assert find_shape("acme/tiny-llm").layers == 10
    assert find_shape("acme/tiny-llm").source == "acme/tiny-llm"
    with pytest.raises(InputError, match=r"no configuration of 'acme/other' in the local Hugging Face cache"):
        find_shape("acme/other")


def test_experts_are_read_as_tokens_meet_them(tmp_path: Path) -> None:
    shape = find_shape(written(tmp_path, MIXTRAL))
    assert shape.parameters == pytest.approx(46.7e9, rel=1e-3)
    used = shape.layer_parameters + 2 * shape.expert_parameters + 2 * shape.head_parameters
    assert used == pytest.approx(12.9e9, rel=0.01)  # active parameters as published
    one, many = shape.streamed_layer_parameters(1), shape.streamed_layer_parameters(1000)
    assert one == pytest.approx(shape.layer_parameters + 2 * shape.expert_parameters)
    assert many == pytest.approx(shape.layer_parameters + 8 * shape.expert_parameters)
    # Two tokens choose two of eight each: 8 (1 - (3/4)^2) = 3.5 experts.
    assert shape.streamed_layer_parameters(2) - shape.layer_parameters == pytest.approx(3.5 * shape.expert_parameters)


def test_latent_attention_keeps_a_compressed_vector(tmp_path: Path) -> None:
    shape = find_shape(written(tmp_path, DEEPSEEK_V2_LITE))
    assert shape.kv_values_per_token() == 27 * (512 + 64)
    assert shape.parameters == pytest.approx(15.7e9, rel=0.01)
    active = shape.layer_parameters + 6 * shape.expert_parameters + 2 * shape.head_parameters
    assert active == pytest.approx(2.66e9, rel=0.03)  # as published


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 40), st.integers(0, 60), st.integers(1, 50))
def test_attention_within_a_window_counts_pairs(new: int, before: int, window: int) -> None:
    row = {"layers": 3, "hidden": 4, "heads": 1, "kv_heads": 1, "head_size": 4, "feed_forward": 8, "vocabulary": 7}
    shape = shape_of("x", "x", {**row, "tied": True, "window": window, "windowed_layers": 2})
    context = before + new
    seen = [before + i + 1 for i in range(new)]
    pairs = sum(seen) + 2 * sum(min(one, window) for one in seen)
    matrices = 2 * (shape.layer_parameters * new + shape.head_parameters * 2)
    assert shape.flops(new, context, 2) == pytest.approx(matrices + 4 * 4 * pairs)
    assert shape.kv_values(context, new) == 2 * 4 * (context + 2 * min(context, window + new - 1))


@given(st.lists(st.builds(WorkSize, st.integers(1, 50), st.integers(50, 900), st.integers(0, 9)), min_size=1))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_work_of_a_step_is_that_of_its_sequences(batch: list[WorkSize]) -> None:
    for name in ("8B", "gemma-3-1b", "gpt-oss-20b"):
        shape = find_shape(name)
        each = [
            (shape.flops(w.new_tokens, w.context_tokens, w.num_rows), shape.kv_values(w.context_tokens, w.new_tokens))
            for w in batch
        ]
        new_tokens, num_rows = sum(w.new_tokens for w in batch), sum(w.num_rows for w in batch)
        assert shape.batch_work(batch, new_tokens, num_rows) == pytest.approx(tuple(map(sum, zip(*each, strict=True))))
        assert [one for item in shape.item_work(batch) for one in item] == pytest.approx([x for y in each for x in y])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", r"config\.json:1: this is no JSON"),
        ('{"hidden_size": 5,\n oops}', r"config\.json:2: this is no JSON"),
        ("[1]", "expected a model's configuration"),
        ({}, "num_hidden_layers or n_layer.* is missing"),
        ({**QWEN3_14B, "vocab_size": "many"}, "vocab_size must be a positive whole number, got 'many'"),
        ({**QWEN3_14B, "num_hidden_layers": 0}, "num_hidden_layers must be a positive whole number, got 0"),
        ({**QWEN3_14B, "model_type": "mamba2"}, "mamba2 is no decoder of attention and feed-forward layers"),
        ({**QWEN3_14B, "is_encoder_decoder": True}, "is no decoder"),
        ({**QWEN3_14B, "layer_types": ["linear_attention"]}, "linear attention"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_shape(written(tmp_path, config))


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*nothing\.json"):
        find_shape(str(tmp_path / "nothing.json"))
    with pytest.raises(InputError, match=r"no config\.json in the folder"):
        find_shape(str(tmp_path))


@pytest.mark.parametrize(
    ("size", "parameters"), [("8b", 8.03026e9), ("3.5B", 3.5e9), ("350M", 350e6), (3.0e9, 3e9), ("8e9", 8e9), (7, 7)]
)
def test_sizes_are_understood(size: str | float, parameters: float) -> None:
    assert find_shape(size).parameters == pytest.approx(parameters, rel=5e-3)


def test_a_number_of_parameters_takes_the_nearest_shape_and_says_so() -> None:
    shape, nearest = find_shape("3.5B"), find_shape("Llama-3.2-3B")
    assert (shape.layers, shape.kv_width, shape.attention_width) == (28, nearest.kv_width, nearest.attention_width)
    assert shape.layer_parameters / nearest.layer_parameters == pytest.approx(3.5e9 / nearest.parameters)
    assert "no model of 3.5B parameters is listed" in shape.note and "meta-llama/Llama-3.2-3B" in shape.note
    model = price_model(RooflineSettings(hardware="h100", model_size="3.5B"))
    assert model.notes == (shape.note,)
    assert model.describe()["notes"] == [shape.note]
    assert find_shape(8.03e9).note == "8030000000.0 parameters: priced as meta-llama/Llama-3.1-8B"


def test_far_from_any_listed_model_depth_and_width_are_scaled() -> None:
    tiny, nearest = find_shape(1e6), find_shape("68M")
    side = (1e6 / nearest.parameters) ** (1 / 3)
    assert tiny.kv_width == pytest.approx(nearest.kv_width * side)
    assert "scaled with the cube root" in tiny.note


def test_a_model_at_hand_is_priced_by_its_own_shape(tmp_path: Path) -> None:
    written(tmp_path, {**QWEN3_14B, "num_hidden_layers": 12})
    assert shape_of_model(str(tmp_path), 5).layers == 12
    assert shape_of_model("HuggingFaceTB/SmolLM2-135M", 5).layers == 30
    assert shape_of_model("embedded/target", 134_515_008).source == "HuggingFaceTB/SmolLM2-135M"
    with pytest.raises(InputError, match="the model table has no weights to count: give a model_size"):
        shape_of_model("table", 0)


@pytest.mark.parametrize("size", ["huge", "", "-8B", "0B", "1.2.3B", "nan", -1.0, 0])
def test_unknown_model_size_is_refused(size: str | float) -> None:
    with pytest.raises(InputError, match=r"unknown model size .*valid: 68M, 125M, .*70B, .*or a number"):
        find_shape(size)
    with pytest.raises(ValidationError, match="unknown model size"):
        RooflineSettings(hardware="h100", model_size=size)
