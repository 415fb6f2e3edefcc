"""Tensors of older checkpoints that are no parameters: masks, positions and frequencies that follow from the sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from sim.models.safetensors_head import Shape, Tensor

_T = TypeVar("_T")


def _is_causal(shape: Shape) -> bool:
    """Who sees whom: [1, 1, positions, positions], or without the first two."""
    return len(shape) in (2, 4) and shape[-1] == shape[-2] and set(shape[:-2]) <= {1}


def _is_number(shape: Shape) -> bool:
    return shape in ((), (1,))


# By the ends of their names, as transformers and what came before it registered them, with the shapes that they have.
# No module of those has a parameter of such a name: a projection's bias is ``attn.c_attn.bias``.
_BUFFERS: tuple[tuple[re.Pattern[str], Callable[[Shape], bool]], ...] = (
    # GPT-2, OpenAI GPT, GPT-J, CodeGen: attn; GPT-NeoX: attention; GPT-Neo: attn.attention.
    (re.compile(r"(^|\.)(cross)?(self_)?(attn|attention)\.(bias|causal_mask)$"), _is_causal),
    (re.compile(r"(^|\.)(cross)?(self_)?(attn|attention)\.masked_bias$"), _is_number),
    (re.compile(r"(^|\.)(original_)?inv_freq$"), lambda shape: len(shape) == 1),
    (re.compile(r"(^|\.)rotary_emb\.(cos|sin)_cached$"), lambda shape: len(shape) in (2, 4)),
    (re.compile(r"(^|\.)position_ids$"), lambda shape: len(shape) == 1 or (len(shape) == 2 and shape[0] == 1)),
    # GGUF: frequencies and factors of rotary embeddings.
    (
        re.compile(r"(^|\.)(rope_(freqs|factors_long|factors_short)|attn_rot_embd)\.weight$"),
        lambda shape: len(shape) == 1,
    ),
    # OPT, as fairseq saved it.
    (re.compile(r"(^|\.)decoder\.version$"), _is_number),
)


def is_buffer(name: str, shape: Shape) -> bool:
    """Whether a tensor is one of these, by its name and its shape."""
    return any(pattern.search(name) and has_shape(shape) for pattern, has_shape in _BUFFERS)


def parameters_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a checkpoint without these."""
    return {name: tensor for name, tensor in tensors.items() if not is_buffer(name, tensor.shape)}
