"""A plain Llama's tokenizer without transformers' choice of its class: the same one, and torch is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sim.models.checkpoint import read_json
from sim.models.direct_tokenizer import OWNERS, direct_tokenizer
from sim.models.loading import load_tokenizer
from tests.models import builders

CLASSES = ["TokenizersBackend", "PreTrainedTokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast"]
CLASSES += ["LlamaTokenizer", "LlamaTokenizerFast"]
# Values that files in the wild have, or that are at the edge of what is taken.
VALUES: dict[str, list[Any]] = {
    "attention_dropout": [0, 0.0, 1.5, -1],
    "initializer_range": [0.0, 1.0],
    "rms_norm_eps": [1e-5, 1e-300],
    "rope_theta": [10000.0, 0.5, 100000],
    "rope_parameters": [None, *({"rope_theta": base, "rope_type": "default"} for base in (10000.0, 100000))],
    "rope_scaling": [None],
    "eos_token_id": [None, 0, [2], [2, 2, 99]],
    "bos_token_id": [None, 0, 9_999_999],
    "pad_token_id": [None, 0, 99],
    "unk_token_id": [None, 0, 10**30],
    "pretraining_tp": [None, 0, 1, 10**30],
    "num_key_value_heads": [None, 1, 4],
    "head_dim": [None, 8, 16],
    "dtype": ["float32", "bfloat16", "float16"],
    "torch_dtype": ["float32", "bfloat16", "float16"],
    "transformers_version": ["", "4.1", "none"],
    "_name_or_path": ["", "google/umt5-small"],
    "use_cache": [True, False],
    "is_llama_config": [True],
    "rope_interleaved": [False],
}


def write(folder: Path, class_name: str, *, byte_level: bool = False, **settings: Any) -> Path:
    """A small Llama whose settings name a class of tokenizer; pairs of letters are merged."""
    builders.save(builders.network("Llama", **builders.MODERN), folder)
    letters = pre_tokenizers.ByteLevel.alphabet() if byte_level else [*"abcdefgh", "▁"]
    strings = ["<pad>", "<s>", "</s>", *sorted(letters), "ab", "cd", "Ġab", "▁ab"]
    vocabulary = {text: token for token, text in enumerate(dict.fromkeys(strings))}
    merges = [("a", "b"), ("c", "d"), *([("Ġ", "ab")] if byte_level else [("▁", "ab")])]
    core = Tokenizer(models.BPE(vocabulary, merges, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel() if byte_level else pre_tokenizers.Metaspace()
    core.decoder = decoders.ByteLevel() if byte_level else decoders.Metaspace()
    core.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, "tokenizer_class": class_name, **settings}))
    return folder


def change(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**read_json(path), **changes}))


def direct(folder: Path) -> Any:
    return direct_tokenizer(folder, str(folder), read_json(folder / "config.json"))


@pytest.mark.parametrize("byte_level", [False, True])
@pytest.mark.parametrize("class_name", CLASSES)
def test_it_is_the_tokenizer_that_transformers_chooses(class_name: str, byte_level: bool, tmp_path: Path):
    folder = write(tmp_path / "model", class_name, byte_level=byte_level)
    own, chosen = direct(folder), load_tokenizer(str(folder))
    assert own.fingerprint == chosen.fingerprint
    assert own.all_special_ids == chosen.all_special_ids
    assert own.encode("ab cd abcd") == chosen.encode("ab cd abcd")


@pytest.mark.parametrize("key", VALUES)
def test_transformers_takes_all_values_that_are_taken_for_granted(key: str, tmp_path: Path):
    folder = write(tmp_path / "model", "TokenizersBackend")
    for value in VALUES[key]:
        change(folder, **{key: value})
        own = direct(folder)
        assert own is not None, value
        assert own.fingerprint == load_tokenizer(str(folder)).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"rms_norm_eps": 1},
        {"rope_parameters": {"rope_type": "default"}},
        {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "llama3"}},
        {"rope_scaling": {"type": "default"}},
        {"attention_dropout": "0"},
        {"initializer_range": 2.0},
        {"use_cache": None},
        {"dtype": "float99"},
        {"tokenizer_class": "Qwen2Tokenizer"},
        {"model_name": "x"},
        {"eos_token_id": []},
    ],
)
def test_what_it_does_not_know_is_left_to_transformers(changes: dict[str, Any], tmp_path: Path):
    folder = write(tmp_path / "model", "TokenizersBackend")
    assert direct(folder) is not None
    change(folder, **changes)
    assert direct(folder) is None


def test_so_are_code_other_classes_damaged_files_and_paths_that_have_a_say(tmp_path: Path, monkeypatch):
    assert direct(write(tmp_path / "code", "TokenizersBackend", auto_map={"AutoTokenizer": ["a.A", None]})) is None
    assert direct(write(tmp_path / "other", "Qwen2Tokenizer")) is None
    damaged = write(tmp_path / "damaged", "TokenizersBackend")
    (damaged / "tokenizer.json").write_text("{}")
    assert direct(damaged) is None
    monkeypatch.chdir(tmp_path)
    assert direct(write(Path("DeepSeek-AI/deepseek-coder-1b"), "GPT2Tokenizer", byte_level=True)) is None


def test_all_owners_of_paths_that_have_a_say_are_known():
    from transformers.models.auto.tokenization_auto import MODEL_IDS_TO_TOKENIZERS_BACKEND

    assert {one.partition("/")[0] for one in MODEL_IDS_TO_TOKENIZERS_BACKEND} <= set(OWNERS)


def test_a_plain_llama_is_described_without_torch(tmp_path: Path):
    folder = write(tmp_path / "model", "TokenizersBackend")
    script = (
        "import sys; from sim.models.describe import describe_model; "
        f"described, tokenizer = describe_model({str(folder)!r}); "
        "print(described.vocab_size == len(tokenizer), 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"]
