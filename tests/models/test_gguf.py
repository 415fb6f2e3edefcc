"""GGUF files as models: every family's logits equal transformers' own, whatever the packing of the weights."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sim.core.errors import InputError
from sim.models import gguf_files, loading
from sim.models.interface import ForwardPass
from sim.models.llama_fast import LlamaFast
from sim.models.loading import load_model, load_pair, load_tokenizer
from tests.models import gguf_builders

TEXT = [40, 50, 60, 70, 45, 55]


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPECRAN_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def transformers_rows(path: Path) -> np.ndarray:
    """The logits after each token of the text, as transformers reads the file itself."""
    from transformers import AutoModelForCausalLM

    with contextlib.redirect_stderr(io.StringIO()):
        network = AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
        )
    with torch.inference_mode():
        return network(input_ids=torch.tensor([TEXT]), use_cache=False).logits[0].numpy()


def our_rows(path: Path) -> np.ndarray:
    model = load_model(str(path), device="cpu")
    return model.forward([ForwardPass("a", TEXT[:1], tuple(TEXT[1:]))])[0]


@pytest.mark.parametrize("family", gguf_builders.FAMILIES)
def test_logits_of_every_family_equal_those_of_transformers_and_of_the_network_written(family, tmp_path):
    path = tmp_path / f"{family}.gguf"
    network = gguf_builders.write(family, path)
    rows = our_rows(path)
    np.testing.assert_allclose(rows, transformers_rows(path)[:, : rows.shape[1]], rtol=0, atol=1e-4)
    with torch.inference_mode():
        original = network(input_ids=torch.tensor([TEXT]), use_cache=False).logits[0].numpy()
    np.testing.assert_allclose(rows, original[:, : rows.shape[1]], rtol=0, atol=1e-3)


@pytest.mark.parametrize("quantisation", ["F16", "BF16", "Q8_0", "Q5_1", "Q4_0", "Q4_1"])
def test_weights_of_every_packing_are_dequantised_as_transformers_does(quantisation, tmp_path):
    path = tmp_path / "small.gguf"
    gguf_builders.write("llama", path, quantisation)
    rows = our_rows(path)
    assert isinstance(load_model(str(path), device="cpu"), LlamaFast)
    np.testing.assert_allclose(rows, transformers_rows(path)[:, : rows.shape[1]], rtol=0, atol=1e-4)


def test_a_file_is_converted_once_and_anew_when_it_has_changed(tmp_path, models, capsys):
    path = tmp_path / "small.gguf"
    gguf_builders.write("llama", path)
    first = load_model(str(path), device="cpu")
    assert "converting small.gguf once" in capsys.readouterr().err
    for cached in (loading._load_model, loading._load_tokenizer):
        cached.cache_clear()
    again = load_model(str(path), device="cpu")
    assert (again.fingerprint, capsys.readouterr().err) == (first.fingerprint, "")
    gguf_builders.write("llama", path, "Q8_0")
    for cached in (loading._load_model, loading._load_tokenizer):
        cached.cache_clear()
    assert load_model(str(path), device="cpu").fingerprint != first.fingerprint
    assert len(list(models.glob("gguf-*"))) == 2
    assert not list(models.glob(".unfinished*"))


def test_a_copy_elsewhere_has_the_same_fingerprint_and_makes_a_pair(tmp_path):
    path, other = tmp_path / "small.gguf", tmp_path / "elsewhere" / "other.GGUF"
    gguf_builders.write("llama", path)
    other.parent.mkdir()
    shutil.copy(path, other)
    draft, target = load_pair(str(path), str(other), device="cpu")
    assert draft.fingerprint == target.fingerprint
    assert (target.vocab_size, target.max_context, target.eos_ids, target.bos_id) == (100, 96, {2}, 1)


def test_the_tokenizer_comes_along(tmp_path):
    path = tmp_path / "small.gguf"
    gguf_builders.write("llama", path)
    tokenizer = load_tokenizer(str(path))
    ids = tokenizer.encode("Hello there")
    assert tokenizer.decode(ids) == "Hello there"
    assert tokenizer.special_ids["eos"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GGML" + bytes(60), "it is no GGUF file .it begins with b'GGML'"),
        (b"GGUF\x03\x00\x00\x00", "cannot load model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (None, "No such file"),
    ],
)
def test_files_that_cannot_be_read(content, message, tmp_path, models):
    path = tmp_path / "broken.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_model(str(path), device="cpu")
    assert not [place for place in models.glob("*") if place.is_dir()]


def test_an_unknown_architecture_is_refused_in_one_line(tmp_path):
    import gguf

    path = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(path, "rwkv6")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match=r"cannot load model .*odd\.gguf'") as error:
        load_model(str(path), device="cpu")
    assert "\n" not in str(error.value)


def test_missing_tensors_are_named(tmp_path, monkeypatch):
    path = tmp_path / "small.gguf"
    add = gguf_builders.gguf.GGUFWriter.add_tensor

    def left_out(writer, name, *args, **kwargs):
        if name != "blk.1.ffn_up.weight":
            add(writer, name, *args, **kwargs)

    monkeypatch.setattr(gguf_builders.gguf.GGUFWriter, "add_tensor", left_out)
    gguf_builders.write("llama", path)
    with pytest.raises(InputError, match=r"missing from its files \(model\.layers\.1\.mlp\.up_proj\.weight\)"):
        load_model(str(path), device="cpu")


def test_no_room_is_told_before_anything_is_written(tmp_path, models, monkeypatch):
    from sim.core.errors import RunError

    path = tmp_path / "small.gguf"
    gguf_builders.write("llama", path)
    monkeypatch.setattr(gguf_files.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(RunError, match=r"needs 0.0 GB in"):
        load_model(str(path), device="cpu")
    assert not [place for place in models.glob("*") if place.is_dir()]


def test_factors_of_a_rotary_embedding_are_no_parameters(tmp_path):
    from sim.models.describe import describe_model

    path = tmp_path / "factors.gguf"
    names = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight", "blk.0.rope_freqs.weight")
    network = gguf_builders.write("llama", path, rotary=names)
    told = describe_model(str(path))[0].parameters
    assert told == sum(tensor.numel() for tensor in network.parameters())
    # The converted file is what a run counts.
    assert load_model(str(path), device="cpu").num_parameters == describe_model(str(path))[0].parameters == told
