"""BLOOM's positions: a bias of each key that grows with its place in the text (ALiBi, arXiv 2108.12409)."""

from __future__ import annotations

from typing import Any

import torch


def follow_tree_masks(network: Any) -> None:
    """Let a BLOOM network take 4-D masks: transformers works its bias out from a mask of one row per text.

    A key's place in the text of a query is its number among the keys that the query sees, in a chain as in a tree; the
    softmax does not change when all of a query's biases do by the same amount.
    """
    base = network.base_model
    if network.config.model_type != "bloom" or not hasattr(base, "build_alibi_tensor"):
        return
    plain = base.build_alibi_tensor

    def build(attention_mask: torch.Tensor, num_heads: int, dtype: torch.dtype) -> torch.Tensor:
        if attention_mask.ndim != 4:
            biases: torch.Tensor = plain(attention_mask, num_heads, dtype)
            return biases
        two = torch.ones((1, 2), dtype=torch.long, device=attention_mask.device)
        slopes: torch.Tensor = plain(two, num_heads, torch.float32)[:, 0, 1]
        # The mask is added to scores: 0 where a key is seen.
        places = (attention_mask >= 0).cumsum(dim=-1) - 1
        return (slopes[:, None, None] * places).flatten(0, 1).to(dtype)

    base.build_alibi_tensor = build
