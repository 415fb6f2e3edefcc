"""Every broken model folder is refused in one line, by ``models check`` as by ``run``."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sim.cli import _main
from sim.models import loading
from sim.models.describe import describe_model
from tests.models import builders, gguf_builders
from tests.worlds import FIXED_COMPUTE

UP = "model.layers.0.mlp.up_proj.weight"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = "model-00001-of-00001.safetensors"
Edit = Callable[[Path], Any]


def keys(name: str = "config.json", **changes: Any) -> Edit:
    """Changes of a JSON file's keys."""

    def edit(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**content, **changes}))

    return edit


def without(key: str) -> Edit:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        content.pop(key, None)
        (folder / "config.json").write_text(json.dumps(content))

    return edit


def bytes_of(name: str, content: bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, num_bytes: int) -> Edit:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:num_bytes])


def weights(edit: Callable[[dict[str, torch.Tensor]], Any]) -> Edit:
    def change(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        edit(tensors)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def index(content: Any) -> Edit:
    """The weights as a shard, and an index that says so or something else."""

    def edit(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / SHARD)
        (folder / INDEX).write_text(content if isinstance(content, str) else json.dumps(content))

    return edit


def head(length: int | None, tensors: Any, tail: bytes = b"") -> Edit:
    """A safetensors file of this head."""
    text = json.dumps(tensors).encode()
    return bytes_of(WEIGHTS, struct.pack("<Q", len(text) if length is None else length) + text + tail)


def tensor(**changes: Any) -> dict[str, Any]:
    return {"model.norm.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


def vocabulary(**changes: int) -> Edit:
    def edit(folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        content["model"]["vocab"].update(changes)
        (folder / "tokenizer.json").write_text(json.dumps(content))

    return edit


def remove(*patterns: str) -> Edit:
    return lambda folder: [path.unlink() for pattern in patterns for path in folder.glob(pattern)]


def pipe(name: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return edit


def link(name: str) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("../gone")

    return edit


def rope(**settings: Any) -> Edit:
    return keys(rope_parameters={"rope_theta": 10000.0, **settings})


ROPE_TYPES = "valid: default, dynamic, linear, llama3, longrope, proportional, yarn"
DOUBLED = {"type": "Replace", "pattern": {"String": "w"}, "content": "ww"}
DOUBLED = {"type": "Sequence", "normalizers": [DOUBLED] * 40}
PADDED = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
PADDED |= {"pad_type_id": 0, "pad_token": "<pad>"}
MAMBA = b'{"model_type": "mamba", "vocab_size": 100, "num_hidden_layers": 2}'
BROKEN: dict[str, tuple[Edit, str]] = {
    "config empty": (bytes_of("config.json", b""), "config.json:1 is not JSON"),
    "config cut": (cut("config.json", 60), "is not JSON"),
    "config no JSON": (bytes_of("config.json", b"model: x"), "config.json:1 is not JSON"),
    "config a list": (bytes_of("config.json", b"[1]"), "config.json must hold an object"),
    "config deep": (bytes_of("config.json", b'{"a":' * 50000), "nested too deeply"),
    "config binary": (bytes_of("config.json", b"\xff\xfe\x00"), "config.json cannot be read"),
    "config of no keys": (bytes_of("config.json", b"{}"), "Should have a `model_type` key"),
    "no layers": (keys(num_hidden_layers=0), "num_hidden_layers must be a whole number from 1 to 10000, got 0"),
    "layers below zero": (keys(num_hidden_layers=-1), "num_hidden_layers must be a whole number"),
    "layers as a text": (keys(num_hidden_layers="2"), "num_hidden_layers must be a whole number"),
    "layers as a list": (keys(num_hidden_layers=[2, 2]), "num_hidden_layers must be a whole number"),
    "layers of null": (keys(num_hidden_layers=None, layer_types=None), "config.json of model"),
    "many layers": (keys(num_hidden_layers=9999, layer_types=None), "it states 9999 layers, and the files hold"),
    "a layer more": (keys(num_hidden_layers=3, layer_types=None), "missing from its files (model.layers.2."),
    "types of layers": (keys(layer_types=["full_attention"]), "layer_types must name one type for each of 2 layers"),
    "unknown types of layers": (keys(layer_types=["nope", "nope"]), "`layer_types` entries must be in"),
    "hidden size": (keys(hidden_size=33, head_dim=None), "must be a multiple of num_attention_heads, got 33 and 4"),
    "heads": (keys(num_key_value_heads=3), "must be a multiple of num_key_value_heads, got 4 and 3"),
    "head of odd size": (keys(head_dim=7), "even rotary dimension"),
    "vocabulary narrower": (keys(vocab_size=99), "embed_tokens.weight: [100, 32], not [99, 32]"),
    "vocabulary wider": (keys(vocab_size=1000), "embed_tokens.weight: [100, 32], not [1000, 32]"),
    "enormous sizes": (keys(vocab_size=10**7, hidden_size=10**6), "of another shape than config.json says"),
    "no kind": (without("model_type"), "Should have a `model_type` key"),
    "unknown kind": (keys(model_type="nope", architectures=["NopeForCausalLM"]), "model type `nope`"),
    "kind as a number": (keys(model_type=3), "model_type must be a text, got 3"),
    "encoder-decoder": (keys(model_type="t5", is_encoder_decoder=True), "encoder-decoder; give a decoder-only"),
    "state space": (bytes_of("config.json", MAMBA), "cannot be rolled back after a rejected"),
    "own code": (
        keys(model_type="own", auto_map={"AutoConfig": "own.C"}),
        "(auto_map in config.json) and runs with --trust-remote-code only, an option of run, sweep,",
    ),
    "layers not stated": (
        lambda folder: (without("num_hidden_layers")(folder), without("layer_types")(folder)),
        "config.json does not state num_hidden_layers, taken as 32; the files hold tensors of 2 layers",
    ),
    "GPTQ": (keys(quantization_config={"quant_method": "gptq", "bits": 4}), "a quantised checkpoint (gptq) is not"),
    "AWQ": (keys(quantization_config={"quant_method": "awq", "bits": 4}), "a quantised checkpoint (awq) is not read"),
    "bitsandbytes": (keys(quantization_config={"quant_method": "bitsandbytes"}), "checkpoint (bitsandbytes) is not"),
    "quantised somehow": (keys(quantization_config=[1]), "a quantised checkpoint is not read"),
    "rope unknown": (rope(rope_type="yran"), f"unknown rope_type 'yran' (did you mean 'yarn'?); {ROPE_TYPES}"),
    "rope of old unknown": (keys(rope_scaling={"type": "nope", "factor": 2.0}), "unknown rope_type 'nope'"),
    "rope incomplete": (rope(rope_type="yarn"), "config.json of model"),
    "rope a number": (rope(rope_type=3), "rope_type must be a text, got 3"),
    "rope a list": (keys(rope_scaling=[1]), "rope_scaling must be an object"),
    "rope without base": (rope(rope_type="default", rope_theta=0), "rope_theta must be a number above 0, got 0"),
    "rope of a text": (rope(rope_type="default", rope_theta="x"), "rope_theta must be a number above 0, got 'x'"),
    "rope of no factor": (rope(rope_type="linear", factor=0.0), "factor must be a number above 0, got 0.0"),
    "epsilon": (keys(rms_norm_eps=-1.0), "rms_norm_eps must be a number above 0, got -1.0"),
    "epsilon of null": (keys(rms_norm_eps=None), "rms_norm_eps must be a number above 0, got None"),
    "many labels": (keys(num_labels=10**9), "num_labels must be a whole number from 0 to 10000"),
    "labels": (keys(id2label=3), "config.json of model"),
    "padding side": (keys("tokenizer_config.json", padding_side="x"), "Padding side should be"),
    "activation": (keys(hidden_act="siluu"), "unknown hidden_act 'siluu' (did you mean 'silu'?)"),
    "tied by a text": (keys(tie_word_embeddings="yes"), "tie_word_embeddings must be true or false, got 'yes'"),
    "inner configuration": (keys(text_config="x"), "text_config must be an object"),
    "no inner configuration": (keys(text_config={}), "text_config must be an object"),
    "tokenizer empty": (bytes_of("tokenizer.json", b""), "tokenizer.json is no tokenizer, or damaged"),
    "tokenizer of no keys": (bytes_of("tokenizer.json", b"{}"), "tokenizer.json is no tokenizer, or damaged"),
    "tokenizer cut": (cut("tokenizer.json", 500), "tokenizer.json is no tokenizer, or damaged"),
    "tokenizer deep": (bytes_of("tokenizer.json", b"[" * 99999), "tokenizer.json is no tokenizer, or damaged"),
    "tokenizer missing": (remove("tokenizer*"), "holds no tokenizer, such as tokenizer.json"),
    "tokenizer of no words": (keys("tokenizer.json", model={"type": "WordLevel", "vocab": {}, "unk_token": "a"},
                                   added_tokens=[]), "tokenizer.json holds no vocabulary"),
    "id below zero": (vocabulary(w43=-1), "tokenizer.json is no tokenizer, or damaged"),
    "id beyond all": (vocabulary(w43=2**31), "token 'w43' has the id 2147483648"),
    "normaliser without bounds": (keys("tokenizer.json", normalizer=DOUBLED), "more than 1000 characters of one"),
    "padding without bounds": (keys("tokenizer.json", padding=PADDED), "padding must be to at most 10000000 tokens"),
    "other special tokens": (keys("special_tokens_map.json", eos_token=3), "map.json: eos_token must be a text, got 3"),
    "special tokens cut": (bytes_of("special_tokens_map.json", b"{"), "special_tokens_map.json:1 is not JSON"),
    "added tokens a list": (bytes_of("added_tokens.json", b"[]"), "added_tokens.json must hold an object"),
    "tokenizer a pipe": (pipe("tokenizer.json"), "tokenizer.json: is a pipe; only regular files are read"),
    "template a pipe": (pipe("chat_template.jinja"), "chat_template.jinja: is a pipe"),
    "settings empty": (bytes_of("tokenizer_config.json", b""), "tokenizer_config.json:1 is not JSON"),
    "end as a number": (keys("tokenizer_config.json", eos_token=2), "eos_token must be a text, got 2"),
    "class as a number": (keys("tokenizer_config.json", tokenizer_class=3), "tokenizer_class must be a text, got 3"),
    "added tokens": (keys("tokenizer_config.json", added_tokens_decoder={"x": {}}), "must name token ids, got 'x'"),
    "index names what is missing": (index({"weight_map": {"a": SHARD, "b": "model-2.safetensors"}}), "lacks model-2"),
    "index no JSON": (index('{"weight_map": {'), "is no index of shards: JSONDecodeError"),
    "index deep": (index("[" * 99999), "is no index of shards: RecursionError"),
    "index a list": (index([]), "is no index of shards"),
    "index of none": (
        index({"weight_map": {}, "metadata": {}}),
        "model.safetensors.index.json names no files; valid: *.safetensors, pytorch_model.bin",
    ),
    "index outside": (index({"weight_map": {"a": "../x.safetensors"}}), "valid: *.safetensors files beside it"),
    "weights empty": (bytes_of(WEIGHTS, b""), "is no safetensors file or is damaged: it has 0 bytes"),
    "weights cut in the head": (cut(WEIGHTS, 100), "its head is said to be"),
    "weights cut": (cut(WEIGHTS, 50_000), "its tensors end at byte"),
    "head beyond the file": (head(2**60, {}), f"its head is said to be {2**60} bytes long"),
    "head of 99 MB": (head(99_000_000, {}), "its head is said to be 99000000 bytes long"),
    "head deep": (bytes_of(WEIGHTS, struct.pack("<Q", 99999) + b'{"a":' * 20000), "damaged"),
    "head a list": (head(None, []), "its head is no object of names"),
    "no tensors": (head(None, {}), "tensors missing from its files"),
    "tensor beyond the file": (head(None, tensor(shape=[2**40], data_offsets=[0, 2**42])), "its tensors end at byte"),
    "tensor of negative size": (head(None, tensor(shape=[-1]), b"0000"), "has no shape or no place"),
    "tensor of enormous size": (head(None, tensor(shape=[2**62, 2**62]), b"0000"), "is of another size"),
    "tensor of no type": (head(None, tensor(dtype="Z9"), b"0000"), "is of no known type"),
    "gap": (head(None, tensor(data_offsets=[4, 8]), b"00000000"), "does not begin where the one before it ends"),
    "not finite": (weights(lambda w: w[UP].__setitem__((0, 0), float("inf"))), "its weights are damaged ("),
    "tensor missing": (weights(lambda w: w.pop(UP)), f"1 tensor missing from its files ({UP})"),
    "tensor too much": (weights(lambda w: w.update(extra=torch.zeros(2))), "does not ask for (extra)"),
    "tensor of another shape": (weights(lambda w: w.update({UP: torch.zeros(63, 32)})), "[63, 32], not [64, 32]"),
    "tensor of whole numbers": (weights(lambda w: w.update({UP: w[UP].long()})), f"tensor {UP} is of type I64"),
    "tensor of eight bits": (weights(lambda w: w.update({UP: w[UP].to(torch.int8)})), f"{UP}_scale with its scales"),
    "no weights": (remove(WEIGHTS), "holds no weights; valid: *.safetensors, pytorch_model.bin"),
    "weights a link to nothing": (link(WEIGHTS), f"/{WEIGHTS} is a link to ../gone, a file that is not there"),
    "shard a link to nothing": (
        lambda folder: [index({"weight_map": {"a": SHARD}, "metadata": {}})(folder), link(SHARD)(folder)],
        f"/{SHARD} is a link to ../gone, a file that is not there",
    ),
    "pickles a link to nothing": (
        lambda folder: [remove(WEIGHTS)(folder), link("pytorch_model.bin")(folder)],
        "/pytorch_model.bin is a link to ../gone, a file that is not there",
    ),
    "configuration a link to nothing": (link("config.json"), "/config.json is a link to ../gone, a file that"),
    "weights in another format": (
        lambda folder: [remove(WEIGHTS)(folder), (folder / "model.pt").touch()],
        "holds model.pt and no weights that are read; valid: *.safetensors, pytorch_model.bin",
    ),
}  # fmt: skip
for key, file in [(key, "config.json") for key in ("eos", "bos", "pad")] + [("eos", "generation_config.json")]:
    first, last = 0 if key == "eos" else -1, 99 if key == "pad" else 9_999_999
    for value in (first - 1, 10**9, last + 1, True, 2.0, "2"):
        several = " or a list of them" * (key == "eos")
        BROKEN[f"{key} {value!r} in {file}"] = (
            keys(file, **{f"{key}_token_id": value}),
            f"{file}: {key}_token_id must be a token id{several}, got {value!r}; valid: {first} to {last}",
        )
BROKEN["ends of which one is none"] = keys(eos_token_id=[2, -5]), "eos_token_id must be a token id or a list of them"
BROKEN["id in tokenizer_config"] = keys("tokenizer_config.json", pad_token_id=-2), "pad_token_id must be a token id"


@pytest.fixture(scope="module", params=["Llama", "qwen2"])
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the lean forward, and one that transformers runs."""
    sizes = builders.MODERN if request.param == "Llama" else {}
    return builders.save(builders.network(request.param, **sizes), tmp_path_factory.mktemp(request.param))


def refused(model: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What check and run say of a model that both must refuse, with the name of the model's key left out."""
    keys = {"devices": {"count": 1, "requests": 1}, "protocol": "edge_only", "compute": FIXED_COMPUTE}
    scenario = model.parent / "case.json"
    workload = {"prompts": "embedded", "max_new_tokens": 3}
    scenario.write_text(json.dumps({**keys, "workload": workload}))
    capsys.readouterr()
    said = []
    for words in (["models", "check", str(model)], ["run", str(scenario), "--set", f"models.target={model}"]):
        code = _main(words)
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if not line.startswith("specran: converting")]
        assert (code, len(lines)) == (2, 1), (words[0], captured.err)
        assert lines[0].startswith("specran: ") and "Traceback" not in captured.err
        said.append(lines[0])
    return said


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPECRAN_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    yield
    loading._load_model.cache_clear()
    loading._load_tokenizer.cache_clear()


@pytest.mark.parametrize("name", BROKEN)
def test_check_and_run_refuse_a_broken_folder_in_one_line(name: str, good: Path, tmp_path: Path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(good, folder)
    edit, says = BROKEN[name]
    edit(folder)
    for line in refused(folder, capsys):
        assert says in line, line


def test_a_tokenizers_own_code_is_named(tmp_path: Path, capsys):
    folder = builders.save(builders.network("Llama", **builders.MODERN), tmp_path / "model")
    keys("tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.T", None]})(folder)
    for line in refused(folder, capsys):
        assert "(auto_map in tokenizer_config.json) and runs with --trust-remote-code only, an option of run" in line


def test_check_and_run_take_the_whole_folder(good: Path, tmp_path: Path, capsys):
    assert _main(["models", "check", str(good)]) == 0
    (tmp_path / "prompts.txt").write_text("w3 w4\n")
    keys = {"devices": {"count": 1, "requests": 1}, "protocol": "edge_only", "compute": FIXED_COMPUTE}
    workload = {"prompts": str(tmp_path / "prompts.txt"), "max_new_tokens": 3}
    (tmp_path / "case.json").write_text(json.dumps({**keys, "workload": workload}))
    assert _main(["run", str(tmp_path / "case.json"), "--set", f"models.target={good}"]) == 0


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "good.gguf"
    gguf_builders.write("llama", path)
    return path.read_bytes()


def after(data: bytes, mark: bytes, shift: int, value: bytes) -> bytes:
    """Bytes in which some that stand ``shift`` after a mark are others."""
    place = data.index(mark) + len(mark) + shift
    return data[:place] + value + data[place + len(value) :]


U64_MAX = struct.pack("<Q", 2**60)
GGUF: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda d: b"", "it is no GGUF file"),
    "magic": (lambda d: b"GGML" + d[4:], "it is no GGUF file"),
    "version": (lambda d: d[:4] + struct.pack("<I", 99) + d[8:], "version 99; valid: GGUF, versions 2 and 3"),
    "cut in the head": (lambda d: d[:200], "the file is cut off"),
    "cut in the tensors": (lambda d: d[:-1000], "it is cut off: tensor"),
    "many tensors": (lambda d: d[:8] + struct.pack("<Q", 2**40) + d[16:], f"said to hold {2**40} tensors"),
    "many keys": (lambda d: d[:16] + struct.pack("<Q", 2**40) + d[24:], f"and {2**40} keys"),
    "a key more": (lambda d: d[:16] + struct.pack("<Q", 1000) + d[24:], "damaged one"),
    "long name": (lambda d: d[:24] + U64_MAX + d[32:], f"a text of {2**60} bytes"),
    "long text": (lambda d: after(d, b"general.architecture", 4, U64_MAX), f"a text of {2**60} bytes"),
    "long list": (lambda d: after(d, b"tokenizer.ggml.tokens", 8, U64_MAX), f"an array of {2**60} values"),
    "unknown type": (lambda d: after(d, b"general.architecture", 0, struct.pack("<I", 77)), "a value of type 77"),
    "unknown architecture": (lambda d: d.replace(b"llama", b"lalma"), "lalma"),
    "end beyond the vocabulary": (
        lambda d: after(d, b"tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 10**9)),
        "tokenizer.ggml.eos_token_id must be a token id, got 1000000000; valid: 0 to 99",
    ),
    "no blocks": (lambda d: after(d, b"llama.block_count", 4, bytes(4)), "block_count must be a whole number above 0"),
    "many dimensions": (lambda d: after(d, b"token_embd.weight", 0, struct.pack("<I", 2**31)), "dimensions"),
    "enormous tensor": (lambda d: after(d, b"token_embd.weight", 4, U64_MAX), "ends at byte"),
    "tensor elsewhere": (lambda d: after(d, b"token_embd.weight", 24, U64_MAX), "token_embd.weight ends at byte"),
    "unknown packing": (lambda d: after(d, b"token_embd.weight", 20, struct.pack("<I", 999)), "is of type 999"),
}


@pytest.mark.parametrize("name", GGUF)
def test_check_and_run_refuse_a_broken_gguf_file_in_one_line(name: str, gguf: bytes, tmp_path: Path, capsys):
    edit, says = GGUF[name]
    path = tmp_path / "model.gguf"
    path.write_bytes(edit(gguf))
    for line in refused(path, capsys):
        assert says in line, line


FIRST, LISTED = "of the model's layers the first 1 to 4 can be taken; got", "the model has 4 layers, 0 to 3; got"


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (str(10**12), FIRST),
        ("9" * 5000, FIRST),
        ("5", FIRST),
        ("0", FIRST),
        (f"0,{10**30}", LISTED),
        ("0,4", LISTED),
        ("1,2,1", "each layer can be taken once; got '1,2,1'"),
        ("", "layers must be a number, such as 8, or several"),
        ("0,,1", "layers must be a number, such as 8, or several"),
    ],
)
def test_layers_that_a_model_does_not_have_are_refused(layers: str, says: str, capsys):
    assert _main(["models", "check", f"embedded/target#layers={layers}"]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "a model's name must not be empty; give a folder, a .gguf file or a hub id"),
        (" ", "a model's name must not be empty"),
        ("embedded", "'embedded' names several models; give one of embedded/draft, embedded/middle, embedded/target"),
        ("smollm2", "'smollm2' names several models; give one of smollm2/draft, smollm2/target"),
        ("smollm2#layers=2", "'smollm2' names several models"),
    ],
)
def test_names_of_no_one_model_are_refused(name: str, says: str, capsys):
    changed = ["--set", "models.target=embedded/target", "--set", f"models.draft='{name}'"]
    for words in (["models", "check", name], ["run", "quickstart", "--live", *changed]):
        assert _main(words) == 2
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1, said


def test_a_folder_of_such_a_name_is_a_folder(good: Path, tmp_path: Path, capsys):
    shutil.copytree(good, tmp_path / "smollm2")
    assert _main(["models", "check", "smollm2"]) == 0


def test_an_architecture_that_is_not_read_is_told_alike_and_before_any_conversion(gguf, tmp_path, capsys):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf.replace(b"llama", b"lalma"))
    line = f"cannot load model {str(path)!r}: transformers does not read GGUF files of architecture 'lalma'"
    for words in (["models", "check", str(path)], ["models", "get", str(path)]):
        assert _main(words) == 2
        assert capsys.readouterr().err == f"specran: {line}\n"


@pytest.mark.parametrize(
    ("ids", "ends"),
    [
        ({"bos_token_id": 50256, "eos_token_id": [2, 50256], "pad_token_id": None}, [2]),
        ({"bos_token_id": -1, "eos_token_id": 2, "pad_token_id": -1}, [2]),
    ],
    ids=["defaults of a larger model", "none, as old checkpoints have it"],
)
def test_ids_that_a_model_does_not_have_do_no_harm(ids, ends, good, tmp_path):
    model = shutil.copytree(good, tmp_path / "model")
    keys("config.json", **ids)(model)
    (model / "generation_config.json").unlink(missing_ok=True)
    described, _ = describe_model(str(model))
    assert described.bos_id != ids["bos_token_id"] and set(ends) <= set(described.eos_ids)
    network = loading.load_model(str(model))
    assert 0 <= network.bos_id < network.vocab_size and network.eos_ids == set(described.eos_ids)
    assert described.notes == network.notes
    assert any("no text ends with token 50256" in note for note in described.notes) == (ids["bos_token_id"] > 0)
