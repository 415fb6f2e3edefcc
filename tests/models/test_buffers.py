"""Masks, positions and frequencies of older checkpoints: neither parameters nor surplus weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sim.core.errors import InputError
from sim.models.describe import describe_model
from sim.models.interface import ForwardPass
from sim.models.loading import load_model
from tests.models import builders

NEO = {"num_layers": 2, "num_heads": 4, "hidden_size": 32, "attention_types": [[["global"], 2]]}
CODE = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": builders.MAX_CONTEXT}
MASK, FILL = torch.ones(1, 1, 96, 96, dtype=torch.bool).tril(), torch.tensor(-1e4)
NUMBERED = torch.arange(96)[None]
STORED: dict[str, tuple[str, dict[str, Any], dict[str, torch.Tensor]]] = {
    "GPT-2": ("gpt2", {}, {"transformer.h.0.attn.bias": MASK.byte(), "transformer.h.0.attn.masked_bias": FILL}),
    "GPT-2 of the hub": ("gpt2", {}, {"h.1.attn.bias": MASK.float()}),
    "GPT-Neo": (
        "GPTNeo",
        {**NEO, "max_position_embeddings": builders.MAX_CONTEXT},
        {"transformer.h.1.attn.attention.bias": MASK, "transformer.h.1.attn.attention.masked_bias": FILL},
    ),
    "GPT-NeoX": (
        "GPTNeoX",
        {key: value for key, value in builders.MODERN.items() if key != "num_key_value_heads"},
        {
            "gpt_neox.layers.0.attention.bias": MASK,
            "gpt_neox.layers.0.attention.masked_bias": FILL,
            "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
        },
    ),
    "GPT-J": ("GPTJ", {**CODE, "rotary_dim": 4}, {"transformer.h.0.attn.bias": MASK}),
    "Llama": (
        "Llama",
        builders.MODERN,
        {
            "model.layers.1.self_attn.rotary_emb.inv_freq": torch.ones(4),
            "model.layers.1.self_attn.rotary_emb.cos_cached": torch.ones(1, 1, 96, 8),
            "model.position_ids": NUMBERED,
        },
    ),
    "Qwen2": ("qwen2", {}, {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
    "OPT": ("opt", {}, {"model.decoder.version": torch.ones(1)}),
}


def with_tensors(folder: Path, added: dict[str, torch.Tensor], prefix: str = "") -> None:
    path = folder / "model.safetensors"
    stored = {name.removeprefix(prefix): tensor for name, tensor in load_file(path).items()}
    save_file({**stored, **added}, path, metadata={"format": "pt"})


@pytest.mark.parametrize("kind", STORED)
def test_what_older_versions_stored_beside_the_weights_is_no_part_of_the_model(kind: str, tmp_path: Path) -> None:
    family, sizes, added = STORED[kind]
    network = builders.network(family, **sizes)
    plain, old = (builders.save(network, tmp_path / name) for name in ("plain", "old"))
    with_tensors(old, added, "transformer." if kind == "GPT-2 of the hub" else "")
    described, _ = describe_model(str(old))
    assert described.parameters == sum(parameter.numel() for parameter in network.parameters())
    theirs, ours = (load_model(str(folder), device="cpu") for folder in (plain, old))
    assert ours.num_parameters == described.parameters
    batch = [ForwardPass("a", [5, 6, 7], (8, 9))]
    np.testing.assert_array_equal(ours.forward(batch)[0], theirs.forward(batch)[0])


SURPLUS = {
    "a weight of that name": ("model.layers.0.self_attn.bias", torch.zeros(32)),
    "no square": ("model.layers.0.self_attn.bias", torch.zeros(1, 1, 32, 8)),
    "several masks": ("model.layers.0.self_attn.bias", torch.zeros(1, 4, 32, 32)),
    "of a projection": ("model.layers.0.self_attn.q_proj.bias", torch.zeros(32)),
    "many fills": ("model.layers.0.self_attn.masked_bias", torch.zeros(32)),
    "frequencies of two sides": ("model.layers.0.rotary_emb.inv_freq", torch.zeros(4, 4)),
    "learned positions": ("model.position_ids", torch.zeros(96, 32)),
    "of the layers": ("model.layers.9.mlp.up_proj.weight", torch.zeros(64, 32)),
}


# Of names like these transformers itself never asks which shape they have.
_PASSED_OVER = ("inv_freq", "position_ids")
_PLACES = [("Llama", what) for what in SURPLUS]
_PLACES += [("qwen2", what) for what, (name, _) in SURPLUS.items() if not name.endswith(_PASSED_OVER)]


@pytest.mark.parametrize(("family", "what"), _PLACES)
def test_surplus_weights_are_refused_whatever_their_name(family: str, what: str, tmp_path: Path) -> None:
    name, tensor = SURPLUS[what]
    if family == "qwen2" and "q_proj" in name:
        name = name.replace("q_proj", "o_proj")  # it has a bias there itself
    folder = builders.save(builders.network(family, **(builders.MODERN if family == "Llama" else {})), tmp_path)
    with_tensors(folder, {name: tensor})
    for use in (describe_model, lambda place: load_model(place, device="cpu")):
        with pytest.raises(InputError, match=r"1 tensor in its files that config.json does not ask for"):
            use(str(folder))


def test_the_hub_is_asked_for_parameters_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network = builders.network("gpt2")
    folder = builders.save(network, tmp_path)
    stored = {**load_file(folder / "model.safetensors"), "transformer.h.0.attn.bias": MASK}
    (folder / "model.safetensors").unlink()
    infos = {name: SimpleNamespace(shape=list(one.shape), parameter_count=one.numel()) for name, one in stored.items()}
    there = SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors=infos)})
    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", lambda _: there)
    monkeypatch.setattr("sim.models.sources.hub_snapshot", lambda *_: folder)
    described, _ = describe_model("owner/name")
    assert described.parameters == sum(parameter.numel() for parameter in network.parameters())


def test_scales_of_eight_bit_weights_are_no_parameters(tmp_path: Path) -> None:
    network = builders.network("Llama", **builders.MODERN)
    folder = builders.save(network, tmp_path)
    name = "model.layers.0.mlp.up_proj.weight"
    weight = load_file(folder / "model.safetensors")[name]
    with_tensors(folder, {name: weight.to(torch.int8), f"{name}_scale": torch.ones(len(weight))})
    described, _ = describe_model(str(folder))
    assert described.parameters == load_model(str(folder), device="cpu").num_parameters
    assert described.parameters == sum(parameter.numel() for parameter in network.parameters())
