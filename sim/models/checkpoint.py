"""What lies in a model's folder, and in one line what is wrong with it, before any library reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from channels.text_files import TextFileError, check_regular
from sim.core.errors import InputError
from sim.models.buffers import is_buffer
from sim.models.config_check import json_problem
from sim.models.fingerprint import combine, file_digest
from sim.models.limits import layer_count, text_config
from sim.models.pickled import PICKLE_FILE, PICKLE_INDEX, is_pickled, pickled_tensors
from sim.models.safetensors_head import Shape, Tensor, read_tensors

_POINTER = b"version https://git-lfs"
_MAX_POINTER_BYTES = 1024
# Of PyTorch, TensorFlow, Flax and ONNX.
_OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.onnx")
_READ = f"*.safetensors, {PICKLE_FILE}"
# Weights of layers alone; the rest comes from a base model.
LAYERS_FILE = "layers.safetensors"
INDEX_FILE = "model.safetensors.index.json"
# A weight of eight bits has its scales beside it, under its own name and this.
SCALE_SUFFIX = "_scale"
_LAYER = re.compile(r"(?:layers|h|blocks)\.(\d{1,6})\.")
_MAX_MISSING_LAYERS = 100
_COMPLEX = "C64"
_NO_WEIGHTS = ("BOOL", "I16", "I32", "I64", "U8", "U16", "U32", "U64")


def check_folder(folder: Path, name: str) -> None:
    """Look for what keeps a folder from being a model that can be loaded.

    Args:
        folder: A local folder.
        name: What the user called the model.

    Raises:
        InputError: No configuration, an adapter, files that are git-lfs pointers, broken JSON, settings that no model
            has, quantised weights, weights that are more than tensors or damaged, or shards that are missing.
    """
    try:
        problem = _problem_of(folder)
    except InputError as error:
        problem = str(error)
    if problem is not None:
        raise InputError(f"cannot load model {name!r}: {problem}")


def _problem_of(folder: Path) -> str | None:
    problem = _link_problem(folder) or _config_problem(folder) or _pointer_problem(folder)
    return problem or json_problem(folder) or _weights_problem(folder)


def _link_problem(folder: Path) -> str | None:
    """A symbolic link in place of a file that is read, and nothing where it points to."""
    for path in sorted({*folder.glob("*.json"), folder / PICKLE_FILE, *weight_files(folder)}):
        if path.is_symlink() and not path.exists():
            return f"{path} is a link to {path.readlink()}, a file that is not there"
    return None


def _config_problem(folder: Path) -> str | None:
    has_config = (folder / "config.json").is_file()
    if (folder / "adapter_config.json").is_file():
        return (
            f"{folder} is an adapter (adapter_config.json), not a whole model; merge it into its base model first "
            "(peft: model.merge_and_unload().save_pretrained(FOLDER))"
        )
    if has_config:
        return None
    ggufs = sorted(path.name for path in folder.glob("*.gguf"))
    if ggufs:
        return (
            f"the folder {folder} holds no config.json; to use a GGUF file, name the file itself: {folder / ggufs[0]}"
        )
    return f"the folder {folder} holds no config.json"


def _pointer_problem(folder: Path) -> str | None:
    """A git-lfs pointer in place of a file, or a pipe, of which reading would never end."""
    for path in sorted(folder.iterdir()):
        try:
            check_regular(path)
        except TextFileError as error:
            return str(error)
        if path.is_file() and path.stat().st_size <= _MAX_POINTER_BYTES and path.read_bytes().startswith(_POINTER):
            return f"{path} is a git-lfs pointer, not the file itself; run git lfs pull in {folder}"
    return None


def _weights_problem(folder: Path) -> str | None:
    files = weight_files(folder)
    folders = [path.name for path in files if path.is_dir()]
    if folders:
        return f"{folder / folders[0]} is a folder, not a file of weights"
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        index = index_file(folder).name
        return f"{folder} lacks {listed(missing)}, which {index} names; the download is incomplete"
    if files:
        tensors = {name: tensor.dtype for path in files for name, tensor in tensors_of_file(path).items()}
        return _types_problem(tensors) or _layers_problem(folder, list(tensors))
    return _no_weights_problem(folder)


def _no_weights_problem(folder: Path) -> str:
    """What a folder without weights that are read holds in their place."""
    for index in (INDEX_FILE, PICKLE_INDEX):
        if (folder / index).is_file():
            return f"{folder / index} names no files; valid: {_READ} and shards that an index names"
    others = sorted(path.name for pattern in _OTHER_WEIGHTS for path in folder.glob(pattern))
    if others:
        return f"{folder} holds {listed(others)} and no weights that are read; valid: {_READ}"
    gguf = sorted(path.name for path in folder.glob("*.[gG][gG][uU][fF]"))
    if gguf:
        return f"{folder} holds no weights that are read, but {listed(gguf)}: name a .gguf file itself as the model"
    return f"{folder} holds no weights; valid: {_READ}"


def _types_problem(dtypes: Mapping[str, str]) -> str | None:
    """Weights that are no numbers to compute with, whatever they would be cast to."""
    for name, dtype in dtypes.items():
        if dtype == "I8" and name.endswith(".weight") and name + SCALE_SUFFIX not in dtypes:
            return f"tensor {name} is of int8, and {name}{SCALE_SUFFIX} with its scales is missing"
        if dtype == _COMPLEX or (dtype in _NO_WEIGHTS and name.endswith(".weight")):
            return f"tensor {name} is of type {dtype}, which no weights are of"
    return None


def _layers_problem(folder: Path, names: Sequence[str]) -> str | None:
    """Far more layers than the files hold, which would take minutes to build; a few missing ones are named later."""
    config = read_json(folder / "config.json")
    stated = layer_count(text_config(config))
    held = held_layers(names)
    if stated is not None and 0 < held < stated - _MAX_MISSING_LAYERS:
        return f"{folder / 'config.json'}: it states {stated} layers, and the files hold tensors of {held} layers"
    return None


def held_layers(names: Iterable[str]) -> int:
    """How many layers the names of tensors tell of."""
    return 1 + max((int(found[1]) for name in names if (found := _LAYER.search(name))), default=-1)


def weight_files(folder: Path) -> list[Path]:
    """The files that make up a model, chosen as transformers does; shards may be named and missing.

    They are safetensors files, or pickles where there is none of these.
    """
    if (folder / LAYERS_FILE).is_file():
        return [folder / LAYERS_FILE]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if (folder / INDEX_FILE).is_file():
        return [folder / shard for shard in _shards(folder / INDEX_FILE)]
    if files := sorted(folder.glob("*.safetensors")):
        return files
    if (folder / PICKLE_FILE).is_file():
        return [folder / PICKLE_FILE]
    return [folder / shard for shard in _shards(folder / PICKLE_INDEX)] if (folder / PICKLE_INDEX).is_file() else []


def weights_digest(folder: Path) -> str:
    """Hash of a model folder's files of weights in the order of their names, of its configuration and its own code.

    Raises:
        FileNotFoundError: The folder holds no weights.
    """
    # What is not read, such as the same weights in another format, does not count.
    files = weight_files(folder)
    if not files:
        raise FileNotFoundError(f"no *.safetensors file in {folder}")
    # Code that comes with the weights, if any, decides what they compute.
    return combine(file_digest(path) for path in [*files, folder / "config.json", *sorted(folder.glob("*.py"))])


def index_file(folder: Path) -> Path:
    """The index that names a folder's shards, if there is one."""
    return folder / (INDEX_FILE if (folder / INDEX_FILE).is_file() else PICKLE_INDEX)


def tensors_of_file(path: Path) -> dict[str, Tensor]:
    """Tensors of a file of weights by name.

    Raises:
        InputError: It is none, or damaged.
    """
    return pickled_tensors(path) if is_pickled(path) else read_tensors(path)


def _shards(index: Path) -> list[str]:
    try:
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(shard) for shard in shard_of.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{index} is no index of shards: {type(error).__name__}: {error}") from error
    # What is loaded is what is hashed: files of this folder.
    suffix = ".safetensors" if index.name == INDEX_FILE else ".bin"
    elsewhere = [name for name in names if "/" in name or "\\" in name or not name.endswith(suffix)]
    if elsewhere:
        raise InputError(f"{index} names {listed(elsewhere)}; valid: *{suffix} files beside it")
    return names


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file beside the weights; empty if there is none. It was checked by ``check_folder``."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def listed(names: list[str], max_names: int = 3) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(names[:max_names])
    return shown if len(names) <= max_names else f"{shown} and {len(names) - max_names} more"


def refuse_wrong_tensors(
    missing: Sequence[str],
    unexpected: Mapping[str, Shape],
    mismatched: Sequence[tuple[str, Shape, Shape]],
    name: str,
) -> None:
    """Refuse a checkpoint whose tensors are not those that its configuration asks for.

    Args:
        missing: Names that the configuration asks for and the files lack.
        unexpected: Names that the files hold and the configuration has no use for, with their shapes; masks and the
            like that older checkpoints store may be among them.
        mismatched: Names with the shape in the files and the shape asked for.
        name: What the user called the model.

    Raises:
        InputError: There is any.
    """
    problem = wrong_tensors(missing, unexpected, mismatched)
    if problem is not None:
        raise InputError(f"cannot load model {name!r}: {problem}")


def wrong_tensors(
    missing: Sequence[str], unexpected: Mapping[str, Shape], mismatched: Sequence[tuple[str, Shape, Shape]]
) -> str | None:
    """What is wrong with a checkpoint's tensors, as for ``refuse_wrong_tensors``; None if nothing is."""
    found = []
    if missing:
        found.append(f"{_count(missing)} missing from its files ({listed(sorted(missing))})")
    surplus = sorted(one for one, shape in unexpected.items() if not is_buffer(one, shape))
    if surplus:
        found.append(f"{_count(surplus)} in its files that config.json does not ask for ({listed(surplus)})")
    if mismatched:
        shown = [f"{one}: {list(stored)}, not {list(asked)}" for one, stored, asked in sorted(mismatched)]
        found.append(f"{_count(shown)} of another shape than config.json says ({listed(shown)})")
    return "; ".join(found) or None


def _count(names: Sequence[str]) -> str:
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
