"""From a model's name to a loaded model: an embedded one, a local folder, or a Hugging Face hub id."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, unknown_name_message
from sim.models.fingerprint import combine, parameters_digest, weights_digest
from sim.models.interface import LanguageModel
from sim.models.pairing import check_same_tokens
from sim.models.tokenizer import TextTokenizer, light_tokenizer, transformers_tokenizer

EMBEDDED = "embedded/"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
DTYPES = ("float32", "float64", "bfloat16", "float16")
SNAPSHOT_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]


def load_model(
    name: str, *, device: str = "auto", dtype: str = "float32", trust_remote_code: bool = False
) -> LanguageModel:
    """Load a causal language model; a second call with the same arguments returns the same object.

    Args:
        name: ``embedded/draft``, ``embedded/middle``, ``embedded/target``, a local folder, or a Hugging Face hub id.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ...
        dtype: ``float32`` (default), ``float64``, ``bfloat16`` or ``float16``. Halves make verification depend on
            the draft's length in a few percent of draws.
        trust_remote_code: Whether code shipped with the checkpoint may run.

    Raises:
        InputError: No such model, or one that drafts cannot be verified with.
        ValueError: Unknown dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(unknown_name_message("dtype", dtype, DTYPES))
    return _load_model(name, resolve_device(device), dtype, trust_remote_code, None)


def load_tokenizer(name: str, *, trust_remote_code: bool = False) -> TextTokenizer:
    """Load the tokenizer that belongs to a model; cached like the model.

    Raises:
        InputError: No such model, or no tokenizer beside it.
    """
    return _load_tokenizer(name, trust_remote_code)


def load_pair(
    draft: str, target: str, *, device: str = "auto", dtype: str = "float32", trust_remote_code: bool = False
) -> tuple[LanguageModel, LanguageModel]:
    """Load a draft and a target that share a tokenizer; their rows are cut to one width.

    Raises:
        InputError: A model cannot be loaded, or the tokenizers differ.
    """
    check_same_tokens(
        load_tokenizer(draft, trust_remote_code=trust_remote_code),
        load_tokenizer(target, trust_remote_code=trust_remote_code),
    )
    models = [
        load_model(name, device=device, dtype=dtype, trust_remote_code=trust_remote_code) for name in (draft, target)
    ]
    width = min(model.vocab_size for model in models)
    place = resolve_device(device)
    first, second = (
        model if model.vocab_size == width else _load_model(name, place, dtype, trust_remote_code, width)
        for name, model in zip((draft, target), models, strict=True)
    )
    return first, second


def use_threads(count: int) -> None:
    """Let torch compute with ``count`` threads in this process."""
    import torch

    if count < 1:
        raise ValueError(f"count of threads must be at least 1, got {count}")
    torch.set_num_threads(count)


def resolve_device(device: str) -> str:
    """Spell out ``auto``: the GPU if there is one."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=8)
def _load_model(name: str, device: str, dtype: str, trust_remote_code: bool, width: int | None) -> LanguageModel:
    folder = resolve_folder(name)
    tokenizer = _load_tokenizer(name, trust_remote_code)
    fast = _load_fast(name, folder, tokenizer, dtype, width) if device == "cpu" else None
    return fast or _load_transformers(name, folder, tokenizer, device, dtype, trust_remote_code, width)


def _load_fast(
    name: str, folder: Path, tokenizer: TextTokenizer, dtype: str, width: int | None
) -> LanguageModel | None:
    """The lean forward, if the checkpoint is one that it knows."""
    from sim.models.llama_fast import LlamaFast
    from sim.models.llama_weights import DTYPES as FAST_DTYPES
    from sim.models.llama_weights import LlamaSizes

    config = _read_json(folder / "config.json")
    sizes = LlamaSizes.from_config(config)
    if sizes is None or dtype not in FAST_DTYPES or not any(folder.glob("*.safetensors")):
        return None
    vocab_size = min(len(tokenizer), sizes.vocab_size) if width is None else width
    generation = _read_json(folder / "generation_config.json")
    ends, begin = _special_ids(generation.get, config.get, tokenizer)
    content = combine(["llama fast", weights_digest(folder), tokenizer.fingerprint, dtype, "cpu", vocab_size])
    try:
        return LlamaFast(folder, sizes, dtype, name, vocab_size, ends, begin, content)
    except (KeyError, RuntimeError) as error:
        raise _cannot_load(name, str(folder), error) from error


def _load_transformers(
    name: str,
    folder: Path,
    tokenizer: TextTokenizer,
    device: str,
    dtype: str,
    trust_remote_code: bool,
    width: int | None,
) -> LanguageModel:
    from sim.models.huggingface import HuggingFaceModel, refuse_unfit

    has_weights = any(folder.glob("*.safetensors"))
    # A hub repository without safetensors on its main branch may have them on the hub's conversion branch.
    source = str(folder) if has_weights else name
    config = _config(name, source, trust_remote_code)
    refuse_unfit(config, name)
    network = _network(name, source, config, dtype, trust_remote_code).to(device)
    weights = weights_digest(folder) if has_weights else parameters_digest(network)
    head = network.get_output_embeddings().weight.shape[0]
    vocab_size = min(len(tokenizer), head) if width is None else width
    generation = network.generation_config
    ends, begin = _special_ids(partial(getattr, generation), partial(getattr, config), tokenizer)
    return HuggingFaceModel(
        network,
        name=name,
        vocab_size=vocab_size,
        eos_ids=ends,
        bos_id=begin,
        fingerprint=combine(["transformers", weights, tokenizer.fingerprint, dtype, device, vocab_size]),
    )


def _config(name: str, source: str, trust_remote_code: bool) -> Any:
    _silence()
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception as error:  # the libraries below raise many kinds
        raise _cannot_load(name, source, error) from error


def _network(name: str, source: str, config: Any, dtype: str, trust_remote_code: bool) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    def load(attention: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            attn_implementation=attention,
        )

    try:
        try:
            return load("sdpa")
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            return load("eager")
    except Exception as error:
        raise _cannot_load(name, source, error) from error


def _special_ids(
    generation: Callable[[str, None], Any], config: Callable[[str, None], Any], tokenizer: TextTokenizer
) -> tuple[frozenset[int], int]:
    """Ids that end a text (all that model and tokenizer name) and the id that begins one."""
    ends: set[int] = set()
    for named in (generation("eos_token_id", None), config("eos_token_id", None), tokenizer.special_ids.get("eos")):
        ends.update([named] if isinstance(named, int) else named or [])
    begins = (tokenizer.special_ids.get("bos"), config("bos_token_id", None), tokenizer.special_ids.get("eos"), 0)
    begin = next(token for token in begins if isinstance(token, int) and token < len(tokenizer))
    return frozenset(ends), begin


@lru_cache(maxsize=16)
def _load_tokenizer(name: str, trust_remote_code: bool) -> TextTokenizer:
    folder = resolve_folder(name)
    if name.startswith(EMBEDDED):
        return light_tokenizer(folder, name)
    _silence()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    except Exception as error:
        raise InputError(f"cannot load the tokenizer of model {name!r}: {_first_line(error)}") from error
    return transformers_tokenizer(tokenizer, name)


def resolve_folder(name: str) -> Path:
    """The folder that holds a model's files: embedded, local, or a snapshot of the hub's (downloaded if need be).

    Raises:
        InputError: There is none.
    """
    if name.startswith(EMBEDDED):
        return _embedded_folder(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(f"cannot load model {name!r}: the folder {folder} holds no config.json")
        return folder
    if not HUB_ID.fullmatch(name):
        raise InputError(f"cannot load model {name!r}: no such folder, and not a Hugging Face hub id (owner/name)")
    return _hub_snapshot(name)


def _embedded_folder(name: str) -> Path:
    folder = EMBEDDED_FOLDER / name.removeprefix(EMBEDDED)
    known = [f"{EMBEDDED}{role}" for role in ("draft", "middle", "target")]
    if name not in known:
        raise InputError(unknown_name_message("embedded model", name, known))
    if not (folder / "config.json").is_file():
        raise InputError(f"cannot load model {name!r}: its files are missing from this installation")
    return folder


@lru_cache(maxsize=16)
def _hub_snapshot(name: str) -> Path:
    _silence()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=SNAPSHOT_FILES, ignore_patterns=["*/*"]))
    except Exception as error:
        raise InputError(
            f"cannot load model {name!r}: no folder of that name here, and the Hugging Face hub says: "
            f"{_first_line(error)}"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _cannot_load(name: str, source: str, error: Exception) -> InputError:
    return InputError(f"cannot load model {name!r} from {source}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _silence() -> None:
    """Keep transformers and the hub from writing bars and notices to stderr."""
    from huggingface_hub.utils import disable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
