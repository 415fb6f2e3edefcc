"""A Llama network's sizes, and names and shapes of the tensors that a checkpoint of it holds."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from sim.models.safetensors_head import Shape

EMBEDDING, HEAD, LAST_NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)


@dataclass(frozen=True)
class LlamaSizes:
    """Sizes of a Llama network, read from its ``config.json``."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_context: int
    norm_epsilon: float
    rope_theta: float
    is_tied: bool

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LlamaSizes | None:
        """The sizes, or None if the configuration asks for something that the lean forward does not do."""
        ropes = [config.get(key) or {} for key in ("rope_parameters", "rope_scaling")]
        plain_rope = all(rope.get(key, "default") == "default" for rope in ropes for key in ("rope_type", "type"))
        rope = {**ropes[0], **ropes[1]}
        head_dim = config.get("head_dim")
        if (
            config.get("architectures") != ["LlamaForCausalLM"]
            or config.get("model_type") != "llama"
            or config.get("hidden_act", "silu") != "silu"
            or config.get("quantization_config") is not None
            or config.get("attention_bias")
            or config.get("mlp_bias")
            or any(not _is_count(config.get(key)) for key in REQUIRED)
            or any(not _is_count(config.get(key) or 1) for key in ("head_dim", "num_key_value_heads"))
            or not plain_rope
            or set(config.get("layer_types") or []) - {"full_attention"}
            or rope.get("partial_rotary_factor", 1.0) != 1.0
        ):
            return None
        num_heads = config["num_attention_heads"]
        head_dim = head_dim or config["hidden_size"] // num_heads
        if head_dim % 2:
            return None
        return cls(
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_layers=config["num_hidden_layers"],
            num_heads=num_heads,
            num_kv_heads=config.get("num_key_value_heads") or num_heads,
            head_dim=head_dim,
            max_context=config["max_position_embeddings"],
            norm_epsilon=config.get("rms_norm_eps", 1e-6),
            rope_theta=rope.get("rope_theta", config.get("rope_theta", 10000.0)),
            is_tied=bool(config.get("tie_word_embeddings", False)),
        )

    @property
    def layer_numbers(self) -> int:
        """Weights of all layers' matrices together."""
        attention = self.head_dim * (2 * self.num_heads + 2 * self.num_kv_heads)
        return self.num_layers * self.hidden_size * (attention + 3 * self.intermediate_size)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def tensors_of(sizes: LlamaSizes, layers: Sequence[int] | None = None) -> dict[str, Shape]:
    """Names and shapes of the tensors that a checkpoint of these sizes holds.

    Args:
        sizes: Of the network.
        layers: Of these layers only; of all by default.
    """
    width, hidden = sizes.hidden_size, sizes.intermediate_size
    heads, kv_heads = sizes.num_heads * sizes.head_dim, sizes.num_kv_heads * sizes.head_dim
    shapes: dict[str, Shape] = {EMBEDDING: (sizes.vocab_size, width), LAST_NORM: (width,)}
    shapes[HEAD] = (sizes.vocab_size, width)
    for index in range(sizes.num_layers) if layers is None else layers:
        prefix = f"model.layers.{index}."
        shapes |= {
            f"{prefix}input_layernorm.weight": (width,),
            f"{prefix}post_attention_layernorm.weight": (width,),
            f"{prefix}self_attn.q_proj.weight": (heads, width),
            f"{prefix}self_attn.k_proj.weight": (kv_heads, width),
            f"{prefix}self_attn.v_proj.weight": (kv_heads, width),
            f"{prefix}self_attn.o_proj.weight": (width, heads),
            f"{prefix}mlp.gate_proj.weight": (hidden, width),
            f"{prefix}mlp.up_proj.weight": (hidden, width),
            f"{prefix}mlp.down_proj.weight": (width, hidden),
        }
    return shapes


def optional_ends(names: Container[str], sizes: LlamaSizes) -> tuple[str, ...]:
    """Which of embedding and head need not be stored beside what is.

    Args:
        names: Tensors that are stored.
        sizes: Of the network.
    """
    if not sizes.is_tied:
        return ()
    return (HEAD,) if EMBEDDING in names else (EMBEDDING,) if HEAD in names else (HEAD,)
