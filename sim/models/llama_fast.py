"""A lean CPU forward for Llama checkpoints: fused projections over concatenated tokens of chains and trees.

A batch goes through torch here, one text alone through ``llama_single``.

Same function as transformers' LlamaForCausalLM up to floating-point rounding (its oracle in the tests), without its
per-module overhead, which dominates in small models. What is arranged differently, all of it exact in real numbers:

* query, key and value are one matrix, gate and up are one; norms' gains and 1/sqrt(head_dim) are folded into them;
* each head's dimensions are interleaved, so that the rotary embedding is one complex product;
* the root-mean-square norm of x is the layer norm of (x, -x), whose mean is zero and which is one fused kernel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from sim.models.cached_model import CachedModel
from sim.models.interface import Logits
from sim.models.kv_store import DEFAULT_MAX_BYTES, DEFAULT_MAX_SLOTS, KvStore, LayerShape
from sim.models.layout import PassLayout, Piece, SlotGrid
from sim.models.llama_single import Array, SinglePass

DTYPES = {"float32": torch.float32, "float64": torch.float64}
MOST_COPIED = 1 << 24  # numbers in an output projection that is kept in several layouts
TYPICAL_ROWS = 5  # of a verification; only a hint to oneDNN's packing
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)

Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


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
            or any(not isinstance(config.get(key), int) for key in REQUIRED)
            or not plain_rope
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
            is_tied=config.get("tie_word_embeddings", False),
        )


@dataclass(frozen=True, slots=True)
class LlamaLayer:
    """One layer's weights, fused; [in, out] each, the faster layout for a handful of tokens."""

    qkv: torch.Tensor
    attention_out: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class OutputProjection:
    """Hidden states to logits: x W^T for a weight [vocab_size, hidden_size].

    A weight of moderate size is kept in two more layouts, because plain matrix products are slow for a handful of
    rows against a tall matrix: by input for one row, and packed by oneDNN, where there is one, for several.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight
        self.by_input: torch.Tensor | None = None
        self.packed: torch.Tensor | None = None
        if weight.numel() <= MOST_COPIED:
            self.by_input = weight.t().contiguous()
            if weight.dtype is torch.float32 and torch.backends.mkldnn.is_available():
                with contextlib.suppress(AttributeError, RuntimeError, NotImplementedError):
                    self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.clone(), TYPICAL_ROWS)

    def of_array(self, hidden: npt.NDArray[np.floating]) -> Logits:
        """The same of and to arrays."""
        logits: Logits = self(torch.from_numpy(hidden)).numpy()
        return logits

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [num_rows, vocab_size] of hidden states [num_rows, hidden_size]."""
        if hidden.shape[0] == 1 and self.by_input is not None:
            return torch.mm(hidden, self.by_input)
        if self.packed is not None:
            logits: torch.Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self.packed, None, "none", [], "")
            return logits
        return F.linear(hidden, self.weight)


class LlamaFast(CachedModel):
    """A Llama network on the CPU, read straight from safetensors files.

    Args:
        folder: Holds ``config.json`` and ``*.safetensors``.
        sizes: From ``LlamaSizes.from_config``.
        dtype: ``float32`` or ``float64``.
        name, vocab_size, eos_ids, bos_id, fingerprint, max_slots, max_bytes: As for ``HuggingFaceModel``.
    """

    def __init__(
        self,
        folder: Path,
        sizes: LlamaSizes,
        dtype: str,
        name: str,
        vocab_size: int,
        eos_ids: frozenset[int],
        bos_id: int,
        fingerprint: str,
        max_slots: int = DEFAULT_MAX_SLOTS,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        super().__init__()
        self.name = name
        self.vocab_size = vocab_size
        self.max_context = sizes.max_context
        self.eos_ids = frozenset(token for token in eos_ids if token < vocab_size)
        self.bos_id = bos_id
        self.fingerprint = fingerprint
        self.sizes = sizes
        self._dtype = DTYPES[dtype]
        with torch.inference_mode():
            self._read_weights(folder)
            self._turns = rotary_turns(sizes, self._dtype)
        shapes = [LayerShape(sizes.num_kv_heads, sizes.head_dim, sizes.head_dim)] * sizes.num_layers
        self._store = KvStore(shapes, self._dtype, torch.device("cpu"), max_slots, max_bytes)
        self._single = SinglePass(sizes, self._embedding, self._layers, self._head, self._final_gain, self._turns)
        self._views: dict[int, tuple[list[Array], list[Array]]] = {}
        self._viewed: torch.Tensor | None = None

    def _read_weights(self, folder: Path) -> None:
        sizes = self.sizes
        with _Weights(folder, self._dtype) as read:
            self._embedding = read("model.embed_tokens.weight")
            head = self._embedding if sizes.is_tied else read("lm_head.weight")
            self._head = OutputProjection(head[: self.vocab_size])
            self._final_gain = read("model.norm.weight").repeat(2)
            self._layers = [_fuse_layer(read, f"model.layers.{index}.", sizes) for index in range(sizes.num_layers)]
            self.num_parameters = read.num_parameters

    def _feed(self, pieces: Sequence[Piece]) -> list[Logits]:
        with torch.inference_mode():
            if len(pieces) == 1:
                return [self._feed_one(pieces[0])]
            return self._feed_batch(PassLayout(pieces))

    def _feed_one(self, piece: Piece) -> Logits:
        keys, values = self._slot_arrays(piece.slot)
        return self._single.feed(piece, keys, values)

    def _slot_arrays(self, slot: int) -> tuple[list[Array], list[Array]]:
        """One slot's keys and values by layer, as arrays on the same memory, until the store is laid out anew."""
        if self._viewed is not self._store.keys[0]:
            self._viewed = self._store.keys[0]
            self._views.clear()
        views = self._views.get(slot)
        if views is None:
            keys, values = self._store.keys, self._store.values
            views = self._views[slot] = (
                [layer[slot].numpy() for layer in keys],
                [layer[slot].numpy() for layer in values],
            )
        return views

    def _feed_batch(self, layout: PassLayout) -> list[Logits]:
        sizes = self.sizes
        width, num_columns = layout.width, layout.num_columns
        grid = SlotGrid(layout)
        slots = grid.slots if isinstance(grid.slots, slice) else torch.from_numpy(grid.slots)
        bias = _bias_of(grid.seen(), self._dtype)[:, None, None]
        token_slots = torch.from_numpy(layout.slots[layout.token_rows])
        columns = torch.from_numpy(layout.token_columns)
        places, fill = torch.from_numpy(grid.places), torch.from_numpy(grid.fill)

        def attend(index: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            all_keys, all_values = self._store.keys[index], self._store.values[index]
            all_keys[token_slots, :, columns] = key
            all_values[token_slots, :, columns] = value
            own_keys, own_values = all_keys[slots, :, :num_columns], all_values[slots, :, :num_columns]
            if grid.is_padded:
                query = query.index_select(0, fill)
            query = group_queries(query.view(grid.num_rows, width, -1, sizes.head_dim), sizes.num_kv_heads)
            scores = torch.matmul(query, own_keys.transpose(2, 3))
            scores.view(grid.num_rows, sizes.num_kv_heads, -1, width, num_columns).add_(bias)
            mixed = ungroup_queries(torch.matmul(torch.softmax(scores, -1), own_values), width)
            return mixed.index_select(0, places) if grid.is_padded else mixed

        embedded = self._embedding.index_select(0, torch.from_numpy(layout.ids))
        hidden = self._run_layers(embedded, self._turns[torch.from_numpy(layout.positions)], attend)
        wanted = [piece.num_rows for piece in layout.pieces]
        if sum(wanted) == 0:
            return [np.empty((0, self.vocab_size))] * len(layout.pieces)
        ends = np.cumsum(layout.counts)
        kept = np.concatenate([np.arange(end - rows, end) for end, rows in zip(ends, wanted, strict=True)])
        rows = self._rows(hidden.index_select(0, torch.from_numpy(kept)))
        return np.split(rows, np.cumsum(wanted)[:-1])

    def _run_layers(self, hidden: torch.Tensor, turns: torch.Tensor, attend: Attend) -> torch.Tensor:
        """All layers over concatenated tokens [num_tokens, hidden_size]; ``attend`` keeps and reads keys and values."""
        sizes = self.sizes
        epsilon = sizes.norm_epsilon
        num_turned = sizes.num_heads + sizes.num_kv_heads
        num_gates = sizes.intermediate_size
        count = hidden.shape[0]
        turns = turns.unsqueeze(1)
        for index, layer in enumerate(self._layers):
            qkv = torch.mm(rms_norm(hidden, epsilon), layer.qkv).view(count, -1, sizes.head_dim)
            pairs = torch.view_as_complex(qkv.narrow(1, 0, num_turned).view(count, num_turned, -1, 2))
            turned = torch.view_as_real(pairs * turns).view(count, num_turned, -1)
            query, key = turned.narrow(1, 0, sizes.num_heads), turned.narrow(1, sizes.num_heads, sizes.num_kv_heads)
            mixed = attend(index, query, key, qkv.narrow(1, num_turned, sizes.num_kv_heads))
            hidden = torch.addmm(hidden, mixed, layer.attention_out)
            gate_up = torch.mm(rms_norm(hidden, epsilon), layer.gate_up)
            gated = F.silu(gate_up.narrow(1, 0, num_gates)).mul_(gate_up.narrow(1, num_gates, num_gates))
            hidden = torch.addmm(hidden, gated, layer.down)
        return hidden

    def _rows(self, hidden: torch.Tensor) -> Logits:
        rows: Logits = self._head(rms_norm(hidden, self.sizes.norm_epsilon, self._final_gain)).numpy()
        return rows


def rms_norm(hidden: torch.Tensor, epsilon: float, doubled_gain: torch.Tensor | None = None) -> torch.Tensor:
    """x / sqrt(mean(x^2) + epsilon) along the last axis, times the gain if one is given (repeated twice)."""
    width = hidden.shape[-1]
    doubled = torch.cat((hidden, -hidden), -1)
    return torch.layer_norm(doubled, (2 * width,), doubled_gain, None, epsilon).narrow(-1, 0, width)


def group_queries(query: torch.Tensor, num_kv_heads: int) -> torch.Tensor:
    """[batch, width, num_heads, dim] -> [batch, num_kv_heads, group * width, dim], heads that share keys together."""
    batch, width, num_heads, dim = query.shape
    grouped = query.view(batch, width, num_kv_heads, num_heads // num_kv_heads, dim)
    return grouped.permute(0, 2, 3, 1, 4).reshape(batch, num_kv_heads, -1, dim)


def ungroup_queries(mixed: torch.Tensor, width: int) -> torch.Tensor:
    """[batch, num_kv_heads, group * width, dim] -> [batch * width, num_heads * dim]."""
    batch, num_kv_heads, _, dim = mixed.shape
    return mixed.view(batch, num_kv_heads, -1, width, dim).permute(0, 3, 1, 2, 4).reshape(batch * width, -1)


def rotary_turns(sizes: LlamaSizes, dtype: torch.dtype) -> torch.Tensor:
    """exp(i position theta^(-2k/dim)), [max_context, head_dim / 2]; rounded to float32 first, as transformers does."""
    exponents = torch.arange(0, sizes.head_dim, 2, dtype=torch.int64).float() / sizes.head_dim
    angles = torch.outer(torch.arange(sizes.max_context).float(), 1.0 / (sizes.rope_theta**exponents))
    return torch.complex(angles.cos().to(dtype), angles.sin().to(dtype))


def _bias_of(seen: np.ndarray[Any, np.dtype[np.bool_]], dtype: torch.dtype) -> torch.Tensor:
    """0 where a token sees a column, -inf where it does not."""
    return torch.zeros(seen.shape, dtype=dtype).masked_fill_(torch.from_numpy(~seen), -torch.inf)


def _fuse_layer(read: _Weights, prefix: str, sizes: LlamaSizes) -> LlamaLayer:
    attention_gain = read(f"{prefix}input_layernorm.weight")
    mlp_gain = read(f"{prefix}post_attention_layernorm.weight")
    query = _interleave(read(f"{prefix}self_attn.q_proj.weight"), sizes.head_dim) * sizes.head_dim**-0.5
    key = _interleave(read(f"{prefix}self_attn.k_proj.weight"), sizes.head_dim)
    value = read(f"{prefix}self_attn.v_proj.weight")
    gate, up = read(f"{prefix}mlp.gate_proj.weight"), read(f"{prefix}mlp.up_proj.weight")
    return LlamaLayer(
        qkv=(torch.cat((query, key, value)) * attention_gain).t().contiguous(),
        attention_out=read(f"{prefix}self_attn.o_proj.weight").t().contiguous(),
        gate_up=(torch.cat((gate, up)) * mlp_gain).t().contiguous(),
        down=read(f"{prefix}mlp.down_proj.weight").t().contiguous(),
    )


def _interleave(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Put rows k and k + dim/2 of each head side by side: the pair that the rotary embedding turns together."""
    halves = weight.view(-1, 2, head_dim // 2, weight.shape[-1])
    return halves.transpose(1, 2).reshape(weight.shape)


class _Weights:
    """Tensors of a folder's safetensors files by name, cast to one dtype."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._folder = folder
        self._dtype = dtype
        self.num_parameters = 0

    def __enter__(self) -> _Weights:
        from safetensors import safe_open

        self._files = [safe_open(path, framework="pt") for path in sorted(self._folder.glob("*.safetensors"))]
        self._homes = {name: file for file in self._files for name in file.keys()}  # noqa: SIM118 (no mapping)
        return self

    def __exit__(self, *error: object) -> None:
        self._homes.clear()
        self._files.clear()

    def __call__(self, name: str) -> torch.Tensor:
        tensor = self._homes[name].get_tensor(name)
        self.num_parameters += tensor.numel()
        return tensor.to(self._dtype)
