"""Weights that are pickled tensors: the same model as from safetensors, and no code of theirs runs."""

from __future__ import annotations

import fnmatch
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sim.cli import _main
from sim.core.errors import InputError
from sim.decoding import decode
from sim.models import loading
from sim.models.checkpoint import weights_digest
from sim.models.describe import describe_model
from sim.models.hub import hub_snapshot
from sim.models.interface import ForwardPass
from sim.models.loading import load_model, load_pair
from sim.models.pickled import PickledFile, load_pickled
from sim.models.tied import head_stored_twice
from tests.models import builders

TEXT = [5, 6, 7, 8, 9]
KINDS = {"opt": {}, "Llama": builders.MODERN, "Llama tied": {**builders.MODERN, "tie_word_embeddings": True}}


def pickled(folder: Path, place: Path, *, shards: int = 1, of_old_format: bool = False) -> Path:
    """A copy of a checkpoint whose weights are pickled, as older versions of transformers saved them."""
    shutil.copytree(folder, place)
    (place / "model.safetensors").unlink()
    tensors = load_file(folder / "model.safetensors")
    if shards == 1:
        torch.save(tensors, place / "pytorch_model.bin", _use_new_zipfile_serialization=not of_old_format)
        return place
    names = {name: f"pytorch_model-{number % shards + 1:05}-of-{shards:05}.bin" for number, name in enumerate(tensors)}
    for shard in set(names.values()):
        torch.save({name: tensors[name] for name in tensors if names[name] == shard}, place / shard)
    content = {"metadata": {"total_size": 1}, "weight_map": names}
    (place / "pytorch_model.bin.index.json").write_text(json.dumps(content))
    return place


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of safetensors: of a network that transformers runs, and of those that the lean forward does."""
    kind = request.param.split()[0]
    return builders.save(builders.network(kind, **KINDS[request.param]), tmp_path_factory.mktemp(kind))


@pytest.fixture(autouse=True)
def unloaded():
    """What a model has computed before decides what it computes anew, and so about last bits."""
    loading._load_model.cache_clear()
    yield
    for cache in (hub_snapshot, loading._load_model, loading._load_tokenizer):
        cache.cache_clear()


FORMS: list[dict[str, Any]] = [{}, {"shards": 3}, {"of_old_format": True}]


@pytest.mark.parametrize("form", FORMS, ids=["one file", "shards", "old format"])
def test_pickled_weights_are_the_same_model_to_the_bit(form, checkpoint: Path, tmp_path: Path):
    place = pickled(checkpoint, tmp_path / "pickled", **form)
    ours, theirs = (load_model(str(folder), device="cpu") for folder in (place, checkpoint))
    assert type(ours) is type(theirs)
    batch = [ForwardPass("a", TEXT, (10, 11)), ForwardPass("b", TEXT[:3])]
    for rows, expected in zip(ours.forward(batch), theirs.forward(batch), strict=True):
        np.testing.assert_array_equal(rows, expected)
    texts = []
    for name in (place, checkpoint):
        draft, target = load_pair(str(name), str(name), device="cpu")
        texts.append(decode("dsd", draft, target, TEXT, seed=1, max_new_tokens=12, temperature=0.0).tokens)
    assert texts[0] == texts[1]
    assert ours.fingerprint != theirs.fingerprint


def test_a_check_tells_of_pickled_weights_what_it_tells_of_others(checkpoint: Path, tmp_path: Path):
    (ours, _), (theirs, _) = (
        describe_model(str(folder)) for folder in (pickled(checkpoint, tmp_path / "pickled"), checkpoint)
    )
    assert ours.parameters == theirs.parameters and ours.parameters > 0
    for field in ("architecture", "vocab_size", "eos_ids", "bos_id", "layers", "max_context", "notes"):
        assert getattr(ours, field) == getattr(theirs, field)


def test_tensors_that_share_their_values_are_counted_once(tmp_path: Path):
    network = builders.network("Llama", **builders.MODERN, tie_word_embeddings=True)
    folder = builders.save(network, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    described, _ = describe_model(str(folder))
    assert described.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert load_model(str(folder), device="cpu").num_parameters == described.parameters


@pytest.mark.parametrize("form", ["one file", "shards", "pickled shards"])
@pytest.mark.parametrize("is_same", [True, False])
@pytest.mark.parametrize(("kind", "is_tied"), [("Llama", True), ("Llama", False), ("opt", True)])
def test_a_head_beside_its_embedding_counts_as_in_a_run(kind, is_tied, is_same, form, tmp_path: Path):
    """Once where the configuration ties the two and they are equal, wherever they are stored."""
    sizes = builders.MODERN if kind == "Llama" else {"word_embed_proj_dim": 32}
    network = builders.network(kind, **sizes, tie_word_embeddings=False)
    if is_same:
        network.get_output_embeddings().weight.data.copy_(network.get_input_embeddings().weight)
    whole = builders.save(network, tmp_path / "whole")
    config = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": is_tied}))
    assert {"lm_head.weight"} < load_file(whole / "model.safetensors").keys()
    place = whole if form == "one file" else pickled(whole, tmp_path / "shards", shards=3)
    if form == "shards":
        as_safetensors(place)
    described, _ = describe_model(str(place))
    embedding = network.get_input_embeddings().weight.numel()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert described.parameters == parameters - (embedding if is_tied and is_same else 0)
    assert load_model(str(place), device="cpu").num_parameters == described.parameters


def as_safetensors(folder: Path) -> None:
    """The same shards in the newer format."""
    index = folder / "pytorch_model.bin.index.json"
    shard_of = json.loads(index.read_text())["weight_map"].items()
    names = {name: shard.replace(".bin", ".safetensors") for name, shard in shard_of}
    for path in folder.glob("*.bin"):
        save_file(torch.load(path), path.with_suffix(".safetensors"), metadata={"format": "pt"})
        path.unlink()
    index.unlink()
    content = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def test_large_ends_are_not_compared_but_believed_to_be_tied(tmp_path: Path):
    for value, name in enumerate(("model.embed_tokens.weight", "lm_head.weight")):
        torch.save({name: torch.full((4, 2), float(value))}, tmp_path / f"{name}.bin")
    files = sorted(tmp_path.glob("*.bin"))
    assert head_stored_twice(files, 32) is None
    assert head_stored_twice(files, 31) is not None
    assert head_stored_twice(files[:1], 31) is None


def test_contents_of_pickled_weights_count_in_the_models_id(checkpoint: Path, tmp_path: Path):
    place = pickled(checkpoint, tmp_path / "pickled", shards=2)
    before = weights_digest(place)
    assert before == weights_digest(Path(shutil.copytree(place, tmp_path / "copy")))
    path = place / "pytorch_model-00002-of-00002.bin"
    tensors = torch.load(path, weights_only=True)
    next(iter(tensors.values())).view(-1)[0] += 1e-3
    torch.save(tensors, path)
    assert weights_digest(place) != before


class Opened:
    """What a pickle makes a file with when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def refusals(place: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What check and load say of a folder, each in one line."""
    capsys.readouterr()
    assert _main(["models", "check", str(place)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    with pytest.raises(InputError) as caught:
        load_model(str(place), device="cpu")
    assert "\n" not in str(caught.value)
    return [said, str(caught.value)]


def edited(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        edited = edit(content)
        torch.save(content if edited is None else edited, path)

    return change


NORM = "model.norm.weight"
BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is no file of pickled tensors or is damaged: it is empty"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:3000]), "is no file of pickled tensors or is damaged"),
    "a text": (lambda path: path.write_bytes(b"weights"), "or is damaged: it begins with b'weights'"),
    "a list": (edited(lambda content: list(content.values())), "holds a list, not tensors by name"),
    "nested": (edited(lambda content: {"state_dict": content}), "'state_dict' is a dict, not a tensor"),
    "numbers": (edited(lambda content: content.update(step=3)), "'step' is a int, not a tensor"),
    "named by numbers": (edited(lambda content: {3: content[NORM]}), "3 has no text as its name"),
    "sparse": (edited(lambda content: content.update(w=torch.eye(3).to_sparse())), "torch.sparse_coo, which is not"),
    "no values": (
        edited(lambda content: content.update({NORM: content[NORM].to("meta")})),
        "is a tensor on the device meta, without values",
    ),
    "ragged": (
        edited(lambda content: content.update(w=torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]))),
        "'w' is a nested tensor, which is not read",
    ),
    "complex": (edited(lambda content: content.update(w=content[NORM] * 1j)), "tensor w is of type C64"),
    "of a newer protocol": (
        lambda path: torch.save(torch.load(path), path, pickle_protocol=4),
        "is a pickle of protocol 4; tensors are read of protocol 2",
    ),
    "a program": (
        lambda path: torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(path),
        "is a TorchScript archive, which holds a program",
    ),
    "spread": (edited(lambda content: content.update(w=torch.zeros(1).expand(9**9))), "holds too few values"),
    "missing": (edited(lambda content: content.__delitem__(NORM)), f"1 tensor missing from its files ({NORM})"),
    "too much": (edited(lambda content: content.update(w=torch.zeros(2))), "config.json does not ask for (w)"),
    "shape": (edited(lambda content: content.update({NORM: torch.zeros(31)})), f"({NORM}: [31], not [32])"),
    "not finite": (edited(lambda content: content[NORM].__setitem__(0, float("nan"))), "weights are damaged"),
    "whole numbers": (edited(lambda content: content.update({NORM: content[NORM].long()})), "is of type I64"),
}


@pytest.fixture(scope="module", params=["Llama", "qwen2"])
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = builders.MODERN if request.param == "Llama" else {}
    folder = builders.save(builders.network(request.param, **sizes), tmp_path_factory.mktemp(request.param))
    return pickled(folder, tmp_path_factory.mktemp("pickled") / request.param)


@pytest.mark.filterwarnings("error:.*(TorchScript|pickle protocol):UserWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_check_and_run_refuse_broken_pickles_in_one_line(name: str, good: Path, tmp_path: Path, capsys):
    place = Path(shutil.copytree(good, tmp_path / "model"))
    edit, says = BROKEN[name]
    edit(place / "pytorch_model.bin")
    for line in refusals(place, capsys):
        assert says in line, line


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_is_told_by_what_it_asks_for(protocol: int, good: Path, tmp_path: Path, capsys):
    place = Path(shutil.copytree(good, tmp_path / "model"))
    made = tmp_path / "made"
    (place / "pytorch_model.bin").write_bytes(pickle.dumps({"w": 1, "x": Opened(made)}, protocol=protocol))
    for line in refusals(place, capsys):
        assert "pytorch_model.bin asks for" in line and "open, which could run code" in line, line
    assert not made.exists()


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "model.onnx", "weights.pt"])
def test_a_folder_of_weights_that_are_not_read_names_those_that_are(name: str, good: Path, tmp_path: Path, capsys):
    place = Path(shutil.copytree(good, tmp_path / "model"))
    (place / "pytorch_model.bin").rename(place / name)
    for line in refusals(place, capsys):
        assert f"holds {name} and no weights that are read; valid: *.safetensors, pytorch_model.bin" in line, line
    (place / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {}}))
    for line in refusals(place, capsys):
        assert "pytorch_model.bin.index.json names no files; valid: *.safetensors, pytorch_model.bin" in line, line


def test_values_that_are_stored_with_a_mark_of_their_sign_are_read(tmp_path: Path):
    stored = torch.tensor([1j]).conj().imag
    torch.save({"w": stored}, tmp_path / "w.bin")
    assert load_pickled(tmp_path / "w.bin")["w"].is_neg()
    assert PickledFile(tmp_path / "w.bin").get_tensor("w").numpy().tolist() == [-1.0]


@pytest.mark.parametrize("is_old", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(is_old: bool, good: Path, tmp_path: Path, capsys):
    place = Path(shutil.copytree(good, tmp_path / "model"))
    content = torch.load(place / "pytorch_model.bin", weights_only=True)
    made = tmp_path / "made"
    content[NORM] = Opened(made)
    torch.save(content, place / "pytorch_model.bin", _use_new_zipfile_serialization=not is_old)
    for line in refusals(place, capsys):
        assert "pytorch_model.bin asks for" in line and "open, which could run code" in line, line
    assert not made.exists()


def test_shards_that_are_missing_or_elsewhere_are_named(good: Path, tmp_path: Path, capsys):
    place = Path(shutil.copytree(good, tmp_path / "model"))
    index = place / "pytorch_model.bin.index.json"
    (place / "pytorch_model.bin").rename(place / "pytorch_model-00001-of-00002.bin")
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict(zip("ab", names, strict=True))}))
    for line in refusals(place, capsys):
        assert f"lacks {names[1]}, which pytorch_model.bin.index.json names" in line
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": "../x.bin"}}))
    for line in refusals(place, capsys):
        assert "names ../x.bin; valid: *.bin files beside it" in line


def test_where_there_are_safetensors_pickles_are_not_looked_at(checkpoint: Path, tmp_path: Path):
    place = Path(shutil.copytree(checkpoint, tmp_path / "model"))
    (place / "pytorch_model.bin").write_bytes(b"no weights")
    ours, theirs = (load_model(str(folder), device="cpu") for folder in (place, checkpoint))
    assert ours.fingerprint == theirs.fingerprint


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub of folders: ``publish`` puts a model there; ``taken`` lists the files that were downloaded."""
    taken: list[str] = []
    remote: dict[str, Path] = {}

    def snapshot_download(name: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        snapshot = tmp_path / "snapshot"
        snapshot.mkdir(exist_ok=True)
        for path in sorted(remote[name].rglob("*")):
            inner = path.relative_to(remote[name]).as_posix()
            is_asked = any(fnmatch.fnmatch(inner, pattern) for pattern in allow_patterns)
            if path.is_file() and is_asked and not any(fnmatch.fnmatch(inner, one) for one in ignore_patterns):
                shutil.copy(path, snapshot / inner)
                taken.append(inner)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    hub_snapshot.cache_clear()
    return remote, taken


@pytest.mark.parametrize("shards", [1, 2])
def test_of_the_hub_pickles_are_taken_where_there_are_no_safetensors(shards, hub, checkpoint, tmp_path):
    remote, taken = hub
    place = remote["owner/old"] = pickled(checkpoint, tmp_path / "remote", shards=shards)
    (place / "training_args.bin").write_bytes(b"x")
    model = load_model("owner/old", device="cpu")
    assert [name for name in taken if name.endswith(".bin")] == sorted(path.name for path in place.glob("pyt*.bin"))
    expected = load_model(str(checkpoint), device="cpu").forward([ForwardPass("a", TEXT)])[0]
    np.testing.assert_array_equal(model.forward([ForwardPass("a", TEXT)])[0], expected)


def test_of_the_hub_no_weights_are_taken_twice(hub, checkpoint, tmp_path):
    remote, taken = hub
    place = remote["owner/new"] = Path(shutil.copytree(checkpoint, tmp_path / "remote"))
    for name in ("pytorch_model.bin", "consolidated.safetensors"):
        (place / name).write_bytes(b"x")
    load_model("owner/new", device="cpu")
    assert "model.safetensors" in taken and not {"pytorch_model.bin", "consolidated.safetensors"} & set(taken)


def test_parameters_of_a_hub_model_follow_from_its_configuration(hub, checkpoint, tmp_path, monkeypatch):
    def unknown(name: str) -> None:
        raise OSError(f"{name} has no safetensors")

    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", unknown)
    remote, taken = hub
    remote["owner/old"] = pickled(checkpoint, tmp_path / "remote")
    described, _ = describe_model("owner/old")
    assert "pytorch_model.bin" not in taken
    assert described.parameters == load_model(str(checkpoint), device="cpu").num_parameters


def test_a_pickle_of_the_hub_that_would_run_code_is_refused_and_does_not(hub, good, tmp_path):
    remote, _ = hub
    place = remote["owner/bad"] = Path(shutil.copytree(good, tmp_path / "remote"))
    torch.save({NORM: Opened(tmp_path / "made")}, place / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"cannot load model 'owner/bad': .*open, which could run code"):
        load_model("owner/bad", device="cpu")
    assert not (tmp_path / "made").exists()


def test_weights_that_are_not_read_do_not_count(checkpoint: Path, tmp_path: Path):
    place = Path(shutil.copytree(checkpoint, tmp_path / "model"))
    before = weights_digest(place)
    shutil.copy(place / "model.safetensors", place / "consolidated.safetensors")
    assert weights_digest(place) == before
