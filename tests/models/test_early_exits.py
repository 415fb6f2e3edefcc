"""Early exits of the target's own layers as a draft: their rows are the exits', and the text keeps the target's law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sim.models.describe import describe_model
from sim.models.interface import ForwardPass
from sim.models.loading import load_model
from tests.models import builders
from tests.protocols.conftest import distance

VOCAB_SIZE, LAYERS, TEXT = 5, 3, [1, 3, 4, 0, 3]
# Rows of one text differ between batches in the last bits of single precision.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A Llama of three layers over five tokens: the folder, and the network itself."""
    folder = tmp_path_factory.mktemp("exits")
    network = builders.network("llama", vocab_size=VOCAB_SIZE, num_hidden_layers=LAYERS, eos_token_id=None)
    builders.save(network, folder, tokenizer=builders.words(VOCAB_SIZE))
    return folder, network


@pytest.mark.parametrize("exit_layer", [1, 2])
def test_an_exit_has_the_rows_of_the_networks_own_layer(checkpoint, exit_layer):
    """Norm and head over the hidden state behind so many layers."""
    folder, network = checkpoint
    with torch.inference_mode():
        hidden = network(torch.tensor([TEXT]), output_hidden_states=True).hidden_states[exit_layer]
        expected = network.lm_head(network.model.norm(hidden))[0].numpy()
    draft = load_model(f"{folder}#layers={exit_layer}")
    rows = draft.forward([ForwardPass((0, "exit"), TEXT[:1], tuple(TEXT[1:]))])[0]
    assert np.abs(rows - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_last_exit_is_the_target(checkpoint):
    folder, _ = checkpoint
    rows = [
        load_model(name).forward([ForwardPass((0, name), TEXT)])[0]
        for name in (str(folder), f"{folder}#layers={LAYERS}")
    ]
    assert (rows[0] == rows[1]).all()


@pytest.mark.parametrize("exit_layer", [1, 2])
def test_drafting_from_an_exit_is_exact(checkpoint, exit_layer):
    folder, _ = checkpoint
    draft, target = load_model(f"{folder}#layers={exit_layer}"), load_model(str(folder))
    draft.eos_ids = target.eos_ids = frozenset()  # the law that it is held against has texts of one length
    assert distance("colocated", draft, target, length=2, draft_length=1) < ROUNDING


SIZES = {"hidden_size": 32, "num_attention_heads": 4}
CODE = {"n_embd": 32, "n_head": 4, "n_positions": 96, "bos_token_id": 1, "eos_token_id": 2}
# Architectures of which a configuration calls its number of layers by another name.
NAMED = {
    "gpt2": (CODE, "n_layer"),
    "bloom": ({}, "n_layer"),
    "GPTJ": ({**CODE, "rotary_dim": 4}, "n_layer"),
    "GPTNeo": (
        {"hidden_size": 32, "num_heads": 4, "max_position_embeddings": 96, "attention_types": [[["global"], 3]]},
        "num_layers",
    ),
    "CodeGen": ({**CODE, "rotary_dim": 4}, "n_layer"),
    "GPTBigCode": (CODE, "n_layer"),
}


@pytest.mark.parametrize("selection", ["2", "0,2"])
@pytest.mark.parametrize("kind", NAMED)
def test_exits_of_architectures_that_name_their_layers_otherwise(kind: str, selection: str, tmp_path):
    sizes, key = NAMED[kind]
    network = builders.network(kind, **sizes, **{key: LAYERS})
    folder = builders.save(network, tmp_path)
    described, _ = describe_model(str(folder))
    assert described.layers == LAYERS
    name = f"{folder}#layers={selection}"
    draft = load_model(name, device="cpu")
    rows = draft.forward([ForwardPass((0, "exit"), TEXT[:1], tuple(TEXT[1:]))])[0]
    again = draft.forward([ForwardPass((0, "exit"), TEXT[:3], tuple(TEXT[3:]))])[0]
    skipped = [index for index in range(LAYERS) if index not in draft_layers(selection)]
    for index in skipped:
        pass_through(network.transformer.h[index])
    with torch.inference_mode():
        expected = network(torch.tensor([TEXT])).logits[0].numpy()
    assert np.abs(rows - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(again - expected[2:]).max() < 1e-4 * np.abs(expected).max()
    assert describe_model(name)[0].layers == 2


def draft_layers(selection: str) -> list[int]:
    return [0, 1] if selection == "2" else [int(part) for part in selection.split(",")]


def pass_through(layer) -> None:
    """A layer adds what it computes to its input; with the last products at zero it is as if it were not there."""
    for name, parameter in layer.named_parameters():
        if name.split(".")[-2] in ADDED:
            parameter.data.zero_()


# The last projections of attention and feed-forward.
ADDED = ("c_proj", "dense", "dense_4h_to_h", "out_proj", "fc_out", "down_proj")
