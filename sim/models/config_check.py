"""What is wrong with the JSON files beside a model's weights, as far as each shows without any library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.core.errors import shortened

_SIZES = (
    "vocab_size",
    "hidden_size",
    "n_embd",
    "intermediate_size",
    "num_hidden_layers",
    "n_layer",
    "num_attention_heads",
    "n_head",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
# Beyond any model: what asks for more is damaged, and would be tried to be built.
_MAX_SIZE, _MAX_LAYERS, _MAX_CONTEXT = 10_000_000, 10_000, 1_000_000_000
_PER_LAYER = ("intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
_LAYERS, _CONTEXT = ("num_hidden_layers", "n_layer"), "max_position_embeddings"
_DTYPE = re.compile(r"(torch\.)?(auto|u?int[1-8]?\d?|bool|half|float|double|b?float(8|16|32|64)(_\w+)?)")
_ABOVE_ZERO = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "rope_theta", "factor")
_FLAGS = ("tie_word_embeddings", "attention_bias", "mlp_bias", "is_encoder_decoder", "use_sliding_window")
_OBJECTS = ("text_config", "rope_parameters", "rope_scaling")
_TOKEN_FILES = ("tokenizer_config.json", "special_tokens_map.json")
_JSON_FILES = ("config.json", "generation_config.json", *_TOKEN_FILES, "added_tokens.json")
# Characters that a normaliser may make of one; those of real tokenizers make one or two.
_MAX_GROWTH, _MAX_DEPTH = 1000, 50
# Keys under which further settings of a model stand.
_INNER = ("text_config", "rope_parameters", "rope_scaling", "full_attention", "sliding_attention")


def json_problem(folder: Path) -> str | None:
    """What is wrong with a folder's configuration, generation limits or tokenizer settings; None if nothing is."""
    vocab_size = None
    for name in _JSON_FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            return f"{path} cannot be read: {error}"
        except RecursionError:
            return f"{path} is not JSON that can be used: it is nested too deeply"
        except ValueError as error:
            line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            return f"{path}{line} is not JSON: {getattr(error, 'msg', error)}"
        if not isinstance(content, dict):
            return f"{path} must hold an object of keys and values"
        if name == "config.json":
            problem = _config_problem(content)
            vocab_size = None if problem else _vocab_size(content)
        else:
            problem = _tokens_problem(content) if name in _TOKEN_FILES else None
        if problem := problem or _ids_problem(content, vocab_size):
            return f"{path}: {problem}"
    return None


def _vocab_size(config: Mapping[str, Any]) -> int | None:
    size = (config.get("text_config") or config).get("vocab_size", config.get("vocab_size"))
    return size if type(size) is int else None


def _ids_problem(content: Mapping[str, Any], vocab_size: int | None) -> str | None:
    """What is wrong with the special ids that a file names; tokenizers name theirs as texts, under other keys.

    Ends and beginnings outside the vocabulary, which small models have from the defaults of larger ones, never occur.
    A padding must have a row in the embedding; of it and of a beginning, -1 says that there is none.
    """
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = content.get(key)
        ids = value if isinstance(value, list) and key == "eos_token_id" else [value]
        first = 0 if key == "eos_token_id" else -1
        last = (vocab_size if vocab_size is not None and key == "pad_token_id" else _MAX_SIZE) - 1
        if value is not None and not all(type(one) is int and first <= one <= last for one in ids):
            several = " or a list of them" * (key == "eos_token_id")
            return f"{key} must be a token id{several}, got {shortened(value)}; valid: {first} to {last}"
    return None


def _config_problem(config: Mapping[str, Any]) -> str | None:
    quantised = config.get("quantization_config")
    if quantised is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        named = f" ({method})" if isinstance(method, str) else ""
        return f"quantization_config: a quantised checkpoint{named} is not read; give one in bfloat16 or a GGUF file"
    parts = [config, *(part for key in _INNER if isinstance(part := config.get(key), dict))]
    parts += [inner for part in parts[1:] for key in _INNER if isinstance(inner := part.get(key), dict)]
    problems = (_kinds_problem(config), *(_sizes_problem(part) or _numbers_problem(part) for part in parts))
    return next(filter(None, problems), None) or _counts_problem(config)


def _kinds_problem(config: Mapping[str, Any]) -> str | None:
    """Names and lists that are of another kind of value."""
    for key in ("model_type", "hidden_act"):
        if key in config and not isinstance(config[key], str):
            return f"{key} must be a text, got {shortened(config[key])}"
    for key in ("architectures", "layer_types"):
        value = config.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            return f"{key} must be a list of texts, got {shortened(value)}"
    for key in _OBJECTS:
        value = config.get(key)
        if value is not None and not (isinstance(value, dict) and (value or key != "text_config")):
            return f"{key} must be an object of keys and values, got {shortened(value)}"
    return None


def _sizes_problem(content: Mapping[str, Any]) -> str | None:
    """What is wrong with the sizes that a configuration states; where layers differ it may list one for each."""
    for key in _SIZES:
        value = content.get(key)
        largest = _MAX_LAYERS if key in _LAYERS else _MAX_CONTEXT if key == _CONTEXT else _MAX_SIZE
        is_listed = isinstance(value, list) and key in _PER_LAYER
        if not (value is None or is_listed or (type(value) is int and 1 <= value <= largest)):
            return f"{key} must be a whole number from 1 to {largest}, got {shortened(value)}"
    labels = content.get("num_labels", 0)
    if not (type(labels) is int and 0 <= labels <= _MAX_LAYERS):
        return f"num_labels must be a whole number from 0 to {_MAX_LAYERS}, got {shortened(labels)}"
    for key in ("dtype", "torch_dtype"):
        value = content.get(key)
        if isinstance(value, str) and not _DTYPE.fullmatch(value):
            return f"{key} must be a type of PyTorch, got {shortened(value)}; valid: float32, bfloat16, float16"
    return None


def _numbers_problem(part: Mapping[str, Any]) -> str | None:
    for key in _ABOVE_ZERO:
        value = part.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        may_be_null = key not in part or not key.startswith("rms")
        if not (may_be_null if value is None else is_number and 0 < value < math.inf):
            return f"{key} must be a number above 0, got {shortened(value)}"
    for key in _FLAGS:
        if part.get(key) is not None and not isinstance(part[key], bool):
            return f"{key} must be true or false, got {shortened(part[key])}"
    for key in ("rope_type", "type"):
        if not isinstance(part.get(key, ""), str | None):
            return f"{key} must be a text, got {shortened(part[key])}"
    return None


def _counts_problem(config: Mapping[str, Any]) -> str | None:
    """Sizes that do not divide each other as attention needs it, and types of more or fewer layers than there are."""
    layers, kinds = config.get("num_hidden_layers"), config.get("layer_types")
    if kinds and isinstance(layers, int) and len(kinds) != layers:
        return f"layer_types must name one type for each of {layers} layers, got {len(kinds)}"
    hidden, heads, groups = (config.get(key) for key in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    if not isinstance(heads, int):
        return None
    if isinstance(hidden, int) and config.get("head_dim") is None and hidden % heads:
        return f"hidden_size must be a multiple of num_attention_heads, got {hidden} and {heads}"
    if isinstance(groups, int) and heads % groups:
        return f"num_attention_heads must be a multiple of num_key_value_heads, got {heads} and {groups}"
    return None


def _tokens_problem(content: Mapping[str, Any]) -> str | None:
    """What is wrong with a tokenizer's settings, of those that transformers takes as they are."""
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = content.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        if value is not None and not isinstance(text, str):
            return f"{key} must be a text, got {shortened(value)}"
    kind = content.get("tokenizer_class")
    if kind is not None and not isinstance(kind, str):
        return f"tokenizer_class must be a text, got {shortened(kind)}"
    added = content.get("added_tokens_decoder")
    if added is None:
        return None
    if not isinstance(added, dict):
        return f"added_tokens_decoder must be an object of keys and values, got {shortened(added)}"
    wrong = next((key for key in added if not (key.isascii() and key.isdigit() and int(key[:9]) < _MAX_SIZE)), None)
    if wrong is not None:
        return f"added_tokens_decoder must name token ids, got {shortened(wrong)}; valid: 0 to {_MAX_SIZE - 1}"
    return None


def growth_problem(tokenizer: Any) -> str | None:
    """What of a ``tokenizer.json`` would make far more than it is given: padding, and normalisers one after another."""
    if not isinstance(tokenizer, dict):
        return None  # The library says what it is.
    padding = tokenizer.get("padding")
    if isinstance(padding, dict):
        strategy = padding.get("strategy")
        lengths = [padding.get("pad_to_multiple_of"), strategy.get("Fixed") if isinstance(strategy, dict) else None]
        longest = max((length for length in lengths if type(length) is int), default=0)
        if longest > _MAX_SIZE:
            return f"padding must be to at most {_MAX_SIZE} tokens, got {longest}"
    if _growth(tokenizer.get("normalizer")) * _growth(tokenizer.get("pre_tokenizer")) > _MAX_GROWTH:
        return f"its normalizer makes more than {_MAX_GROWTH} characters of one"
    return None


def _growth(part: Any, depth: int = 0) -> float:
    """Characters that a normaliser makes of one, at most."""
    if not isinstance(part, dict) or depth > _MAX_DEPTH:
        return 1.0
    parts = [inner for key in ("normalizers", "pretokenizers") for inner in part.get(key) or ()]
    content, pattern = part.get("content"), part.get("pattern")
    replaced = pattern.get("String") if isinstance(pattern, dict) else None
    # A pattern of another kind may find a place between any two characters, too.
    length = len(replaced) if isinstance(replaced, str) and replaced else 0.5
    own = len(content) / length if isinstance(content, str) else 1.0
    return math.prod([max(1.0, own), *(_growth(inner, depth + 1) for inner in parts)])
