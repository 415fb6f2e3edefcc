"""Contexts that are cut, with a note: at a sliding window, and where a rotary embedding changes with the length."""

from __future__ import annotations

import numpy as np
import pytest

from sim.core.errors import InputError
from sim.decoding import decode
from sim.models.describe import describe_model
from sim.models.huggingface import HuggingFaceModel
from sim.models.interface import ForwardPass
from sim.models.limits import context_limit
from sim.models.loading import load_model, load_pair
from tests.models import builders
from tests.models.conftest import uncached_rows

WINDOW = 24
ORIGINAL = 32
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 4.0, 7.0, 10.0],
    "original_max_position_embeddings": ORIGINAL,
    "rope_theta": 10000.0,
}
PHI3 = {**builders.MODERN, "pad_token_id": 0, "sliding_window": None, "original_max_position_embeddings": ORIGINAL}
GPT_NEO = {"num_layers": 2, "hidden_size": 32, "num_heads": 4, "max_position_embeddings": 96, "window_size": WINDOW}
# Networks whose context is cut, and to what.
CUT = {
    "mistral": ("Mistral", {**builders.MODERN, "sliding_window": WINDOW}, WINDOW, "sliding attention"),
    "phi3 window": (
        "Phi3",
        {**builders.MODERN, "pad_token_id": 0, "sliding_window": WINDOW},
        WINDOW,
        "sliding attention",
    ),
    "gemma2": ("Gemma2", {**builders.MODERN, "head_dim": 8, "sliding_window": WINDOW}, WINDOW, "sliding attention"),
    "gemma3": ("Gemma3Text", {**builders.MODERN, "head_dim": 8, "sliding_window": WINDOW}, WINDOW, "sliding attention"),
    "gpt_neo": ("GPTNeo", {**GPT_NEO, "attention_types": [[["global", "local"], 1]]}, WINDOW, "sliding attention"),
    "phi3 longrope": ("Phi3", {**PHI3, "rope_parameters": LONGROPE}, ORIGINAL, "longrope"),
}


def text(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed).integers(3, builders.VOCAB_SIZE, length).tolist()


@pytest.mark.parametrize("case", CUT)
def test_up_to_the_cut_rows_are_those_of_the_network_whatever_is_cached(case):
    kind, sizes, limit, reason = CUT[case]
    network = builders.network(kind, **sizes).double()
    model = HuggingFaceModel(network, "test", builders.VOCAB_SIZE, frozenset(), 1, "none")
    assert model.max_context == limit
    assert len(model.notes) == 1
    assert f"cut from 96 to {limit} tokens" in model.notes[0]
    assert reason in model.notes[0]
    ids = text(1, limit)
    for batch in (
        [ForwardPass("a", ids[:5])],
        [ForwardPass("a", ids[:-3], tuple(ids[-3:])), ForwardPass("b", ids[:7], (4, 5, 6), (-1, -1, 1))],
        [ForwardPass("a", ids)],
    ):
        for rows, forward in zip(model.forward(batch), batch, strict=True):
            np.testing.assert_allclose(rows, uncached_rows(network, forward), rtol=0, atol=2e-5)
    with pytest.raises(ValueError, match=f"exceeds its context of {limit}"):
        model.forward([ForwardPass("a", [*ids, 5])])


def test_greedy_text_of_a_longrope_pair_is_the_same_under_every_protocol(tmp_path):
    """Beyond the cut the text depended on the protocol; a generation that would go there is refused."""
    for name, seed in (("draft", 1), ("target", 2)):
        network = builders.network("Phi3", seed=seed, **PHI3, rope_parameters=LONGROPE)
        builders.save(network, tmp_path / name)
    draft, target = load_pair(str(tmp_path / "draft"), str(tmp_path / "target"), device="cpu")
    prompt = list(range(20, 44))

    def tokens(protocol: str, **keys) -> list[int]:
        return decode(protocol, draft, target, prompt, seed=1, max_new_tokens=8, temperature=0.0, **keys).tokens

    plain = tokens("edge_only")
    assert tokens("tslt", top_k=16, draft_length=1) == plain
    assert tokens("tslt", top_k=16, draft_length=4) == plain
    assert tokens("dsd") == plain
    with pytest.raises(InputError, match=r"exceed the context of .* 32 tokens"):
        decode("edge_only", draft, target, prompt, max_new_tokens=24)


def test_dynamic_scaling_of_the_rotary_embedding_ends_at_the_original_length(tmp_path):
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": ORIGINAL}
    network = builders.network("Llama", **builders.MODERN, rope_parameters=rope)
    model = load_model(str(builders.save(network, tmp_path)), device="cpu", dtype="float64")
    assert isinstance(model, HuggingFaceModel)
    assert (model.max_context, len(model.notes)) == (ORIGINAL, 1)


@pytest.mark.parametrize(
    "config",
    [
        {"max_position_embeddings": 64},
        {"n_positions": 64, "sliding_window": None},
        {"max_position_embeddings": 64, "sliding_window": 16, "use_sliding_window": False},
        {"max_position_embeddings": 64, "sliding_window": 16, "layer_types": ["full_attention"]},
        {"max_position_embeddings": 64, "sliding_window": 64},
        {"text_config": {"max_position_embeddings": 64, "rope_parameters": {"rope_type": "llama3", "factor": 8.0}}},
        {"max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
    ],
)
def test_a_context_that_holds_as_it_is_stated_has_no_note(config):
    limit = context_limit(config, "test")
    assert (limit.length, limit.notes) == (64, ())


def test_rotary_embeddings_may_differ_by_kind_of_layer():
    rope = {"full_attention": {"rope_type": "dynamic", "original_max_position_embeddings": 16}, "sliding_attention": {}}
    assert context_limit({"max_position_embeddings": 64, "rope_parameters": rope}, "test").length == 16


@pytest.mark.parametrize(("stated", "length"), [({"seq_length": 64}, 64), ({}, 2048), ({"seq_length": None}, 2048)])
def test_bloom_without_a_longest_text_has_the_one_that_it_was_trained_with(stated, length, tmp_path):
    sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
    folder = builders.save(builders.network("Bloom", **sizes, **stated), tmp_path)
    described, _ = describe_model(str(folder))
    model = load_model(str(folder), device="cpu")
    assert described.max_context == model.max_context == length
    assert described.notes == model.notes and len(model.notes) == (length == 2048)
    assert all("states no context length; taken as 2048 tokens" in note for note in model.notes)
    assert (described.vocab_size, described.layers, described.parameters) == (100, 2, model.num_parameters)


def test_greedy_text_of_a_bloom_pair_is_that_of_the_target_alone(tmp_path):
    sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": 96}
    for name, seed in (("draft", 1), ("target", 2)):
        builders.save(builders.network("Bloom", seed=seed, **sizes), tmp_path / name)
    draft, target = load_pair(str(tmp_path / "draft"), str(tmp_path / "target"), device="cpu")
    plain = decode("edge_only", draft, target, text(2, 9), seed=1, max_new_tokens=20, temperature=0.0).tokens
    assert decode("dsd", draft, target, text(2, 9), seed=1, max_new_tokens=20, temperature=0.0).tokens == plain


def test_a_configuration_without_a_length_is_refused():
    with pytest.raises(InputError, match="model type 'x' states no context length"):
        context_limit({"model_type": "x"}, "test")
