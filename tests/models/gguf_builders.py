"""Small GGUF files of every family that is read, written by the gguf package from random networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from tests.models import builders

# What transformers takes for a width that GGUF metadata of a family does not state.
WIDTHS = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES: dict[str, Any] = {
    **WIDTHS,
    "num_key_value_heads": 1,
    "max_position_embeddings": builders.MAX_CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
# GGUF architecture: transformers family, its own sizes, metadata besides the common.
FAMILIES: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "llama": ("Llama", {"tie_word_embeddings": True}, {"rope.dimension_count": 32}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": False}, {}),
    "qwen3": ("Qwen3", {"head_dim": 128, "tie_word_embeddings": True}, {"attention.key_length": 128}),
    "gemma2": ("Gemma2", {"head_dim": 32, "sliding_window": 48}, {"attention.key_length": 32}),
    "gemma3": ("Gemma3Text", {"head_dim": 32, "sliding_window": 48}, {"attention.key_length": 32}),
    "phi3": ("Phi3", {"tie_word_embeddings": False}, {}),
}
_PLAIN_NORMS = ("gemma2", "gemma3")  # whose norms' gains are stored with one added


def write(family: str, path: Path, quantisation: str = "F32", rotary: Sequence[str] = (), **changes: Any) -> Any:
    """Write a random network of a family; returns the network, whose weights are those before rounding.

    Args:
        family: One of ``FAMILIES``.
        path: The file.
        quantisation: Of the matrices.
        rotary: Names of tensors of factors of the rotary embedding that are written, too.
        changes: Sizes of the network.
    """
    kind, sizes, keys = FAMILIES[family]
    network = builders.network(kind, vocab_size=builders.VOCAB_SIZE, **{**SIZES, **sizes, **changes})
    config = network.config
    writer = gguf.GGUFWriter(path, family)
    writer.add_name("test")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_freq_base(_theta(config))
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    for key, value in keys.items():
        writer.add_uint32(f"{family}.{key}", value)
    _add_tokenizer(writer)
    _add_tensors(writer, network, family, quantisation)
    for name in rotary:
        writer.add_tensor(name, np.ones(16, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return network


def _theta(config: Any) -> float:
    rope = config.rope_parameters
    return float(rope.get("full_attention", rope)["rope_theta"])


def _add_tokenizer(writer: Any) -> None:
    """Byte-level tokens of one character each, and three special ones."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = [letter for byte, letter in sorted(bytes_to_unicode().items()) if 32 <= byte < 127]
    tokens = ["<pad>", "<s>", "</s>", *letters][: builders.VOCAB_SIZE]
    tokens += [f"{letters[0]}{letters[index]}" for index in range(builders.VOCAB_SIZE - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges([f"{letters[0]} {token[1]}" for token in tokens if len(token) == 2])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] }}:{{ m['content'] }};{% endfor %}")


def _add_tensors(writer: Any, network: Any, family: str, quantisation: str) -> None:
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == family)
    names = gguf.get_tensor_name_map(arch, network.config.num_hidden_layers)
    tied = network.config.tie_word_embeddings
    for name, tensor in network.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        values = tensor.to(torch.float32).numpy()
        if family == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = network.config.num_attention_heads if "q_proj" in name else network.config.num_key_value_heads
            values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        if family in _PLAIN_NORMS and "norm" in name:
            values = values + 1
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        kind = gguf.GGMLQuantizationType[quantisation if values.ndim > 1 else "F32"]
        packed = np.ascontiguousarray(values)
        writer.add_tensor(stored, packed if kind.name == "F32" else gguf.quants.quantize(packed, kind), raw_dtype=kind)
