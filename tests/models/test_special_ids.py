"""Which ids end and begin a text: what three files name together, as a check tells it and as a run has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.models.describe import describe_model, describe_pair
from sim.models.loading import load_model, load_pair
from sim.models.special_ids import special_ids
from sim.models.tokenizer import TextTokenizer
from tests.models import builders


def tokenizer(**roles: int) -> TextTokenizer:
    return TextTokenizer("test", {}, roles, list, str)


@pytest.mark.parametrize(
    ("generation", "config", "roles", "expected"),
    [
        ({"eos_token_id": [7, 8]}, {"eos_token_id": 6, "bos_token_id": 3}, {"eos": 5, "bos": 4}, ({5, 6, 7, 8}, 4, 4)),
        ({}, {"eos_token_id": [6, 99], "bos_token_id": 3}, {"eos": 5}, ({5, 6, 99}, 3, 3)),
        ({"bos_token_id": 1}, {"bos_token_id": 99}, {"eos": 5}, ({5}, None, 5)),
        ({"eos_token_id": None}, {"bos_token_id": -1}, {}, (set(), None, 0)),
        ({}, {"bos_token_id": 3}, {"bos": 99, "eos": 98}, ({98}, 3, 3)),
    ],
)
def test_all_that_files_name_end_a_text_and_one_of_the_vocabulary_begins_it(generation, config, roles, expected):
    assert special_ids(generation, config, tokenizer(**roles), 50) == expected


@pytest.mark.parametrize("kind", ["Llama", "qwen2"])
def test_check_and_run_know_the_same_ends(kind: str, tmp_path: Path):
    sizes: dict[str, Any] = builders.MODERN if kind == "Llama" else {}
    folder = builders.save(builders.network(kind, **sizes), tmp_path)
    for name, ids in (("config.json", {"eos_token_id": 10, "bos_token_id": 1}), ("generation_config.json", {})):
        content = json.loads((folder / name).read_text()) | (ids or {"eos_token_id": [11, 12]})
        (folder / name).write_text(json.dumps(content))
    model, (described, _) = load_model(str(folder), device="cpu"), describe_model(str(folder))
    assert set(described.eos_ids) == model.eos_ids == {2, 10, 11, 12}
    assert described.bos_id == model.bos_id == 1


@pytest.mark.parametrize(
    ("draft", "target", "says"),
    [
        ([2], [2], None),
        ([2, 7], [7, 2], None),
        ([2], [2, 7], "end with id 2 ('</s>'), those of target {} with id 2 ('</s>') or id 7 ('w7')"),
        ([2, 9], [2], "end with id 2 ('</s>') or id 9 ('w9'), those of target {} with id 2 ('</s>')"),
    ],
)
def test_a_pair_that_ends_texts_differently_says_so_in_check_and_run(draft, target, says: str | None, tmp_path: Path):
    """Of the tokenizers alone nothing shows: the files of the model name more ids."""
    for name, ids in (("draft", draft), ("target", target)):
        folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path / name)
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    names = str(tmp_path / "draft"), str(tmp_path / "target")
    told = describe_pair(*map(describe_model, names))["notes"]
    loaded = load_pair(*names, device="cpu")
    expected = [] if says is None else [f"texts of draft {names[0]} {says.format(names[1])}; the target's count"]
    assert told == list(loaded[0].notes) == expected
    assert loaded[1].eos_ids == set(target) and not loaded[1].notes
