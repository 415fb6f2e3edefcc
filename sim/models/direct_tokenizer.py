"""A plain Llama's tokenizer as transformers reads it, without its automatic choice of a class.

The choice imports PyTorch, which takes most of the time in which a folder is described, and reads the configuration in
its own way. Where the files themselves say what it comes to, and the configuration is one that it takes, the class is
imported by name. Anything else is left to the choice, and so is whatever fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim.models.checkpoint import read_json
from sim.models.hub import quiet_transformers
from sim.models.tokenizer import TextTokenizer, transformers_tokenizer

# Of a folder whose path, as it was given, begins with one of these, the path has a say in the choice.
OWNERS = ("deepseek-ai", "allenai", "google", "naver-clova-ix", "salesforce", "stepfun-ai")
_WHOLE, _GPT2, _LLAMA = "PreTrainedTokenizerFast", "GPT2Tokenizer", "LlamaTokenizer"
_CLASSES = {"TokenizersBackend": _WHOLE, _WHOLE: _WHOLE, _GPT2: _GPT2, f"{_GPT2}Fast": _GPT2}
_CLASSES |= {_LLAMA: _LLAMA, f"{_LLAMA}Fast": _LLAMA}


def direct_tokenizer(folder: Path, name: str, config: Mapping[str, Any]) -> TextTokenizer | None:
    """The tokenizer of a plain Llama's folder, or None where its files do not say which class reads it.

    Args:
        folder: Holds the tokenizer's files and those settings.
        name: What the user called the model.
        config: Its configuration, of a plain Llama.
    """
    settings = read_json(folder / "tokenizer_config.json")
    class_name = _CLASSES.get(settings.get("tokenizer_class", ""))
    is_told = (folder / "tokenizer.json").is_file() and "auto_map" not in settings
    if class_name is None or not is_told or str(folder).lower().startswith(OWNERS) or not _is_taken(config):
        return None
    quiet_transformers()
    import transformers

    try:
        whole = transformers.PreTrainedTokenizerFast
        if class_name == _LLAMA and whole._tokenizer_json_has_byte_level(str(folder)):
            class_name = _WHOLE
        return transformers_tokenizer(getattr(transformers, class_name).from_pretrained(str(folder)), name, folder)
    except Exception:  # the libraries below raise many kinds, and a run says which
        return None


def _is_taken(config: Mapping[str, Any]) -> bool:
    """Whether a configuration holds such keys and values only as transformers takes without a word."""
    return all(key in _KINDS and _KINDS[key](value) for key, value in config.items())


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _or_null(is_kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_kind(value)


def _are_ids(value: object) -> bool:
    return _is_count(value) or (isinstance(value, list) and len(value) > 0 and all(map(_is_count, value)))


def _is_share(value: object) -> bool:
    return type(value) is float and 0 <= value <= 1


def _is_rope(value: object) -> bool:
    """Rotary factors of one base for all lengths."""
    if not isinstance(value, dict) or value.keys() - {"rope_type", "rope_theta"}:
        return False
    return value.get("rope_type") == "default" and _is_number(value.get("rope_theta"))


_COUNTS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_KINDS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys((*_COUNTS, "max_position_embeddings"), _is_count),
    **dict.fromkeys(("head_dim", "num_key_value_heads", "pretraining_tp"), _or_null(_is_count)),
    **dict.fromkeys(("bos_token_id", "pad_token_id", "unk_token_id"), _or_null(_is_count)),
    "eos_token_id": _or_null(_are_ids),
    **dict.fromkeys(("model_type", "hidden_act", "_name_or_path", "transformers_version"), _is_text),
    **dict.fromkeys(("dtype", "torch_dtype"), lambda value: value in ("float32", "bfloat16", "float16")),
    **dict.fromkeys(("attention_bias", "mlp_bias", "tie_word_embeddings", "use_cache"), _is_flag),
    **dict.fromkeys(("is_llama_config", "rope_interleaved"), _is_flag),
    "architectures": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    **dict.fromkeys(("attention_dropout", "rope_theta"), _is_number),
    "initializer_range": _is_share,
    "rms_norm_eps": lambda value: type(value) is float,
    "rope_parameters": _or_null(_is_rope),
    "rope_scaling": lambda value: value is None,
}
