"""Names to models: folders, the hub, pairs of models that share their tokens or not, fingerprints, caching."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sim.models
from sim.core.errors import InputError
from sim.models import loading
from sim.models.checkpoint import weights_digest
from sim.models.fingerprint import file_digest
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.llama_fast import LlamaFast
from sim.models.loading import load_model, load_pair, load_tokenizer, resolve_device, use_threads
from tests.models import builders


@pytest.fixture
def folder(checkpoint, tmp_path) -> Path:
    """A private copy of the OPT checkpoint."""
    return Path(shutil.copytree(checkpoint("opt"), tmp_path / "copy"))


def test_loading_twice_gives_the_same_object(checkpoint):
    name = str(checkpoint("gpt2"))
    model = load_model(name, device="cpu")
    assert model is load_model(name, device="cpu")
    assert model is not load_model(name, device="cpu", dtype="bfloat16")
    assert isinstance(model, LanguageModel)
    assert (model.vocab_size, model.max_context, model.eos_ids, model.bos_id) == (100, 96, {2}, 1)
    assert load_tokenizer(name) is load_tokenizer(name)


def test_half_precision_rows_come_as_float32(checkpoint):
    name = str(checkpoint("qwen2"))
    half = load_model(name, device="cpu", dtype="bfloat16").forward([ForwardPass("a", [5, 6, 7])])[0]
    full = load_model(name, device="cpu").forward([ForwardPass("a", [5, 6, 7])])[0]
    assert half.dtype == full.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.3


def test_tokenizer_round_trip(checkpoint):
    tokenizer = load_tokenizer(str(checkpoint("opt")))
    assert tokenizer.encode("w5 w99 w7") == [5, 99, 7]
    assert tokenizer.decode(np.array([5, 99, 7, 2])) == "w5 w99 w7"
    assert len(tokenizer) == 100
    assert tokenizer.special_ids == {"bos": 1, "eos": 2, "pad": 0}


def test_fingerprint_changes_with_a_weight_the_tokenizer_and_the_precision(folder):
    name = str(folder)
    first = load_model(name, device="cpu").fingerprint
    assert load_model(name, device="cpu", dtype="float64").fingerprint != first
    loading._load_model.cache_clear()
    assert load_model(name, device="cpu").fingerprint == first

    builders.words(100, odd="strange").save_pretrained(folder)
    loading._load_model.cache_clear()
    loading._load_tokenizer.cache_clear()
    other_words = load_model(name, device="cpu").fingerprint
    assert other_words != first

    weights = load_file(folder / "model.safetensors")
    weights["model.decoder.layers.0.fc1.bias"][3] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    loading._load_model.cache_clear()
    assert load_model(name, device="cpu").fingerprint not in (first, other_words)


def test_file_digest_follows_the_content(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"one")
    one = file_digest(path)
    path.write_bytes(b"other")
    assert file_digest(path) != one
    before = path.stat()
    path.write_bytes(b"equal")  # in size, and in time as after cp -p
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digest(path) == hashlib.sha256(b"equal").hexdigest()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no \*\.safetensors"):
        weights_digest(tmp_path)


@pytest.mark.parametrize(("kind", "narrow", "wide"), [("opt", 100, 128), ("Llama", 104, 128)])
def test_padded_heads_of_unequal_width_are_cut_to_the_tokenizer(kind, narrow, wide, tmp_path):
    sizes = builders.MODERN if kind == "Llama" else {}
    for name, width, seed in (("draft", narrow, 1), ("target", wide, 2)):
        builders.save(builders.network(kind, vocab_size=width, seed=seed, **sizes), tmp_path / name)
    draft, target = load_pair(str(tmp_path / "draft"), str(tmp_path / "target"), device="cpu")
    assert draft.vocab_size == target.vocab_size == 100
    for model, width, seed in ((draft, narrow, 1), (target, wide, 2)):
        whole = builders.network(kind, vocab_size=width, seed=seed, **sizes)
        logits = whole(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1].detach().numpy()
        rows = model.forward([ForwardPass("a", [5, 6, 7])])[0]
        assert rows.shape == (1, 100)
        np.testing.assert_allclose(rows[0], logits[:100], rtol=0, atol=1e-4)


def test_draft_with_a_head_narrower_than_the_targets_never_proposes_what_it_lacks(tmp_path):
    networks = {}
    for name, width in (("draft", 98), ("target", 100)):
        networks[name] = builders.network("Llama", vocab_size=width, **builders.MODERN)
        builders.save(networks[name], tmp_path / name)
    draft, target = load_pair(str(tmp_path / "draft"), str(tmp_path / "target"), device="cpu")
    assert draft.vocab_size == target.vocab_size == 100
    rows = draft.forward([ForwardPass("a", [5, 6], (7,))])[0]
    narrow = networks["draft"](input_ids=torch.tensor([[5, 6, 7]])).logits[0, 1:].detach().numpy()
    np.testing.assert_allclose(rows[:, :98], narrow, rtol=0, atol=1e-4)
    assert np.isneginf(rows[:, 98:]).all()
    unknown, stand_in = draft.forward([ForwardPass("b", [5, 99, 7]), ForwardPass("c", [5, draft.bos_id, 7])])
    np.testing.assert_array_equal(unknown, stand_in)
    assert draft.new_tokens(ForwardPass("a", [5, 6, 7, 8])) == 1
    draft.close("a")
    assert (
        draft.new_tokens(ForwardPass("a", [5, 6, 7, 8])) == draft.model.new_tokens(ForwardPass("a", [5, 6, 7, 8])) == 4
    )


@pytest.mark.parametrize("narrow", ["draft", "target"])
def test_a_vocabulary_that_is_the_first_part_of_the_other_makes_a_pair_with_a_note(narrow, tmp_path):
    wide = "target" if narrow == "draft" else "draft"
    for name, width in ((narrow, 97), (wide, 100)):
        network = builders.network("Llama", vocab_size=width, **builders.MODERN)
        builders.save(network, tmp_path / name, tokenizer=builders.words(width))
    draft, target = load_pair(str(tmp_path / "draft"), str(tmp_path / "target"), device="cpu")
    assert draft.vocab_size == target.vocab_size == (100 if narrow == "draft" else 97)
    told = "has 3 more tokens than draft" if narrow == "draft" else "its rows are cut to the target's"
    assert [note for note in draft.notes if told in note]
    assert not target.notes


def test_tokenizer_mismatch_is_refused_with_the_first_differing_id(checkpoint, tmp_path):
    builders.save(builders.network("opt"), tmp_path, tokenizer=builders.words(100, odd="strange"))
    with pytest.raises(InputError, match="id 99 is 'strange' for the draft and 'w99' for the target"):
        load_pair(str(tmp_path), str(checkpoint("opt")), device="cpu")


def test_other_special_ids_run_with_a_note_and_the_targets_end_the_text(checkpoint, tmp_path):
    swapped = builders.words(100)
    swapped.eos_token, swapped.pad_token = "w50", None
    builders.save(builders.network("opt"), tmp_path, tokenizer=swapped)
    draft, target = load_pair(str(tmp_path), str(checkpoint("opt")), device="cpu")
    notes = " ".join(draft.notes)
    folder = checkpoint("opt")
    ends = f"end with id 2 ('</s>') or id 50 ('w50'), those of target {folder} with id 2 ('</s>'); the target's count"
    assert f"texts of draft {tmp_path} {ends}" in notes and "eos token" not in notes
    assert "the pad token is none for draft" in notes
    assert target.eos_ids == {2}


@pytest.mark.parametrize("width", [100, 97, 103])
def test_notes_of_a_pair_are_not_told_of_the_next_one(width, checkpoint, tmp_path):
    """Nor of the model itself, which both pairs have from the same load; rows are the draft's own."""
    folder = str(checkpoint("opt"))
    for end in ("w50", "w60"):
        other = builders.words(width)
        other.eos_token = end
        network = builders.network("Llama", vocab_size=width, **builders.MODERN)
        builders.save(network, tmp_path / end, tokenizer=other)
    (first, one), (second, other) = (load_pair(folder, str(tmp_path / end), device="cpu") for end in ("w50", "w60"))
    told = [[note for note in draft.notes if f"'{end}'" in note] for draft in (first, second) for end in ("w50", "w60")]
    assert [len(notes) for notes in told] == [1, 0, 0, 1]
    assert not load_model(folder, device="cpu").notes and not one.notes and not other.notes
    assert load_pair(folder, folder, device="cpu")[0].notes == ()
    rows = load_model(folder, device="cpu").forward([ForwardPass("a", [5, 6, 7])])[0]
    ours = first.forward([ForwardPass("b", [5, 6, 7])])[0]
    shared = min(width, 100)
    np.testing.assert_allclose(ours[:, :shared], rows[:, :shared], rtol=0, atol=1e-4)
    assert first.fingerprint == second.fingerprint
    assert (first.fingerprint == load_model(folder, device="cpu").fingerprint) == (width == 100)


def test_pair_of_two_architectures_with_one_tokenizer(checkpoint):
    draft, target = load_pair(str(checkpoint("gpt2")), str(checkpoint("qwen3")), device="cpu")
    assert draft.fingerprint != target.fingerprint
    assert draft.vocab_size == target.vocab_size


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such/folder", "no such folder"),
        ("/no/such/folder", "no such folder"),
        ("embedded/drafft", "unknown embedded model 'embedded/drafft' .did you mean 'embedded/draft'"),
        ("no-such-owner/no-such-model", "no folder of that name here, and the Hugging Face hub"),
    ],
)
def test_unknown_names_say_what_was_tried(name, message, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=message):
        load_model(name, device="cpu")


def test_broken_folders_are_input_errors(folder):
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"cannot load model|no safetensors file"):
        load_model(str(folder), device="cpu")
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_model(str(folder), device="cpu")


def test_arguments_are_checked(checkpoint):
    with pytest.raises(ValueError, match=r"unknown dtype 'float23' .did you mean 'float32'"):
        load_model(str(checkpoint("opt")), dtype="float23")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        use_threads(0)
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")


def test_lean_path_loads_without_transformers(tmp_path):
    folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path)
    assert isinstance(sim.models.load_model(str(folder), device="cpu"), LlamaFast)
    code = f"""
import sys
from pathlib import Path
from sim.models import loading, sources
sources._shipped = lambda name: sources.ModelSource(name, Path({str(tmp_path)!r}))
model = loading.load_model("embedded/draft", device="cpu")
print(type(model).__name__, loading.load_tokenizer("embedded/draft").encode("w5 w6"), "transformers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "LlamaFast [5, 6] False\n"
    assert done.stderr == ""
