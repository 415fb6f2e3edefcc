"""What a model is and whether two can be a pair, from the headers of their files: no weights, no framework."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.errors import InputError
from sim.core.user_code import remote_code_is_trusted
from sim.models.buffers import is_buffer, parameters_of
from sim.models.chat_template import TEMPLATE_FILE, ChatTemplate, template_file
from sim.models.checkpoint import SCALE_SUFFIX, check_folder, read_json, tensors_of_file, weight_files, wrong_tensors
from sim.models.direct_tokenizer import direct_tokenizer
from sim.models.gguf_files import check_gguf, conversion_folder, refuse_architecture
from sim.models.gguf_header import GgufHead, check_head, read_head
from sim.models.hub import first_line
from sim.models.limits import context_limit, layer_count, text_config
from sim.models.llama_sizes import LlamaSizes, optional_ends, tensors_of
from sim.models.pairing import compare_tokens, notes_of_ends, notes_of_rows
from sim.models.pickled import first_pickled_not_finite, is_pickled
from sim.models.safetensors_head import Tensor, first_not_finite
from sim.models.sources import LAYERS_MARK, SHIPPED_FOLDERS, SHIPPED_NAMES, ModelSource, find_model, is_here
from sim.models.special_ids import note_of_ends, special_ids
from sim.models.tied import head_stored_twice
from sim.models.tokenizer import TextTokenizer, light_tokenizer, read_template

_ENDS = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
# Weights of this size are read within a second or two.
_MAX_READ_BYTES = 2_000_000_000
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
    place: str


def describe_model(name: str) -> tuple[ModelDescription, TextTokenizer]:
    """Describe a model: of a folder, a GGUF file (which is not converted), or the hub (which is downloaded from).

    Raises:
        InputError: There is no such model, or it cannot be loaded.
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


def describe_pair(
    draft: tuple[ModelDescription, TextTokenizer], target: tuple[ModelDescription, TextTokenizer]
) -> dict[str, Any]:
    """Whether two described models make a pair: ``possible``, ``problem``, ``notes`` and ``shared_tokens``."""
    (model, tokenizer), (leader, leading) = draft, target
    match = compare_tokens(tokenizer, leading)
    notes = list(match.notes)
    if match.problem is None:
        shared = min(model.vocab_size, leader.vocab_size)
        notes += notes_of_rows(tokenizer, leading, model.vocab_size, leader.vocab_size)
        notes += notes_of_ends(tokenizer, leading, model.eos_ids, leader.eos_ids)
    else:
        from sim.models.cross_vocabulary import VocabularyMap

        shared = len(VocabularyMap(tokenizer, leading, 0).within(model.vocab_size, leader.vocab_size)[0])
    return {"possible": match.problem is None, "problem": match.problem, "notes": notes, "shared_tokens": shared}


def _of_folder(source: ModelSource) -> tuple[ModelDescription, TextTokenizer]:
    if not source.is_hub:
        check_folder(source.folder, source.name)
    config = read_json(source.folder / "config.json")
    checked: Mapping[str, Any] = config
    tensors = _tensors_of(source)
    sizes = LlamaSizes.from_config(config)
    is_light = source.is_hub or source.base is not None or source.name.startswith(tuple(SHIPPED_FOLDERS))
    tokenizer = folder_tokenizer(source) if is_light else _as_loaded(source, config, sizes)
    if sizes is not None or not source.has_weights:
        _refuse_llama(source, config, sizes, tensors)
    else:
        from sim.models.networks import check_network

        checked = check_network(source, remote_code_is_trusted())
    limit = context_limit(checked, source.name)
    text = text_config(checked)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    rows = next((shapes[name][0] for name in shapes if "embed_tokens" in name or name.endswith("wte.weight")), None)
    width = min(size for size in (len(tokenizer), text.get("vocab_size"), rows) if isinstance(size, int))
    generation = read_json(source.tokenizer_folder / "generation_config.json")
    ids = special_ids(generation, config, tokenizer, width)
    layers = layer_count(text)
    notes = (*limit.notes, *note_of_ends(ids.ends, width, source.name))
    notes = (*notes, *_notes_of_template(source.tokenizer_folder), *_notes_of_values(source))
    return (
        ModelDescription(
            source.name,
            ", ".join(config.get("architectures") or [str(config.get("model_type"))]),
            width,
            tuple(sorted(token for token in ids.ends if token < width)),
            ids.begin,
            _count_parameters(
                source, tensors, bool(text.get("tie_word_embeddings", checked.get("tie_word_embeddings")))
            ),
            len(source.layers) if source.layers is not None else layers,
            limit.length,
            has_template(source.tokenizer_folder),
            notes,
            str(source.folder),
        ),
        tokenizer,
    )


def _as_loaded(source: ModelSource, config: Mapping[str, Any], sizes: LlamaSizes | None) -> TextTokenizer:
    """The tokenizer that a run has, which looks at more of the files."""
    from sim.models.loading import load_tokenizer, refuse_unfit_files

    refuse_unfit_files(source, remote_code_is_trusted())
    tokenizer = None if sizes is None else direct_tokenizer(source.folder, source.name, config)
    return tokenizer or load_tokenizer(source.name, trust_remote_code=remote_code_is_trusted())


def _refuse_llama(
    source: ModelSource, config: Mapping[str, Any], sizes: LlamaSizes | None, tensors: Mapping[str, Tensor]
) -> None:
    """Refuse what ``check_network`` would, where the configuration and the heads of the files tell.

    Raises:
        InputError: A plain Llama's tensors do not fit, or the configuration is of another kind of model.
    """
    if config.get("is_encoder_decoder"):
        problem: str | None = (
            f"model type {config.get('model_type')!r} is an encoder-decoder; give a decoder-only model"
        )
    elif others := set(text_config(config).get("layer_types") or []) - _FULL:
        problem = f"layers of type {', '.join(sorted(others))} cannot be rolled back after a rejected draft"
    else:
        problem = None if sizes is None or not source.has_weights else _problem_with_tensors(source, sizes, tensors)
    if problem is not None:
        raise InputError(f"cannot load model {source.name!r}: {problem}")


def _problem_with_tensors(source: ModelSource, sizes: LlamaSizes, tensors: Mapping[str, Tensor]) -> str | None:
    """Tensors that a plain Llama's files lack, hold beyond need or in another shape."""
    scales = {name + SCALE_SUFFIX for name in tensors}
    shapes = {name: tensor.shape for name, tensor in tensors.items() if name not in scales}
    asked = tensors_of(sizes, source.layers)
    optional = optional_ends(shapes, sizes)
    return wrong_tensors(
        [name for name in asked if name not in shapes and name not in optional],
        {name: shape for name, shape in shapes.items() if name not in asked},
        [(name, shapes[name], shape) for name, shape in asked.items() if shapes.get(name, shape) != shape],
    )


def _notes_of_values(source: ModelSource) -> tuple[str, ...]:
    """That weights were not read, as large ones are not.

    Raises:
        InputError: One holds values that are not finite.
    """
    files = [path for folder in source.folders for path in weight_files(folder)]
    if sum(path.stat().st_size for path in files) > _MAX_READ_BYTES:
        return ("its weights were not read; whether their values are finite is seen when it is loaded",)
    for path in files:
        name = first_pickled_not_finite(path) if is_pickled(path) else first_not_finite(path)
        if name is not None:
            text = f"its weights are damaged ({name} holds values that are not finite)"
            raise InputError(f"cannot load model {source.name!r}: {text}")
    return ()


def _count_parameters(source: ModelSource, tensors: Mapping[str, Tensor], is_tied: bool) -> int | None:
    """Numbers in the weights, a tied head's once, without masks, positions and scales.

    Those of a hub model that is not here are asked for, or follow from its configuration.
    """
    if tensors or not source.is_hub:
        files = [path for folder in source.folders for path in weight_files(folder)]
        twice = head_stored_twice(files, _MAX_READ_BYTES // 2) if is_tied else None
        own = parameters_of(tensors)
        scales = {name + SCALE_SUFFIX for name in own}
        stored = [one for name, one in own.items() if one.stop > one.start and name not in scales]
        return sum(math.prod(one.shape) for one in stored) - (0 if twice is None else math.prod(twice.shape))
    from huggingface_hub import get_safetensors_metadata

    from sim.models.networks import count_parameters

    try:
        files_there = get_safetensors_metadata(source.name).files_metadata.values()
        listed = [(name, one) for file in files_there for name, one in file.tensors.items()]
        return sum(one.parameter_count for name, one in listed if not is_buffer(name, tuple(one.shape)))
    except Exception:  # no network, or no safetensors there
        return count_parameters(source, remote_code_is_trusted())


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


def _tensors_of(source: ModelSource) -> dict[str, Tensor]:
    """The tensors that a model is made of; a layers-only folder borrows the ends of its base model."""
    tensors = _tensors_in(weight_files(source.folder))
    if source.base is not None:
        ends = _tensors_in(weight_files(source.base))
        tensors = {name: ends[name] for name in _ENDS if name in ends} | tensors
    if source.layers is not None:
        tensors = {name: one for name, one in tensors.items() if _layer_of(name) in (None, *source.layers)}
    return tensors


def _tensors_in(files: Iterable[Path]) -> dict[str, Tensor]:
    return {name: tensor for path in files for name, tensor in tensors_of_file(path).items()}


def _layer_of(name: str) -> int | None:
    """Number of the layer that a tensor belongs to."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), None)


def _of_gguf(path: Path, name: str) -> tuple[ModelDescription, TextTokenizer]:
    head = read_head(path, name)
    check_head(head, path, name)
    refuse_architecture(head, name)
    tokenizer = gguf_vocabulary(head, name)
    metadata = head.metadata
    config = {
        "model_type": metadata.get("general.architecture"),
        "max_position_embeddings": head.of_architecture("context_length"),
        "sliding_window": head.of_architecture("attention.sliding_window"),
    }
    limit = context_limit(config, name)
    rows = head.shapes["token_embd.weight"][0]
    eos = tokenizer.special_ids.get("eos")
    return (
        ModelDescription(
            name,
            f"{metadata.get('general.architecture')} (GGUF)",
            min(len(tokenizer), rows),
            () if eos is None else (eos,),
            tokenizer.special_ids.get("bos"),
            sum(math.prod(shape) for name, shape in head.shapes.items() if not is_buffer(name, shape)),
            head.of_architecture("block_count"),
            limit.length,
            "tokenizer.chat_template" in metadata,
            limit.notes,
            str(path),
        ),
        tokenizer,
    )


def gguf_vocabulary(head: GgufHead, name: str) -> TextTokenizer:
    """The vocabulary of a GGUF file, to compare with others; it neither encodes nor decodes."""
    tokens = head.metadata["tokenizer.ggml.tokens"]
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
