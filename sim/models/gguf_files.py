"""GGUF files as models: dequantised once by transformers into a folder of the cache, and loaded from there."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from sim.core.errors import InputError, RunError
from sim.core.files import cannot_write, models_folder, take_place, unfinished_folder
from sim.models.checkpoint import refuse_wrong_tensors
from sim.models.fingerprint import combine
from sim.models.gguf_header import GgufHead, check_head, read_head
from sim.models.hub import first_line, quiet_transformers

MAGIC = b"GGUF"
# Of the configuration that transformers derives, what names files, versions or the packing that is undone.
_LEFT_OUT = ("_name_or_path", "_model_name_or_path", "quantization_config", "transformers_version")


def say(message: str) -> None:
    """One line for people, on stderr: what takes longer than a moment is announced."""
    print(f"specran: {message}", file=sys.stderr, flush=True)


def check_gguf(path: Path, name: str) -> None:
    """Look whether a file can be a GGUF file.

    Raises:
        InputError: It is none.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InputError(f"cannot load model {name!r}: {error.strerror or error}") from error
    if start.startswith(b"version https://git-lfs"):
        raise InputError(f"cannot load model {name!r}: it is a git-lfs pointer, not the file itself; run git lfs pull")
    if not start.startswith(MAGIC):
        raise InputError(f"cannot load model {name!r}: it is no GGUF file (it begins with {start[:4]!r})")


def converted_folder(path: Path, name: str) -> Path:
    """The folder of a GGUF file's dequantised weights, configuration and tokenizer; made if it is not there.

    A file is known by its path, size and time of change; one that has changed is converted anew.

    Raises:
        InputError: It is no GGUF file, or of an architecture that transformers does not read.
        RunError: The folder cannot be written.
    """
    check_gguf(path, name)
    place = conversion_folder(path)
    if (place / "config.json").is_file():
        return place
    head = read_head(path, name)
    check_head(head, path, name)
    refuse_architecture(head, name)
    with locked(place):
        if not (place / "config.json").is_file():
            start = perf_counter()
            say(f"converting {path.name} once ({path.stat().st_size / 1e6:,.0f} MB) ...")
            with new_folder(place) as folder:
                convert(path, folder, name)
            say(f"converted {path.name} in {perf_counter() - start:.0f} s")
    return place


def refuse_architecture(head: GgufHead, name: str) -> None:
    """Refuse an architecture that transformers does not convert.

    Raises:
        InputError: It is none of those.
    """
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    own = head.metadata["general.architecture"]
    # Some go by another name there.
    if _plain(own) not in {_plain(known) for known in GGUF_SUPPORTED_ARCHITECTURES}:
        raise InputError(f"cannot load model {name!r}: transformers does not read GGUF files of architecture {own!r}")


def _plain(architecture: str) -> str:
    return architecture.replace("_", "").replace("-", "")


def conversion_folder(path: Path) -> Path:
    """Where the converted file is, or is to be."""
    status = path.stat()
    stamp = combine([path.resolve(), status.st_size, status.st_mtime_ns])[:16]
    return models_folder() / f"gguf-{stamp}"


@contextlib.contextmanager
def locked(place: Path) -> Iterator[None]:
    """Keep other processes from making the same folder; they wait and then find it made.

    Raises:
        RunError: The folder around it cannot be written.
    """
    from filelock import FileLock

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.parent / f".{place.name}.lock")
        lock.acquire()
    except OSError as error:
        raise cannot_write("models", place.parent, error) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """A folder that gets its name when it is complete, and vanishes if it never is.

    Raises:
        RunError: It cannot be written.
    """
    try:
        with unfinished_folder(place.parent) as folder:
            yield folder
            take_place(folder, place)
    except OSError as error:
        raise cannot_write("a model", place, error) from error


def convert(path: Path, folder: Path, name: str, dtype: str | None = None) -> None:
    """Write a GGUF file's weights as safetensors, with configuration, generation limits and tokenizer.

    Args:
        path: The GGUF file.
        folder: Where to; empty.
        name: What the user called the model.
        dtype: Of the weights; by default the narrowest that holds them exactly.

    Raises:
        InputError: It is damaged, or transformers does not read it.
        RunError: There is no room for it.
    """
    check_head(read_head(path, name), path, name)
    network, tokenizer = _read(path, name)
    tensors = _tensors_of(network, dtype)
    needed = sum(tensor.numel() * tensor.itemsize for tensor in tensors.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RunError(
            f"converting {path.name} needs {needed / 1e9:.1f} GB in {folder.parent}, {free / 1e9:.1f} are free"
        )
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    kept = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    architectures = {"architectures": [type(network).__name__], "dtype": kept}
    _write_json({**network.config.to_diff_dict(), **architectures}, folder / "config.json")
    _write_json(network.generation_config.to_diff_dict(), folder / "generation_config.json")
    tokenizer.save_pretrained(folder)
    for written in folder.iterdir():
        # safetensors makes files that only their owner may read.
        written.chmod(0o644)


def _read(path: Path, name: str) -> tuple[Any, Any]:
    quiet_transformers()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        # transformers shows a bar of its own here, whatever its settings.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **place)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(path.parent), dtype=torch.float32, output_loading_info=True, **place
            )
    except Exception as error:  # the libraries below raise many kinds
        raise InputError(f"cannot load model {name!r}: {first_line(error)}") from error
    network, info = loaded
    # What transformers has no use for, such as factors of a rotary embedding, is no sign of damage here.
    refuse_wrong_tensors(list(info["missing_keys"]), {}, [], name)
    return network, tokenizer


def _tensors_of(network: Any, dtype: str | None) -> dict[str, Any]:
    """The parameters by name, a tied head left out, in the narrowest dtype that holds all of them exactly."""
    import torch

    tensors = dict(network.state_dict())
    embedding, head = network.get_input_embeddings().weight, network.get_output_embeddings().weight
    if head is embedding or head.data_ptr() == embedding.data_ptr():
        tensors.pop("lm_head.weight", None)
    if dtype is not None:
        kept = getattr(torch, dtype)
    else:
        kept = next((one for one in (torch.bfloat16, torch.float16) if _is_exact(tensors, one)), torch.float32)
    return {name: tensor.to(kept).contiguous() for name, tensor in tensors.items()}


def _is_exact(tensors: dict[str, Any], dtype: Any) -> bool:
    import torch

    return all(torch.equal(tensor.to(dtype).to(tensor.dtype), tensor) for tensor in tensors.values())


def _write_json(content: dict[str, Any], path: Path) -> None:
    plain = {key: value for key, value in content.items() if key not in _LEFT_OUT}
    path.write_text(json.dumps(plain, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")
