"""The lean Llama forward against transformers' own, the oracle: every batch shape, in float64 and float32.

Tolerances: 1e-10 in float64 and 2e-4 in float32, where logits of these networks reach 10; folding gains into weights
moves the last bits only.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from sim.core.errors import InputError
from sim.models import llama_weights
from sim.models.huggingface import HuggingFaceModel
from sim.models.importance import importance
from sim.models.interface import ForwardPass
from sim.models.llama_fast import LlamaFast
from sim.models.llama_sizes import LlamaSizes
from sim.models.llama_weights import has_half_products
from sim.models.loading import load_model
from tests.models import builders
from tests.models.conftest import uncached_rows

TOLERANCE = 1e-10
SHAPES = {
    "grouped": {"num_key_value_heads": 2},
    "tied": {"num_key_value_heads": 4, "tie_word_embeddings": True},
    "wide heads": {"num_key_value_heads": 1, "head_dim": 24, "rms_norm_eps": 1e-4},
    "turned slowly": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "vocab_size": 128},
}


@pytest.fixture(scope="module", params=SHAPES)
def both(request, tmp_path_factory):
    """The lean model and the network that it is held against."""
    sizes = {**builders.MODERN, "vocab_size": builders.VOCAB_SIZE, **SHAPES[request.param]}
    network = builders.network("Llama", **sizes)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 2.0)
    folder = builders.save(network, tmp_path_factory.mktemp("llama"))
    model = load_model(str(folder), dtype="float64", device="cpu")
    assert isinstance(model, LlamaFast)
    network.double()
    for module in network.modules():
        if type(module).__name__ == "LlamaRMSNorm":
            module.forward = partial(exact_norm, module)
    return model, network, folder


def exact_norm(module, hidden):
    """transformers computes this norm in float32 whatever the model's precision; here in the model's own."""
    return module.weight * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)


def text(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed).integers(3, builders.VOCAB_SIZE, length).tolist()


def check(both, *batch: ForwardPass) -> None:
    model, network, _ = both
    for rows, forward in zip(model.forward(batch), batch, strict=True):
        assert rows.shape == (forward.num_rows, builders.VOCAB_SIZE)
        np.testing.assert_allclose(rows, uncached_rows(network, forward), rtol=0, atol=TOLERANCE)


def test_single_chains(both):
    ids = text(1, 40)
    check(both, ForwardPass("s", ids[:20]))
    check(both, ForwardPass("s", ids[:20], tuple(ids[20:25])))
    check(both, ForwardPass("s", ids[:23], (5, 6)))
    check(both, ForwardPass("s", ids[:23], (5, 6, 7), first_row=3))
    check(both, ForwardPass("s", ids[:10]))


def test_single_trees_and_accepted_paths(both):
    ids = text(2, 20)
    check(both, ForwardPass("t", ids))
    check(both, ForwardPass("t", ids, (5, 6), (-1, -1), first_row=1))
    check(both, ForwardPass("t", ids, (5, 6, 7, 8, 9), (-1, -1, 0, 1, 1), first_row=3))
    check(both, ForwardPass("t", [*ids, 6, 9, 40], (41, 42, 43), (-1, -1, 1)))
    check(both, ForwardPass("u", ids[:7], (41, 42, 43), (-1, -1, 1), first_row=2))


def test_ragged_batches_in_neighbouring_and_scattered_slots(both):
    ids = text(3, 70)
    check(both, *(ForwardPass(f"r{i}", ids[i : 10 + 3 * i]) for i in range(6)))
    check(both, *(ForwardPass(f"r{i}", ids[i : 11 + 3 * i], tuple(ids[:4])) for i in range(6)))
    check(both, *(ForwardPass(f"r{i}", ids[i : 11 + 3 * i], tuple(ids[: i + 1]), first_row=i) for i in (5, 0, 3)))
    check(
        both,
        ForwardPass("r4", ids[4:30], (4, 5, 6), (-1, -1, 0)),
        ForwardPass("r1", ids[1:20]),
        ForwardPass("r2", ids[2:20], (8, 9), (-1, -1), first_row=2),
        ForwardPass("long", ids),
    )


def test_long_prompts_in_a_batch_are_fed_in_chunks(both, monkeypatch):
    from sim.models import cached_model

    monkeypatch.setattr(cached_model, "PREFILL_CHUNK", 16)
    check(both, ForwardPass("c0", text(4, 60), (5, 6)), ForwardPass("c1", text(5, 43)), ForwardPass("c2", text(6, 5)))


@pytest.mark.parametrize("max_copied", [llama_weights.MAX_COPIED, 0], ids=["small", "large"])
def test_float32_agrees_with_the_transformers_model_and_picks_the_same_tokens(both, monkeypatch, max_copied):
    """Weights of a small model are kept in several layouts, those of a large one packed only."""
    monkeypatch.setattr(llama_weights, "MAX_COPIED", max_copied)
    _, network, folder = both
    fast = load_model(str(folder), device="cpu")
    slow = HuggingFaceModel(network.float(), "oracle", builders.VOCAB_SIZE, frozenset(), 1, "none")
    assert isinstance(fast, LlamaFast)
    for seed in range(4):
        batch = [ForwardPass((seed, i), text(10 * seed + i, 12 + 5 * i), (4, 5, 6), (-1, 0, 0)) for i in range(4)]
        for got, expected in zip(fast.forward(batch), slow.forward(batch), strict=True):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4)
            np.testing.assert_array_equal(got.argmax(axis=1), expected.argmax(axis=1))
    assert fast.num_parameters == slow.num_parameters
    assert fast.max_context == slow.max_context
    for length in (1, 2, 90):  # alone: one row, few, and many
        ids = text(length, length)
        got, expected = (model.forward([ForwardPass(("alone", length), ids, first_row=0)])[0] for model in (fast, slow))
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4)
    network.double()


@pytest.mark.parametrize("part", ["self_attn.v_proj", "mlp.up_proj", "self_attn.o_proj", "mlp.down_proj"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_weight_that_is_no_number_is_found_in_packed_ones(both, tmp_path, monkeypatch, dtype, part):
    monkeypatch.setattr(llama_weights, "MAX_COPIED", 0)
    network = deepcopy(both[1]).float()
    network.get_parameter(f"model.layers.1.{part}.weight").data[3, 2] = torch.nan
    with pytest.raises(InputError, match="layer 1"):
        load_model(str(builders.save(network, tmp_path)), device="cpu", dtype=dtype)


def test_products_in_bfloat16_leave_rows_close_to_exact_ones_and_closer_than_a_network_in_bfloat16(both):
    """Of the layers' products alone: norms, attention and logits are as in float32."""
    _, network, folder = both
    exact = load_model(str(folder), dtype="float64", device="cpu")
    half = load_model(str(folder), dtype="bfloat16", device="cpu")
    assert isinstance(half, LlamaFast if has_half_products() else HuggingFaceModel)
    plain = HuggingFaceModel(deepcopy(network).bfloat16(), "oracle", builders.VOCAB_SIZE, frozenset(), 1, "none")
    off, plain_off = [], []
    for seed in range(6):
        batch = [ForwardPass((seed, i), text(10 * seed + i, 12 + 5 * i), (4, 5, 6), (-1, 0, 0)) for i in range(4)]
        for got, whole, expected in zip(*(model.forward(batch) for model in (half, plain, exact)), strict=True):
            assert got.dtype == np.float32
            off.append(np.abs(got - expected).mean())
            plain_off.append(np.abs(whole - expected).mean())
    assert 1e-5 < np.mean(off) < (0.9 if has_half_products() else 1.5) * np.mean(plain_off)
    for single in range(3):
        one = ForwardPass(("alone", single), text(single, 20), (4, 5))
        np.testing.assert_allclose(half.forward([one])[0], exact.forward([one])[0], rtol=0, atol=0.5)


@pytest.mark.parametrize(
    "change",
    [
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}},
        {"quantization_config": {"bits": 4}},
        {"head_dim": 7},
        {"model_type": "mistral"},
    ],
)
def test_unknown_variants_are_left_to_transformers(change, both):
    config = json.loads((both[2] / "config.json").read_text())
    assert LlamaSizes.from_config(config) is not None
    assert LlamaSizes.from_config({**config, **change}) is None


def test_scaled_rope_goes_through_transformers(tmp_path):
    scaled = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    network = builders.network("Llama", **builders.MODERN, rope_parameters=scaled)
    model = load_model(str(builders.save(network, tmp_path)), dtype="float64", device="cpu")
    assert isinstance(model, HuggingFaceModel)
    forward = ForwardPass("a", text(1, 30), (4, 5))
    np.testing.assert_allclose(
        model.forward([forward])[0], uncached_rows(network.double(), forward), rtol=0, atol=TOLERANCE
    )


def test_missing_weight_is_an_input_error(both, tmp_path):
    from safetensors.torch import load_file, save_file

    from sim.core.errors import InputError

    weights = load_file(both[2] / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    for path in both[2].glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="up_proj"):
        load_model(str(tmp_path), device="cpu")


def test_a_copied_session_goes_on_as_if_it_had_been_fed(checkpoint):
    model = load_model(str(checkpoint("llama")), device="cpu", dtype="float64")
    text, block = list(range(3, 40)), (5, 6)
    model.forward([ForwardPass("prompt", text)])
    for name in ("a", "b"):
        model.copy_session("prompt", name)
    works = [ForwardPass("a", [*text, 9], block), ForwardPass("b", [*text, 8], block)]
    assert [model.new_tokens(work) for work in works] == [3, 3]
    together = model.forward(works)
    again = model.forward([ForwardPass("prompt", text)])[0]
    model.forget_all()
    for work, rows in zip(works, together, strict=True):
        np.testing.assert_allclose(rows, model.forward([work])[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(again, model.forward([ForwardPass("other", text)])[0], rtol=0, atol=1e-12)
    model.copy_session("nobody", "c")
    assert model.new_tokens(ForwardPass("c", text)) == len(text)


def test_reserved_memory_is_laid_out_once_and_used_again(both):
    """What an earlier text has left in the memory, even of a longer one, adds nothing to a later one's rows."""
    model = both[0]
    first, second = (text(seed, 40) for seed in (1, 2))
    model.forget_all()
    model.reserve(3, 64)
    store = model._store
    memory = store.keys[0].data_ptr()
    check(both, ForwardPass("a", first), ForwardPass("b", second))
    assert (store.num_slots, store.capacity) == (3, 64)
    model.forget_all()
    model.reserve(3, 64)
    assert store.keys[0].data_ptr() == memory
    check(both, ForwardPass("c", second[:7]), ForwardPass("a", first[:30], (4, 5)))
    model.reserve(2, 20)
    assert (store.num_slots, store.capacity) == (3, 64)


def test_attention_is_that_of_transformers(both):
    """Weights of the last layer from the last token; behind both models, and the importance beside a row."""
    model, network, _ = both
    ids = text(7, 20)
    network.set_attn_implementation("eager")
    with torch.inference_mode():
        expected = network(input_ids=torch.tensor([ids]), output_attentions=True).attentions[-1][0, :, -1].mean(0)
    assert model.attention(ids) == pytest.approx(expected.numpy(), abs=1e-6)  # its softmax is in float32
    stock = HuggingFaceModel(network, "stock", builders.VOCAB_SIZE, frozenset(), 1, "stock")
    assert stock.attention(ids) == pytest.approx(expected.numpy(), abs=1e-12)
    forward = ForwardPass(("plain",), ids[:-2], tuple(ids[-2:]), first_row=1)
    (plain,) = model.forward([forward])
    (rows,) = model.forward([replace(forward, session=("told",), with_importance=True)])
    assert rows.shape == (2, builders.VOCAB_SIZE + 1) and np.array_equal(rows[:, :-1], plain)
    assert rows[:, -1] == pytest.approx([importance(model.attention(ids[:end])) for end in (19, 20)])
