"""Checkpoints that are damaged or incomplete are refused in one line that names what is wrong, on every path."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sim.core.errors import InputError
from sim.models import loading
from sim.models.describe import describe_model
from sim.models.hub import first_line
from sim.models.huggingface import HuggingFaceModel
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.llama_fast import LlamaFast
from sim.models.loading import load_model, load_tokenizer, resolve_device
from tests.models import builders

UP = "model.layers.1.mlp.up_proj.weight"
# The lean forward, transformers in another dtype, and an architecture that only transformers reads.
PATHS = [("Llama", "float32"), ("Llama", "bfloat16"), ("qwen2", "float32")]


@pytest.fixture(params=PATHS, ids="-".join)
def broken(request, tmp_path):
    """A folder to break, and how it is loaded."""
    kind, dtype = request.param
    sizes = builders.MODERN if kind == "Llama" else {}
    folder = builders.save(builders.network(kind, **sizes), tmp_path / "model")
    yield folder, lambda: load_model(str(folder), device="cpu", dtype=dtype)
    loading._load_model.cache_clear()


def change(folder: Path, edit) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda w: w.pop(UP), rf"1 tensor missing from its files \({UP}\)"),
        (lambda w: [w.pop(name) for name in list(w) if "mlp" in name], "6 tensors missing .* and 3 more"),
        (
            lambda w: w.update(extra=torch.zeros(2)),
            r"1 tensor in its files that config.json does not ask for \(extra\)",
        ),
        (lambda w: w.update({UP: w[UP][:-1].clone()}), rf"of another shape .*{UP}: \[63, 32\], not \[64, 32\]"),
    ],
)
def test_tensors_that_do_not_fit_are_named(broken, edit, message):
    folder, load = broken
    change(folder, edit)
    with pytest.raises(InputError, match=f"cannot load model '{folder}': .*{message}"):
        load()


def test_the_same_layers_only_partly_there_never_run_with_random_weights(broken):
    folder, load = broken
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3, "layer_types": None}))
    with pytest.raises(InputError, match=r"missing from its files \(model.layers.2"):
        load()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", -2),
        ("vocab_size", 0),
        ("num_attention_heads", True),
        ("hidden_size", 32.5),
        ("head_dim", "8"),
        ("num_hidden_layers", 10**12),
        ("max_position_embeddings", 10**18),
        ("intermediate_size", 10**9),
    ],
)
def test_sizes_that_are_none(broken, key, value):
    folder, load = broken
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(InputError, match=rf"config\.json: {key} must be a whole number from 1 to 10*, got {value!r}"):
        load()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "torch_dtype",
            "float99",
            r"config\.json: torch_dtype must be a type of PyTorch, got 'float99'; valid: float32",
        ),
        ("dtype", "float", None),
        ("dtype", "float8_e4m3fn", None),
        ("hidden_act", "nope", r"config\.json: unknown hidden_act 'nope'"),
    ],
)
def test_names_that_no_library_knows(broken, key, value, says):
    folder, load = broken
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    if says is None:
        assert load().num_parameters > 0
    else:
        with pytest.raises(InputError, match=says):
            load()


def test_a_tensor_of_eight_bits_without_its_scales(tmp_path):
    folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path / "model")
    change(folder, lambda w: w.update({UP: w[UP].to(torch.int8)}))
    with pytest.raises(InputError, match=rf"tensor {UP} is of int8, and {UP}_scale with its scales is missing"):
        load_model(str(folder), device="cpu")


@pytest.mark.parametrize("kind", ["Llama", "qwen2"])
def test_ends_that_the_tokenizer_does_not_have_are_noted(tmp_path, kind):
    """Rows of a head that is wider than the vocabulary are left out, and with them such an end."""
    sizes = builders.MODERN if kind == "Llama" else {}
    folder = builders.save(builders.network(kind, vocab_size=104, **sizes), tmp_path)
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 102]}')
    model = load_model(str(folder), device="cpu")
    assert 2 in model.eos_ids and 102 not in model.eos_ids
    assert any("no text ends with token 102, which its vocabulary of 10" in note for note in model.notes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        ("tokenizer.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        ("model.safetensors", b"no weights", "is no safetensors file or is damaged|SafetensorError"),
        ("generation_config.json", b'{"eos_token_id": 2,', r"generation_config\.json:1 is not JSON"),
        ("config.json", b"[]", r"config\.json must hold an object"),
        (
            "generation_config.json",
            b'{"eos_token_id": "x"}',
            "eos_token_id must be a token id or a list of them, got 'x'",
        ),
        ("generation_config.json", b'{"eos_token_id": [null]}', r"eos_token_id must be .*, got \[None\]"),
        ("generation_config.json", b'{"eos_token_id": [2, null, 1.5]}', "eos_token_id must be a token id or a list"),
        ("generation_config.json", b'{"bos_token_id": [1]}', r"bos_token_id must be a token id, got \[1\]"),
        ("adapter_config.json", b"{}", "is an adapter .* merge it into its base model"),
    ],
)
def test_files_that_are_not_what_they_should_be(broken, name, content, message):
    folder, load = broken
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load()


def test_a_folder_of_an_adapter_or_of_a_gguf_file_says_so(broken):
    folder, load = broken
    (folder / "config.json").unlink()
    (folder / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(
        InputError, match=r"holds no config\.json; to use a GGUF file, name the file itself: .*model\.gguf"
    ):
        load()


def test_a_folder_with_a_gguf_file_for_weights_says_so(broken):
    folder, load = broken
    (folder / "model.safetensors").unlink()
    (folder / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"no weights that are read, but model\.gguf: name a \.gguf file itself"):
        load()


def test_shards_that_are_missing(broken):
    folder, load = broken
    shutil.move(folder / "model.safetensors", folder / "model-00001-of-00002.safetensors")
    homes = {"model.norm.weight": "model-00001-of-00002.safetensors", UP: "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": homes}))
    with pytest.raises(InputError, match=r"lacks model-00002-of-00002\.safetensors.* the download is incomplete"):
        load()


@pytest.mark.parametrize("home", ["../pair/model.safetensors", "/tmp/model.safetensors", "sub/a.safetensors", "a.bin"])
def test_shards_that_are_not_files_beside_the_index(broken, home):
    """What is loaded is what the fingerprint hashes, and nothing but safetensors is read."""
    folder, load = broken
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {UP: home}}))
    with pytest.raises(InputError, match=rf"names {re.escape(home)}; valid: \*\.safetensors files beside it"):
        load()


def test_a_folder_in_place_of_weights_and_a_complaint_of_two_lines(broken):
    folder, load = broken
    assert first_line(ValueError("Validation error:\n    the hidden size\nand more")) == (
        "ValueError: Validation error: the hidden size"
    )
    assert first_line(KeyError()) == "KeyError"
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    with pytest.raises(InputError, match=r"model\.safetensors is a folder, not a file of weights"):
        load()


@pytest.mark.parametrize("name", ["model.layers.0.mlp.down_proj.weight", "model.embed_tokens.weight"])
def test_weights_that_are_not_finite_are_refused_when_loaded(broken, name):
    folder, load = broken
    change(folder, lambda w: w[name].__setitem__((0, 0), float("nan")))
    with pytest.raises(InputError, match=f"'{folder}'.*: its weights are damaged .*holds values that are not finite"):
        load()


def test_logits_that_are_not_finite_name_model_role_and_cause(broken):
    folder, load = broken
    change(folder, lambda w: [w[f"model.layers.0.mlp.{part}_proj.weight"].mul_(1e30) for part in ("up", "down")])
    if isinstance(model := _lean(folder), LlamaFast):
        with pytest.raises(InputError, match="the target model, are not finite after 3 tokens of a text: its act"):
            model.forward([ForwardPass((3, "edge", "target"), [4, 5, 6])])
    else:
        with pytest.raises(InputError, match="are not finite: its activations overflow"):
            load().forward([ForwardPass((3, "edge", "target"), [4, 5, 6])])


class _Unusable(LanguageModel):
    """Logits that are no numbers after texts that end with token 9."""

    name, max_context = "unusable", 100

    def _run(self, batch):
        last = [[one.context[-1], *one.block][one.first_row :] for one in batch]
        return [np.array([[np.nan if token == 9 else 0.0, 1.0] for token in tokens]) for tokens in last]


@pytest.mark.parametrize(
    ("work", "length"),
    [
        (ForwardPass("b", [4, 9]), 2),
        (ForwardPass("b", [4], (5, 9, 9)), 3),
        (ForwardPass("b", [4, 9], (5, 6, 9), first_row=2), 5),
        (ForwardPass("b", [4], (5, 6, 7, 9), (-1, -1, 0, 1)), 3),
    ],
)
def test_logits_that_are_not_finite_name_the_place_in_the_text(work, length):
    with pytest.raises(
        InputError, match=f"logits of 'unusable' are not finite after {length} tokens of a text: the mo"
    ):
        _Unusable().forward([ForwardPass("a", [4, 5]), work])


def _lean(folder: Path):
    try:
        return load_model(str(folder), device="cpu")
    except InputError:
        return None


def test_an_overflow_of_float16_is_told_from_a_model_that_cannot_be_verified(tmp_path):
    network = builders.network("qwen2")
    with torch.no_grad():
        network.model.embed_tokens.weight.mul_(3e4)
        network.model.layers[1].mlp.down_proj.weight.mul_(3e4)
    folder = builders.save(network, tmp_path)
    with pytest.raises(InputError, match=r"not finite: float16 overflows above 65,504; set models\.dtype"):
        load_model(str(folder), device="cpu", dtype="float16")


@pytest.mark.parametrize("same", [True, False])
def test_a_head_that_is_stored_beside_its_tied_embedding_counts_on_both_paths(tmp_path, same):
    """As transformers has it: tied only if both are equal, whatever the configuration says."""
    network = builders.network("Llama", **builders.MODERN)
    if same:
        network.lm_head.weight.data.copy_(network.model.embed_tokens.weight)
    folder = builders.save(network, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    lean = load_model(str(folder), device="cpu")
    other = load_model(str(folder), device="cpu", dtype="float16")
    assert (type(lean), type(other)) == (LlamaFast, HuggingFaceModel)
    assert lean.num_parameters == other.num_parameters
    ids = [5, 6, 7, 8]
    expected = network(input_ids=torch.tensor([ids])).logits[0, -1].detach().numpy()
    np.testing.assert_allclose(lean.forward([ForwardPass("a", ids)])[0][0], expected, rtol=0, atol=1e-4)


def test_only_a_head_is_stored_and_serves_as_the_embedding_too(tmp_path):
    network = builders.network("Llama", **builders.MODERN, tie_word_embeddings=True)
    folder = builders.save(network, tmp_path)
    change(folder, lambda w: w.update({"lm_head.weight": w.pop("model.embed_tokens.weight")}))
    lean = load_model(str(folder), device="cpu")
    expected = network(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1].detach().numpy()
    np.testing.assert_allclose(lean.forward([ForwardPass("a", [5, 6, 7])])[0][0], expected, rtol=0, atol=1e-4)
    assert load_model(str(folder), device="cpu", dtype="bfloat16").num_parameters == lean.num_parameters


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "models.device: no CUDA device here; valid: auto, cpu"),
        ("cuda:3", "models.device: no CUDA device here; valid: auto, cpu"),
        ("gpu", "models.device: unknown device 'gpu'.*valid: auto, cpu"),
    ],
)
def test_a_device_that_is_not_here(device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        resolve_device(device)


def test_logits_that_are_not_finite_while_a_model_is_timed_name_its_role(broken, tmp_path, monkeypatch):
    from sim.inputs.cost_models import make_cost_models
    from sim.inputs.scenario_models import model_info_of
    from sim.scenario.schema import Scenario

    folder, _ = broken
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    change(folder, lambda w: w["model.embed_tokens.weight"].fill_(float("nan")))
    sites = {site: {"kind": "calibrated"} for site in ("device", "edge", "cloud")}
    scenario = Scenario.from_dict(
        {"protocol": "edge_only", "models": {"draft": "d", "target": str(folder)}, "compute": sites}
    )
    with pytest.raises(InputError, match="not finite") as caught:
        make_cost_models(scenario, model_info_of(scenario))
    assert "target" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", {"architectures": [3]}, r"config\.json: architectures must be a list of texts, got \[3\]"),
        ("config.json", {"architectures": 3}, r"config\.json: architectures must be a list of texts, got 3"),
        ("tokenizer.json", {"model": 3}, "tokenizer.json is no tokenizer, or damaged"),
    ],
)
def test_files_that_make_no_sense_are_told_by_those_who_only_describe(tmp_path, file, content, says):
    folder = builders.save(builders.network("llama"), tmp_path / "model")
    builders.words(100).save_pretrained(folder)
    assert describe_model(str(folder))[0].max_context == builders.MAX_CONTEXT
    own = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**own, **content}))
    with pytest.raises(InputError, match=says):
        describe_model(str(folder))


@pytest.mark.parametrize("read", [describe_model, load_tokenizer])
def test_ids_beyond_any_vocabulary_are_refused(tmp_path, read):
    """The tokenizers library would visit each number up to the largest, for minutes."""
    folder = builders.save(builders.network("llama"), tmp_path / "model")
    builders.words(100).save_pretrained(folder)
    own = json.loads((folder / "tokenizer.json").read_text())
    own["model"]["vocab"]["w43"] = 2**31
    (folder / "tokenizer.json").write_text(json.dumps(own))
    with pytest.raises(InputError, match=r"tokenizer\.json: token 'w43' has the id 2147483648; valid: below 10000000"):
        read(str(folder))


def test_a_special_token_that_the_vocabulary_lacks_has_no_id(tmp_path):
    folder = builders.save(builders.network("llama"), tmp_path / "model")
    builders.words(100).save_pretrained(folder)
    own = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**own, "pad_token": ""}))
    assert all(isinstance(token, int) for token in load_tokenizer(str(folder)).all_special_ids)


def test_a_wrong_value_in_the_config_is_not_blamed_on_the_tokenizer(tmp_path):
    folder = builders.save(builders.network("llama"), tmp_path / "model")
    builders.words(100).save_pretrained(folder)
    own = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**own, "tie_word_embeddings": "yes"}))
    with pytest.raises(InputError, match=r"config\.json: tie_word_embeddings must be true or false, got 'yes'"):
        load_tokenizer(str(folder))


def test_a_tokenizer_whose_settings_do_not_fit_says_so(tmp_path):
    folder = builders.save(builders.network("llama"), tmp_path / "model")
    builders.words(100).save_pretrained(folder)
    own = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**own, "model_max_length": "long"}))
    with pytest.raises(InputError, match=f"the tokenizer of {folder} does not work: TypeError"):
        load_tokenizer(str(folder)).encode("w3 w4")


def test_what_keeps_a_model_from_being_loaded_is_told_by_those_who_only_describe(tmp_path):
    """Missing tensors of a checkpoint, and code that comes with one."""
    folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path / "model")
    builders.words(100).save_pretrained(folder)
    describe_model(str(folder))
    change(folder, lambda w: w.pop(UP))
    with pytest.raises(InputError, match=rf"cannot load model '.*': 1 tensor missing from its files \({UP}\)"):
        describe_model(str(folder))


def test_code_that_comes_with_a_model_matters_only_where_its_kind_is_unknown(tmp_path):
    folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"auto_map": {"AutoConfig": "own.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert describe_model(str(folder))[0].parameters == load_model(str(folder), device="cpu").num_parameters
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own"}))
    for read in (describe_model, load_model):
        with pytest.raises(InputError, match=r"its code comes with it .* runs with --trust-remote-code only"):
            read(str(folder))
