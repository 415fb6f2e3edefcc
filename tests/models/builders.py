"""Small random checkpoints of every supported architecture, and tokenizers for them, saved to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

VOCAB_SIZE = 100
MAX_CONTEXT = 96
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MODERN = {
    **SIZES,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_CONTEXT,
    "num_key_value_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "opt": (
        "OPT",
        {**SIZES, "ffn_dim": 64, "max_position_embeddings": MAX_CONTEXT, "word_embed_proj_dim": 16, "dropout": 0.1},
    ),
    "gpt2": (
        "GPT2",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": MAX_CONTEXT, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "llama": ("Llama", {**MODERN, "attention_bias": True}),
    "qwen2": ("Qwen2", MODERN),
    "qwen3": ("Qwen3", {**MODERN, "head_dim": 16}),
    "bloom": ("Bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": MAX_CONTEXT}),
    "gemma": ("Gemma", {**MODERN, "head_dim": 8}),
}


def words(count: int, *, odd: str | None = None) -> Any:
    """A transformers tokenizer of whole words w0, w1, ...; ``odd`` replaces the last one's string."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    strings = ["<pad>", "<s>", "</s>", *(f"w{index}" for index in range(3, count))]
    if odd is not None:
        strings[-1] = odd
    core = Tokenizer(models.WordLevel({text: index for index, text in enumerate(strings)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def network(kind: str, *, seed: int = 0, vocab_size: int = VOCAB_SIZE, **changes: Any) -> Any:
    """A random network of an architecture; weights wide enough that rows are far from flat."""
    family, sizes = ARCHITECTURES.get(kind, (kind, {}))
    config = getattr(transformers, f"{family}Config")(vocab_size=vocab_size, **{**sizes, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bare = family.removesuffix("Text")
        heads = (f"{bare}ForCausalLM", f"{bare}LMHeadModel")
        model_class = next(getattr(transformers, head) for head in heads if hasattr(transformers, head))
        model = model_class(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0.0, 0.25)
    return model


def save(model: Any, folder: Path, *, tokenizer: Any = None) -> Path:
    """Save a checkpoint with its tokenizer."""
    model.save_pretrained(folder)
    (tokenizer or words(VOCAB_SIZE)).save_pretrained(folder)
    return folder
