"""Compiled layers against the same formulas written out in NumPy, over whole texts without a cache; in float64.

Tolerance 1e-10: logits reach 10, sums of at most a hundred products differ in the last bits.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sim.models import llama_single
from sim.models.interface import ForwardPass
from sim.models.layout import Chunk
from sim.models.llama_compiled import CompiledPass
from sim.models.llama_fast import LlamaFast
from sim.models.llama_weights import FEW_ROWS, OutputProjection
from sim.models.loading import load_model
from tests.models import builders

SHAPES = {
    "alike heads": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "grouped heads": {"hidden_size": 36, "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 10},
    "odd widths": {
        "hidden_size": 30,
        "intermediate_size": 37,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "head_dim": 6,
    },
    "large epsilon": {"rms_norm_eps": 0.3, "rope_parameters": {"rope_type": "default", "rope_theta": 70.0}},
}
CONTEXT = tuple(np.random.default_rng(5).integers(3, builders.VOCAB_SIZE, 21).tolist())
TREE = ((5, 6, 7, 8, 9, 10), (-1, -1, 0, 1, 1, 3))


@pytest.fixture(scope="module", params=SHAPES)
def model(request, tmp_path_factory):
    sizes = {**builders.MODERN, "vocab_size": builders.VOCAB_SIZE, **SHAPES[request.param]}
    network = builders.network("Llama", **sizes)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 2.0)
    folder = builders.save(network, tmp_path_factory.mktemp("llama"))
    loaded = load_model(str(folder), dtype="float64", device="cpu")
    assert isinstance(loaded, LlamaFast) and loaded._single.compiled is not None
    return loaded


def written_out(model: LlamaFast, text: list[int]) -> np.ndarray:
    """Logits after a text's last token."""
    sizes, dim = model.sizes, model.sizes.head_dim
    turns = model._turns.numpy()[: len(text), None]
    hidden = model._embedding.numpy()[text]

    def normed(x):
        return x / np.sqrt((x**2).mean(1, keepdims=True) + sizes.norm_epsilon)

    for layer in model._layers:
        qkv, attention_out, gate_up, down = (weight.numpy() for weight in layer.weights)
        heads = (normed(hidden) @ qkv).reshape(len(text), -1, dim)
        pairs = heads[..., ::2] + 1j * heads[..., 1::2]
        turned = pairs * turns
        seen = []
        for head in range(sizes.num_heads):
            shared = sizes.num_heads + head // (sizes.num_heads // sizes.num_kv_heads)
            scores = (turned[:, head] @ turned[:, shared].conj().T).real
            scores[np.triu_indices(len(text), 1)] = -np.inf
            weights = np.exp(scores - scores.max(1, keepdims=True))
            seen.append(weights / weights.sum(1, keepdims=True) @ heads[:, shared + sizes.num_kv_heads])
        hidden = hidden + np.hstack(seen) @ attention_out
        gates, ups = np.split(normed(hidden) @ gate_up, 2, axis=1)
        hidden = hidden + gates / (1 + np.exp(-gates)) * ups @ down
    gain = model._final_gain.numpy()[: sizes.hidden_size]
    return (normed(hidden[-1:]) * gain @ model._head.weight.numpy().T)[0]


def check(model: LlamaFast, forward: ForwardPass, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold a forward's rows against whole texts; it must not go through NumPy's layers."""
    with monkeypatch.context() as patched:
        patched.setattr(llama_single, "rms_norm", None)
        (rows,) = model.forward([forward])
    for row, got in zip(range(forward.first_row, len(forward.block) + 1), rows, strict=True):
        path, node = [], row - 1
        while node >= 0:
            path.insert(0, forward.block[node])
            node = forward.parent_nodes[node]
        np.testing.assert_allclose(got, written_out(model, [*forward.context, *path]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("count", range(1, FEW_ROWS + 1))
def test_chains(model, monkeypatch, count):
    session = ("chain", count)
    model.forward([ForwardPass(session, CONTEXT[:-1])])
    check(model, ForwardPass(session, CONTEXT, CONTEXT[: count - 1]), monkeypatch)
    check(model, ForwardPass(session, [*CONTEXT, 7], CONTEXT[: count - 1], first_row=count // 2), monkeypatch)
    check(model, ForwardPass(("anew", count), CONTEXT[:count]), monkeypatch)


def test_trees_and_accepted_paths(model, monkeypatch):
    block, parents = TREE
    model.forward([ForwardPass("tree", CONTEXT[:-1])])
    check(model, ForwardPass("tree", CONTEXT, block, parents), monkeypatch)
    check(model, ForwardPass("tree", CONTEXT, (*block, 11), (*parents, 2), first_row=7), monkeypatch)
    check(model, ForwardPass("tree", [*CONTEXT, 6, 8, 10, 40], (41, 42), (-1, -1)), monkeypatch)


def test_long_texts_keep_their_columns_in_larger_slots(model, monkeypatch):
    text = [*CONTEXT * 5]
    model.forward([ForwardPass("long", text[:50])])
    model.forward([ForwardPass("long", text[:70])])
    check(model, ForwardPass("long", text[:74], (4, 5, 6)), monkeypatch)


def fed(model: LlamaFast, factor: float, head: OutputProjection) -> np.ndarray:
    """Logits of a short text by compiled layers of their own, weights times a factor."""
    sizes = model.sizes
    gain, turns = model._final_gain.numpy()[: sizes.hidden_size], model._turns.numpy()
    matrices = [tuple(factor * weight.numpy() for weight in layer.weights) for layer in model._layers]
    compiled = CompiledPass(sizes, model._embedding.numpy(), matrices, head, gain, turns)
    shape = (sizes.num_layers, sizes.num_kv_heads, 64, sizes.head_dim)
    return compiled.feed(Chunk(0, 0, CONTEXT[:6], 2, 6), list(np.zeros(shape)), list(np.zeros(shape)))


def test_closed_and_open_gates_and_large_scores_stay_finite(model):
    """Weights a thousandfold: exp overflows in gates, and one column takes all attention."""
    assert np.isfinite(fed(model, 1000, model._head)).all()


def test_a_head_too_large_for_two_layouts_serves_as_well(model):
    head = OutputProjection(model._head.weight)
    head.by_input = None
    np.testing.assert_allclose(fed(model, 1, head)[1], written_out(model, list(CONTEXT[:6])), rtol=0, atol=1e-10)


def test_many_tokens_and_what_is_attended_to_go_through_numpy(model, monkeypatch):
    def refuse(*_):
        raise AssertionError("compiled")

    with monkeypatch.context() as patched:
        patched.setattr(model._single.compiled, "feed", refuse)
        model.forward([ForwardPass("many", CONTEXT[: FEW_ROWS + 1])])
        assert math.isclose(model.attention(CONTEXT[:5]).sum(), 1)
        with pytest.raises(AssertionError, match="compiled"):
            model.forward([ForwardPass("few", CONTEXT[:FEW_ROWS])])


def test_networks_with_larger_layers_are_left_to_matrix_libraries(model, monkeypatch):
    """One number more in each layer than there may be."""
    parts = (model.sizes, model._embedding, model._layers, model._head, model._final_gain, model._turns)
    numbers = model.sizes.layer_numbers // model.sizes.num_layers
    for limit, is_compiled in ((numbers, True), (numbers - 1, False)):
        monkeypatch.setattr(llama_single, "COMPILED_NUMBERS", limit)
        assert (llama_single.SinglePass(*parts).compiled is not None) == is_compiled


def test_the_pair_that_ships_is_compiled_and_says_what_by():
    assert "numba" in load_model("embedded/target").numerics
