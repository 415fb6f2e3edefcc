"""From a model's name to a loaded model, its tokenizer attached; and two models made ready to be a pair."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, unknown_name_message
from sim.models.chat_template import TEMPLATE_FILE
from sim.models.checkpoint import read_json, weights_digest
from sim.models.fingerprint import combine
from sim.models.hub import first_line, quiet_transformers
from sim.models.info import files_stamp
from sim.models.interface import LanguageModel
from sim.models.pairing import compare_tokens, notes_of_ends, notes_of_rows
from sim.models.sources import EMBEDDED, SMOLLM2, ModelSource, find_model, resolve_folder
from sim.models.special_ids import KEYS, note_of_ends, special_ids
from sim.models.tokenizer import (
    VOCABULARY_FILES,
    TextTokenizer,
    light_tokenizer,
    read_template,
    refuse_greedy,
    transformers_tokenizer,
    unreadable,
)

if TYPE_CHECKING:
    from sim.models.cached_model import CachedModel

__all__ = ["load_model", "load_pair", "load_tokenizer", "resolve_device", "resolve_folder", "use_threads"]

DTYPES = ("float32", "float64", "bfloat16", "float16")


def load_model(
    name: str, *, device: str = "auto", dtype: str = "float32", trust_remote_code: bool = False
) -> LanguageModel:
    """Load a causal language model; a second call with the same arguments returns the same object.

    Args:
        name: What ``sim.models.sources.find_model`` takes: ``smollm2/target``, ``embedded/draft``, a GGUF file, a local
            folder, a Hugging Face hub id, each of them with ``#layers=8`` or ``#layers=0,7,14`` for some layers only.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ...
        dtype: ``float32`` (default), ``float64``, ``bfloat16`` or ``float16``. Halves make verification depend on
            the draft's length in a few percent of draws.
        trust_remote_code: Whether code shipped with the checkpoint may run.

    Raises:
        InputError: No such model or device, or one that drafts cannot be verified with.
        ValueError: Unknown dtype.
    """
    if dtype not in DTYPES:
        raise ValueError(unknown_name_message("dtype", dtype, DTYPES))
    return _load_model(name, resolve_device(device), dtype, trust_remote_code, None, _stamp(name))


def load_tokenizer(name: str, *, trust_remote_code: bool = False) -> TextTokenizer:
    """Load the tokenizer that belongs to a model; cached like the model.

    Raises:
        InputError: No such model, or no tokenizer beside it.
    """
    return _load_tokenizer(name, trust_remote_code, _stamp(name))


def load_pair(
    draft: str,
    target: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    trust_remote_code: bool = False,
    draft_vocabulary: str = "same",
) -> tuple[LanguageModel, LanguageModel]:
    """Load a draft and a target whose token ids mean the same; the draft's rows get the target's width.

    A draft with further ids at the end of its vocabulary loses them; one that lacks some of the target's never proposes
    them. Either way the target's rows stay whole, and with them the distribution of its text.

    Args:
        draft: Name of the draft.
        target: Name of the target.
        device: As for ``load_model``.
        dtype: As for ``load_model``.
        trust_remote_code: As for ``load_model``.
        draft_vocabulary: ``same``, or ``shared_tokens`` for a draft of another vocabulary, which then proposes the
            tokens that both have.

    Raises:
        InputError: A model cannot be loaded, or the tokenizers differ and must not.
    """
    own, leading = (load_tokenizer(name, trust_remote_code=trust_remote_code) for name in (draft, target))
    match = compare_tokens(own, leading)
    if match.problem is not None and draft_vocabulary == "same":
        raise InputError(f"{match.problem}; models.draft_vocabulary: shared_tokens pairs them by the tokens of both")
    leader = load_model(target, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    helper = load_model(draft, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    if match.problem is not None:
        from sim.models.cross_vocabulary import CrossVocabularyModel

        return CrossVocabularyModel(helper, leading, leader.vocab_size, leader.eos_ids), leader
    reload = partial(_load_model, draft, resolve_device(device), dtype, trust_remote_code, stamp=_stamp(draft))
    ends = notes_of_ends(own, leading, helper.eos_ids, leader.eos_ids)
    widths = notes_of_rows(own, leading, helper.vocab_size, leader.vocab_size)
    return _fitted(helper, leader, (*match.notes, *widths, *ends), reload)


def _fitted(
    draft: LanguageModel, target: LanguageModel, notes: tuple[str, ...], reload: Callable[[int], LanguageModel]
) -> tuple[LanguageModel, LanguageModel]:
    """The pair with rows of one width; ``reload`` loads the draft with so many of its ids."""
    from sim.models.wrapped import PairedModel, WidenedModel

    if draft.vocab_size > target.vocab_size:
        draft = reload(target.vocab_size)
    if draft.vocab_size == target.vocab_size and not notes:
        return draft, target
    # A loaded model is shared by all pairs in which it is.
    same = draft.vocab_size == target.vocab_size
    paired = PairedModel(draft) if same else WidenedModel(draft, target.vocab_size)
    paired.notes = (*draft.notes, *notes)
    return paired, target


def use_threads(count: int) -> None:
    """Let torch compute with ``count`` threads in this process."""
    import torch

    if count < 1:
        raise ValueError(f"count of threads must be at least 1, got {count}")
    torch.set_num_threads(count)


def resolve_device(device: str) -> str:
    """Spell out ``auto``: the GPU if there is one.

    Raises:
        InputError: This machine has no such device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    here = ["cpu", *(["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))] * torch.cuda.is_available())]
    here += ["mps"] * torch.backends.mps.is_available()
    if device in here:
        return device
    valid = ", ".join(["auto", *here])
    if device.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        what = f"no device {device!r} among the {count} CUDA devices here" if count else "no CUDA device here"
        raise InputError(f"{what}; valid: {valid}", "models.device")
    raise InputError(unknown_name_message("device", device, ["auto", *here]), "models.device")


def _stamp(name: str) -> str:
    """Changes whenever a model's files may have: what was loaded before is then loaded anew."""
    return json.dumps(files_stamp(find_model(name).folders))


@lru_cache(maxsize=8)
def _load_model(
    name: str, device: str, dtype: str, trust_remote_code: bool, width: int | None, stamp: str
) -> LanguageModel:
    source = find_model(name)
    tokenizer = _load_tokenizer(name, trust_remote_code, stamp)
    model: CachedModel | None = _load_lean(source, tokenizer, dtype, width) if device == "cpu" else None
    model = model or _load_transformers(source, tokenizer, device, dtype, trust_remote_code, width)
    if model.unusable_tensor() is not None:
        # Not left to the first logits: a row of the embedding may stay unread for long.
        raise InputError(f"cannot load model {name!r}: {model.cause_of_unusable()}")
    model.tokenizer = tokenizer
    return model


def _load_lean(source: ModelSource, tokenizer: TextTokenizer, dtype: str, width: int | None) -> CachedModel | None:
    """The lean forward, if the checkpoint is one that it knows."""
    from sim.models.limits import context_limit
    from sim.models.llama_fast import LlamaFast
    from sim.models.llama_sizes import LlamaSizes
    from sim.models.llama_weights import DTYPES as LEAN_DTYPES
    from sim.models.llama_weights import HALF_DTYPE, has_half_products, open_weights

    config = read_json(source.folder / "config.json")
    sizes = LlamaSizes.from_config(config)
    halves = dtype == HALF_DTYPE and has_half_products()
    if sizes is None or not (halves or dtype in LEAN_DTYPES):
        return None
    vocab_size = min(len(tokenizer), sizes.vocab_size) if width is None else width
    generation = read_json(source.tokenizer_folder / "generation_config.json")
    ids = special_ids(generation, config, tokenizer, len(tokenizer))
    limit = context_limit(config, source.name)
    content = ["lean llama", *_content(source), tokenizer.fingerprint, dtype, "cpu", vocab_size]
    try:
        with open_weights(source, LEAN_DTYPES["float32" if halves else dtype]) as files:
            model = LlamaFast(
                files,
                sizes,
                source.name,
                vocab_size,
                ids.ends,
                ids.first,
                combine(content),
                layers=source.layers,
                max_context=limit.length,
                halves=halves,
            )
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _cannot_load(source, error) from error
    model.notes = (*limit.notes, *note_of_ends(ids.ends, vocab_size, source.name))
    return model


def _content(source: ModelSource) -> list[Any]:
    """Hashes of the weights that a model is made of, and which of its layers are."""
    layers = [] if source.layers is None else [source.layers]
    return [*(weights_digest(folder) for folder in source.folders), *layers]


def _load_transformers(
    source: ModelSource,
    tokenizer: TextTokenizer,
    device: str,
    dtype: str,
    trust_remote_code: bool,
    width: int | None,
) -> CachedModel:
    from sim.models.huggingface import HuggingFaceModel
    from sim.models.networks import load_network

    network = load_network(source, dtype, trust_remote_code).to(device)
    head = network.get_output_embeddings().weight.shape[0]
    vocab_size = min(len(tokenizer), head) if width is None else width
    ids = special_ids(_ids_of(network.generation_config), _ids_of(network.config), tokenizer, len(tokenizer))
    model = HuggingFaceModel(
        network,
        name=source.name,
        vocab_size=vocab_size,
        eos_ids=ids.ends,
        bos_id=ids.first,
        fingerprint=combine(["transformers", *_content(source), tokenizer.fingerprint, dtype, device, vocab_size]),
    )
    model.notes = (*model.notes, *note_of_ends(ids.ends, vocab_size, source.name))
    return model


def _ids_of(settings: object) -> dict[str, Any]:
    return {key: getattr(settings, key, None) for key in KEYS}


@lru_cache(maxsize=16)
def _load_tokenizer(name: str, trust_remote_code: bool, stamp: str) -> TextTokenizer:  # noqa: ARG001 -- part of the cache's key
    source = find_model(name)
    folder = source.tokenizer_folder
    if name.startswith((EMBEDDED, SMOLLM2)) or source.base is not None:
        return light_tokenizer(folder, name)
    refuse_unfit_files(source, trust_remote_code)
    quiet_transformers()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    except Exception as error:
        from sim.models.networks import needs_own_code

        if problem := needs_own_code(source, trust_remote_code) or unreadable(folder / "tokenizer.json"):
            raise problem from error
        # transformers reads config.json along with it, whose values it checks.
        part = "the tokenizer" if _has_config(folder) else "config.json"
        raise InputError(f"cannot load {part} of model {name!r}: {first_line(error)}") from error
    return transformers_tokenizer(tokenizer, name, folder)


def refuse_unfit_files(source: ModelSource, trust_remote_code: bool) -> None:
    """Refuse a tokenizer's files that transformers would make too much or something else of.

    Raises:
        InputError: There is none, one that would take all memory, or a chat template that is no text.
    """
    folder = source.tokenizer_folder
    if not trust_remote_code and not any(next(folder.glob(pattern), None) for pattern in VOCABULARY_FILES):
        raise InputError(f"cannot load model {source.name!r}: {folder} holds no tokenizer, such as tokenizer.json")
    refuse_greedy(folder / "tokenizer.json")
    read_template(folder / TEMPLATE_FILE)  # It names the file, should it be no text.


def _has_config(folder: Path) -> bool:
    """Whether transformers takes a folder's configuration; one of a kind that it does not know is not looked into."""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(str(folder))
    except Exception:  # as below
        return False
    return True


def _cannot_load(source: ModelSource, error: Exception) -> InputError:
    return InputError(f"cannot load model {source.name!r} from {source.folder}: {first_line(error)}")
