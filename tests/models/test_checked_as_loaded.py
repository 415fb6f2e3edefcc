"""What ``models check`` takes without reading weights, a run takes; what it refuses, a run refuses in those words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.core.errors import InputError
from sim.models.describe import describe_model
from sim.models.loading import load_model
from tests.models import builders

HIDDEN = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 96}
UNFIT: dict[str, tuple[str, dict[str, Any], str]] = {
    "biases by place in the cache": ("Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 3}, "follow a token tree's"),
    "biases by the row of a mask": ("Falcon", {**HIDDEN, "alibi": True}, "run with a 4-D attention mask"),
    "no cache": ("OpenAIGPT", {"n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 96}, "keeps no keys and values"),
    "offset positions": ("Roberta", {**HIDDEN, "is_decoder": True, "intermediate_size": 48}, "follow a token tree's"),
}


@pytest.mark.parametrize("selection", ["", "#layers=1"])
@pytest.mark.parametrize("kind", UNFIT)
def test_unfit_architectures_are_refused_by_both_in_the_same_words(kind: str, selection: str, tmp_path: Path) -> None:
    architecture, sizes, reason = UNFIT[kind]
    name = f"{builders.save(builders.network(architecture, **sizes), tmp_path)}{selection}"
    told = []
    for use in (describe_model, load_model):
        with pytest.raises(InputError, match=reason) as refused:
            use(name)
        told.append(refused.value.message)
    assert told[0] == told[1]


@pytest.mark.parametrize("kind", ["Falcon", "Phi", "Olmo"])
def test_fit_ones_are_taken_by_both(kind: str, tmp_path: Path) -> None:
    name = str(builders.save(builders.network(kind, **HIDDEN), tmp_path))
    assert describe_model(name)[0].vocab_size == load_model(name).vocab_size
