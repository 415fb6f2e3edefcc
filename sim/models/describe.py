"""What a model is and whether two can be a pair, from the headers of their files: no weights, no framework."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.errors import InputError
from sim.core.user_code import remote_code_is_trusted
from sim.models.chat_template import TEMPLATE_FILE, ChatTemplate, template_file
from sim.models.checkpoint import SCALE_SUFFIX, Shape, check_folder, read_json, weight_files, wrong_tensors
from sim.models.gguf_files import check_gguf, conversion_folder
from sim.models.gguf_header import GgufHead, read_head
from sim.models.hub import first_line
from sim.models.limits import context_limit, text_config
from sim.models.llama_sizes import LlamaSizes, optional_ends, tensors_of
from sim.models.pairing import compare_tokens
from sim.models.sources import LAYERS_MARK, SHIPPED_FOLDERS, SHIPPED_NAMES, ModelSource, find_model, is_here
from sim.models.token_bytes import bytes_by_id
from sim.models.tokenizer import TextTokenizer, light_tokenizer, read_template

_ENDS = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
_MAX_HEAD_BYTES = 100_000_000
_FULL = {"full_attention", "sliding_attention"}
_GGUF_SPECIAL = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}


@dataclass(frozen=True)
class ModelDescription:
    """What is known of a model without loading it.

    Attributes:
        name: What the user called it.
        architecture: Class that computes it, such as ``LlamaForCausalLM``.
        vocab_size: Width of its rows: token ids that mean something.
        eos_ids: Ids that end a text.
        bos_id: Id that begins one, if any.
        parameters: Numbers in its weights; None if the hub does not say.
        layers: Its layers.
        max_context: Longest text in tokens.
        chat_template: Whether it comes with a template for chats.
        notes: What was cut, and why.
        problem: Why it cannot be loaded, or None.
        place: Folder or file.
    """

    name: str
    architecture: str
    vocab_size: int
    eos_ids: tuple[int, ...]
    bos_id: int | None
    parameters: int | None
    layers: int | None
    max_context: int | None
    chat_template: bool
    notes: tuple[str, ...]
    problem: str | None
    place: str


def describe_model(name: str) -> tuple[ModelDescription, TextTokenizer]:
    """Describe a model: of a folder, a GGUF file (which is not converted), or the hub (which is downloaded from).

    Raises:
        InputError: There is no such model, or its files make no sense.
    """
    plain = Path(name.partition(LAYERS_MARK)[0]).expanduser()
    if plain.suffix.lower() == ".gguf" and LAYERS_MARK not in name:
        check_gguf(plain, name)
        if not (conversion_folder(plain) / "config.json").is_file():
            return _of_gguf(plain, name)
    source = find_model(name, weights=False)
    try:
        return _of_folder(source)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        # Of what kind a value is that anybody has written is seen where it is used.
        text = f"the configuration of model {source.name!r} in {source.folder} makes no sense: {first_line(error)}"
        raise InputError(text) from error


def describe_pair(draft: TextTokenizer, target: TextTokenizer) -> dict[str, Any]:
    """Whether models with these tokenizers make a pair: ``possible``, ``problem``, ``notes`` and ``shared_tokens``."""
    match = compare_tokens(draft, target)
    shared = len(set(bytes_by_id(draft).values()) & set(bytes_by_id(target).values()))
    return {
        "possible": match.problem is None,
        "problem": match.problem,
        "notes": list(match.notes),
        "shared_tokens": shared,
    }


def _of_folder(source: ModelSource) -> tuple[ModelDescription, TextTokenizer]:
    if not source.is_hub:
        check_folder(source.folder, source.name)
    config = read_json(source.folder / "config.json")
    tokenizer = folder_tokenizer(source)
    text = text_config(config)
    try:
        limit, problem = context_limit(config, source.name), _problem_of(config, text)
    except InputError as error:
        limit, problem = None, str(error)
    shapes = _shapes_of(source)
    problem = problem or _problem_with_tensors(source, config, shapes)
    rows = next((shapes[name][0] for name in shapes if "embed_tokens" in name or name.endswith("wte.weight")), None)
    width = min(size for size in (len(tokenizer), text.get("vocab_size"), rows) if isinstance(size, int))
    generation = read_json(source.tokenizer_folder / "generation_config.json")
    layers = text.get("num_hidden_layers", text.get("n_layer"))
    return (
        ModelDescription(
            source.name,
            ", ".join(config.get("architectures") or [str(config.get("model_type"))]),
            width,
            tuple(sorted(token for token in _ends(generation, config, tokenizer) if token < width)),
            tokenizer.special_ids.get("bos", config.get("bos_token_id")),
            _count_parameters(source, shapes),
            len(source.layers) if source.layers is not None else layers,
            None if limit is None else limit.length,
            has_template(source.tokenizer_folder),
            (*(() if limit is None else limit.notes), *_notes_of_template(source.tokenizer_folder)),
            problem,
            str(source.folder),
        ),
        tokenizer,
    )


def _count_parameters(source: ModelSource, shapes: Mapping[str, Shape]) -> int | None:
    """Numbers in the weights; those of a hub model that is not here are asked for."""
    if shapes or not source.is_hub:
        return sum(math.prod(shape) for shape in shapes.values())
    from huggingface_hub import get_safetensors_metadata

    try:
        return sum(get_safetensors_metadata(source.name).parameter_count.values())
    except Exception:  # no network, or no safetensors there
        return None


def _problem_of(config: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    """Why a model of this configuration cannot be verified with, as far as the configuration shows."""
    if config.get("is_encoder_decoder"):
        return f"model type {config.get('model_type')!r} is an encoder-decoder; give a decoder-only model"
    if config.get("auto_map") and not remote_code_is_trusted():
        return "its code comes with it (auto_map in config.json) and runs with --trust-remote-code only"
    others = set(text.get("layer_types") or []) - _FULL
    if others:
        return f"layers of type {', '.join(sorted(others))} cannot be rolled back after a rejected draft"
    return None


def _problem_with_tensors(source: ModelSource, config: dict[str, Any], shapes: Mapping[str, Shape]) -> str | None:
    """Tensors that a plain Llama's files lack, hold beyond need or in another shape; of others loading tells."""
    sizes = LlamaSizes.from_config(config)
    if sizes is None or not shapes:
        return None
    asked = tensors_of(sizes, source.layers)
    optional = optional_ends(shapes, sizes)
    return wrong_tensors(
        [name for name in asked if name not in shapes and name not in optional],
        sorted(set(shapes) - set(asked)),
        [(name, shapes[name], shape) for name, shape in asked.items() if shapes.get(name, shape) != shape],
    )


def _ends(generation: Mapping[str, Any], config: Mapping[str, Any], tokenizer: TextTokenizer) -> set[int]:
    ends: set[int] = set()
    named = (generation.get("eos_token_id"), config.get("eos_token_id"), tokenizer.special_ids.get("eos"))
    for one in named:
        ends.update([one] if isinstance(one, int) else one or [])
    return ends


def folder_tokenizer(source: ModelSource) -> TextTokenizer:
    """A model's tokenizer; by the tokenizers library where it can read it, else by transformers."""
    folder = source.tokenizer_folder
    if not (folder / "tokenizer.json").is_file():
        from sim.models.loading import load_tokenizer

        return load_tokenizer(source.name)
    tokenizer = light_tokenizer(folder, source.name)
    named = read_json(folder / "tokenizer_config.json")
    for role in ("bos", "eos", "pad", "unk"):
        token = named.get(f"{role}_token")
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str) and text in tokenizer.vocabulary:
            tokenizer.special_ids[role] = tokenizer.vocabulary[text]
    return tokenizer


def has_template(folder: Path) -> bool:
    """Whether a folder holds a chat template."""
    return bool(_stored_template(folder))


def _stored_template(folder: Path) -> Any:
    """Source of a folder's chat template, several by name, or None."""
    path = template_file(folder)
    if path.name == TEMPLATE_FILE:
        return read_template(path)
    return read_json(path).get("chat_template")


def _notes_of_template(folder: Path) -> tuple[str, ...]:
    """What a chat template says of a chat that every model should take, if it refuses it."""
    source = _stored_template(folder)
    named = {entry["name"]: entry["template"] for entry in source} if isinstance(source, list) else source
    text = named.get("default") if isinstance(named, dict) else named
    if not isinstance(text, str):
        return () if text is None else (f"{template_file(folder)}: chat_template must be a text",)
    tokens = {key: value for key, value in read_json(folder / "tokenizer_config.json").items() if key[-6:] == "_token"}
    texts = {key: str(value.get("content") if isinstance(value, dict) else value) for key, value in tokens.items()}
    try:
        ChatTemplate(text, texts, template_file(folder))([{"role": "user", "content": "Hello"}])
    except InputError as error:
        return (f"chats cannot be put to it: {error}",)
    return ()


def _shapes_of(source: ModelSource) -> dict[str, Shape]:
    """Shapes of the tensors that a model is made of; a layers-only folder borrows the ends of its base model."""
    shapes = _shapes_in(weight_files(source.folder))
    if source.base is not None:
        ends = _shapes_in(weight_files(source.base))
        shapes |= {name: ends[name] for name in _ENDS if name in ends}
    if source.layers is not None:
        shapes = {name: shape for name, shape in shapes.items() if _layer_of(name) in (None, *source.layers)}
    return shapes


def _shapes_in(files: Iterable[Path]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for path in files:
        shapes |= safetensors_shapes(path)
    return {name: shape for name, shape in shapes.items() if not name.endswith(SCALE_SUFFIX)}


def _layer_of(name: str) -> int | None:
    """Number of the layer that a tensor belongs to."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)


def safetensors_shapes(path: Path) -> dict[str, Shape]:
    """Shapes by name from the head of a safetensors file: eight bytes of length, then JSON.

    Raises:
        InputError: It is no such file.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            head = json.loads(file.read(min(length, _MAX_HEAD_BYTES)))
        return {name: tuple(entry["shape"]) for name, entry in head.items() if name != "__metadata__"}
    except (
        OSError,
        struct.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise InputError(f"{path} is no safetensors file or is damaged: {error}") from error


def _of_gguf(path: Path, name: str) -> tuple[ModelDescription, TextTokenizer]:
    head = read_head(path, name)
    tokenizer = gguf_vocabulary(head, name)
    metadata = head.metadata
    config = {
        "model_type": metadata.get("general.architecture"),
        "max_position_embeddings": head.of_architecture("context_length"),
        "sliding_window": head.of_architecture("attention.sliding_window"),
    }
    try:
        limit, problem = context_limit(config, name), None
    except InputError as error:
        limit, problem = None, str(error)
    rows = head.shapes.get("token_embd.weight", (len(tokenizer),))[0]
    eos = tokenizer.special_ids.get("eos")
    return (
        ModelDescription(
            name,
            f"{metadata.get('general.architecture')} (GGUF)",
            min(len(tokenizer), rows),
            () if eos is None else (eos,),
            tokenizer.special_ids.get("bos"),
            sum(math.prod(shape) for shape in head.shapes.values()),
            head.of_architecture("block_count"),
            None if limit is None else limit.length,
            "tokenizer.chat_template" in metadata,
            () if limit is None else limit.notes,
            problem,
            str(path),
        ),
        tokenizer,
    )


def gguf_vocabulary(head: GgufHead, name: str) -> TextTokenizer:
    """The vocabulary of a GGUF file, to compare with others; it neither encodes nor decodes.

    Raises:
        InputError: The file holds none.
    """
    tokens = head.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise InputError(f"cannot load model {name!r}: the file holds no vocabulary (tokenizer.ggml.tokens)")
    roles = {role: head.metadata.get(f"tokenizer.ggml.{key}_token_id") for role, key in _GGUF_SPECIAL.items()}

    def neither(_: Any) -> Any:
        raise InputError(f"{name} was not converted; load it to encode text")

    return TextTokenizer(
        name,
        {token: place for place, token in enumerate(tokens)},
        {role: token for role, token in roles.items() if isinstance(token, int)},
        neither,
        neither,
    )


def listed_models() -> list[tuple[str, str, str]]:
    """Models that can be named at once: name, whether it is here, and what it is."""
    about = {
        "embedded/draft": "tiny pair for tests, trained on Python source; vocabulary 8,192",
        "embedded/middle": "between the two, for chains of models",
        "embedded/target": "its target, 5.1 M parameters",
        "smollm2/draft": "a few layers of the target, distilled from it",
        "smollm2/target": "SmolLM2-135M-Instruct, English chat; vocabulary 49,152; Apache-2.0",
    }
    rows = []
    for name in SHIPPED_NAMES:
        prefix, role = name.split("/")
        folder = SHIPPED_FOLDERS[f"{prefix}/"] / role
        ships = name == "smollm2/target" or (folder / "config.json").is_file()
        if ships:
            rows.append((name, "here" if is_here(name) else f"not here: specran models get {name}", about[name]))
    return rows
