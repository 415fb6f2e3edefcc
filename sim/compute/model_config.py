"""Shapes from a model's own ``config.json``, as Hugging Face repositories have it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.compute.shapes import ModelShape, shape_of
from sim.core.errors import InputError

# Architectures whose feed-forward layer has no gate: two matrices instead of three.
_UNGATED = frozenset(
    {"bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "opt", "phi"}
    | {"stablelm_epoch", "starcoder2", "nemotron"}
)
# Architectures whose configuration leaves it out where the embedding is the output head, too.
_TIED = frozenset(
    {"bloom", "falcon", "gemma", "gemma2", "gemma3", "gemma3_text", "gpt2", "gpt_bigcode", "opt", "cohere"}
)
_STATE_SPACE = ("mamba", "rwkv", "recurrent", "jamba", "bamba", "nemotron_h", "lfm2", "qwen3_next", "falcon_h1")
_ALIASES = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "vocabulary": ("vocab_size",),
}


def find_config(name: str) -> Path | None:
    """The ``config.json`` that a name means: a file, a folder that holds one, or a hub id in the local cache.

    Returns:
        None if the name is no path and looks like no hub id.

    Raises:
        InputError: A path or a hub id without a configuration here.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        if (path / "config.json").is_file():
            return path / "config.json"
        raise InputError(f"no config.json in the folder {name}")
    if name.endswith(".json") or name.startswith(("/", "./", "../", "~")):
        raise InputError(f"no such file: {name}")
    if name.count("/") != 1:
        return None
    cached = _cached_config(name)
    if cached is None:
        raise InputError(
            f"no configuration of {name!r} in the local Hugging Face cache; download its config.json once, "
            f"or name a listed shape (specran list sizes), a path to a config.json or a number of parameters"
        )
    return cached


def _cached_config(repository: str) -> Path | None:
    """Where the hub's cache keeps a repository's configuration; nothing is downloaded."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    folder = hub / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        revision = "*"
    found = sorted((folder / "snapshots").glob(f"{revision}/config.json"))
    return found[-1] if found else None


def shape_from_config(name: str, path: Path) -> ModelShape:
    """The shape of the model that a configuration describes.

    Args:
        name: What was asked for.
        path: The ``config.json``.

    Raises:
        InputError: It cannot be read, or it is of no decoder of attention and feed-forward layers.
    """
    config = _read(path)
    text = config.get("text_config")
    if isinstance(text, Mapping):  # models that see or hear keep the language model's configuration below
        config = {
            "model_type": config.get("model_type"),
            "tie_word_embeddings": config.get("tie_word_embeddings"),
            **text,
        }
    kind = str(config.get("model_type", ""))
    if config.get("is_encoder_decoder") or any(kind.startswith(other) for other in _STATE_SPACE):
        raise InputError(f"{path}: {kind or 'this model'} is no decoder of attention and feed-forward layers")
    if any("linear" in str(one) or "mamba" in str(one) for one in _layer_types(config)):
        raise InputError(f"{path}: layers of linear attention or state space are not supported")
    shown = _shown(name, path)
    return shape_of(shown, shown, _dimensions(config, kind, path))


def _shown(name: str, path: Path) -> str:
    """What a manifest calls the configuration: no folder of this machine."""
    return name if name.count("/") == 1 and not Path(name).exists() else f"{path.parent.name}/{path.name}"


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: this is no JSON: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: expected a model's configuration, a mapping of keys")
    return config


def _dimensions(config: Mapping[str, Any], kind: str, path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {key: _number(config, names, path) for key, names in _ALIASES.items()}
    hidden, heads = row["hidden"], row["heads"]
    default_kv_heads = 1 if config.get("multi_query") else heads
    row["kv_heads"] = _number(config, ("num_key_value_heads", "num_kv_heads", "n_head_kv"), path, default_kv_heads)
    row["head_size"] = _number(config, ("head_dim", "attention_head_size"), path, hidden // heads)
    inner = _number(config, ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"), path, 4 * hidden)
    row["feed_forward"] = inner
    row["feed_forward_matrices"] = 2 if kind in _UNGATED else 3
    tied = config.get("tie_word_embeddings")
    row["tied"] = kind in _TIED if tied is None else bool(tied)
    row |= _experts(config, inner, row["layers"], path)
    row |= _window(config, kind, row["layers"], path)
    if config.get("kv_lora_rank"):
        row |= _latent_attention(config, hidden, heads, path)
    return row


def _number(config: Mapping[str, Any], names: tuple[str, ...], path: Path, default: int | None = None) -> int:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9:
            raise InputError(f"{path}: {name} must be a positive whole number, got {value!r}")
        return value
    if default is None:
        raise InputError(f"{path}: {' or '.join(names)} is missing: this is no configuration of a language model")
    return default


def _experts(config: Mapping[str, Any], inner: int, layers: int, path: Path) -> dict[str, Any]:
    count = _number(config, ("num_local_experts", "num_experts", "n_routed_experts"), path, 1)
    if count == 1:
        return {}
    used = _number(config, ("num_experts_per_tok", "experts_per_token", "moe_topk"), path, 1)
    width = _number(config, ("moe_intermediate_size",), path, inner)
    dense = int(config.get("first_k_dense_replace") or 0)
    shared = config.get("shared_expert_intermediate_size") or width * int(config.get("n_shared_experts") or 0)
    return {
        "experts": count,
        "experts_per_token": min(used, count),
        "expert_layers": max(0, layers - dense),
        "feed_forward": width,
        "dense_feed_forward": inner,
        "shared_feed_forward": int(shared),
    }


def _layer_types(config: Mapping[str, Any]) -> list[Any]:
    types = config.get("layer_types")
    return list(types) if isinstance(types, list | tuple) else []


def _window(config: Mapping[str, Any], kind: str, layers: int, path: Path) -> dict[str, Any]:
    """Layers that attend to a window of tokens only."""
    if config.get("sliding_window") is None or config.get("use_sliding_window") is False:
        return {}
    window = _number(config, ("sliding_window",), path)
    types = _layer_types(config)
    pattern = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
    if types:
        windowed = sum("sliding" in str(one) for one in types)
    elif isinstance(pattern, int) and pattern > 0:
        windowed = layers - layers // pattern
    elif kind.startswith("gemma3"):
        windowed = layers - layers // 6
    elif kind in ("gemma2", "gpt_oss"):
        windowed = (layers + 1) // 2
    else:
        windowed = layers
    return {"window": window, "windowed_layers": windowed}


def _latent_attention(config: Mapping[str, Any], hidden: int, heads: int, path: Path) -> dict[str, Any]:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): one compressed vector is kept for each token."""
    rank = _number(config, ("kv_lora_rank",), path)
    rope = _number(config, ("qk_rope_head_dim",), path)
    plain = _number(config, ("qk_nope_head_dim",), path)
    value = _number(config, ("v_head_dim",), path)
    query = heads * (plain + rope)
    queries = hidden * query
    if config.get("q_lora_rank"):
        query_rank = _number(config, ("q_lora_rank",), path)
        queries = query_rank * (hidden + query)
    keys_and_values = hidden * (rank + rope) + rank * heads * (plain + value)
    return {
        "attention_parameters": float(queries + keys_and_values + heads * value * hidden),
        "attention_width": heads * (2 * rank + rope) / 2,
        "kv_width": (rank + rope) / 2,
    }
