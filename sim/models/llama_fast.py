"""A lean CPU forward for Llama checkpoints: fused projections over concatenated tokens of chains and trees.

A batch goes through torch here, one text alone through ``llama_single``.

Same function as transformers' LlamaForCausalLM up to floating-point rounding (its oracle in the tests), without its
per-module overhead, which dominates in small models. What is arranged differently, all of it exact in real numbers:

* query, key and value are one matrix, gate and up are one; norms' gains and 1/sqrt(head_dim) are folded into them;
* each head's dimensions are interleaved, so that the rotary embedding is one complex product;
* the root-mean-square norm of x is the layer norm of (x, -x), whose mean is zero and which is one fused kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from sim.models.attention import SharedColumns, attend
from sim.models.cached_model import CachedModel
from sim.models.fingerprint import library_versions
from sim.models.importance import Weights
from sim.models.interface import Logits
from sim.models.kv_store import DEFAULT_MAX_BYTES, DEFAULT_MAX_SLOTS, KvStore, LayerShape
from sim.models.layout import Chunk, PassLayout, SlotGrid
from sim.models.llama_single import Array, SinglePass
from sim.models.llama_sizes import HEAD, LAST_NORM, LlamaSizes, optional_ends, tensors_of
from sim.models.llama_weights import OutputProjection, fuse_layer, read_ends, rotary_turns
from sim.models.weights import TensorFiles, first_unusable, refuse_unless_as_asked

AttendIn = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class LlamaFast(CachedModel):
    """A Llama network on the CPU, read straight from safetensors files.

    Args:
        files: The checkpoint's tensors, in the dtype that is computed in (float32 or float64).
        sizes: From ``LlamaSizes.from_config``.
        name, vocab_size, eos_ids, bos_id, fingerprint, max_slots, max_bytes: As for ``HuggingFaceModel``.
        layers: The layers that make up the model, in this order; all by default.
        max_context: Longest text; that of the sizes by default.
        halves: Multiply in bfloat16 within layers; norms, attention and logits stay in the dtype of the files.

    Raises:
        InputError: Tensors are missing, unexpected, or of another shape than the sizes say.
    """

    def __init__(
        self,
        files: TensorFiles,
        sizes: LlamaSizes,
        name: str,
        vocab_size: int,
        eos_ids: frozenset[int],
        bos_id: int,
        fingerprint: str,
        max_slots: int = DEFAULT_MAX_SLOTS,
        max_bytes: int = DEFAULT_MAX_BYTES,
        layers: Sequence[int] | None = None,
        max_context: int | None = None,
        halves: bool = False,
    ) -> None:
        super().__init__()
        refuse_unless_as_asked(files, tensors_of(sizes), optional_ends(files, sizes), name)
        chosen = range(sizes.num_layers) if layers is None else layers
        sizes = replace(sizes, num_layers=len(chosen), max_context=max_context or sizes.max_context)
        self.name = name
        self.vocab_size = vocab_size
        self.max_context = sizes.max_context
        self.eos_ids = frozenset(token for token in eos_ids if token < vocab_size)
        self.bos_id = bos_id
        self.fingerprint = fingerprint
        self.sizes = sizes
        self._dtype = files.dtype
        with torch.inference_mode():
            self._read_weights(files, chosen, halves)
            self._turns = rotary_turns(sizes, self._dtype)
        shapes = [LayerShape(sizes.num_kv_heads, sizes.head_dim, sizes.head_dim)] * sizes.num_layers
        self._store = KvStore(shapes, self._dtype, torch.device("cpu"), max_slots, max_bytes)
        self._single = SinglePass(sizes, self._embedding, self._layers, self._head, self._final_gain, self._turns)
        self.numerics = library_versions("torch", "numpy", *(["numba"] if self._single.compiled else []))
        self._views: dict[int, tuple[list[Array], list[Array]]] = {}
        self._viewed: torch.Tensor | None = None

    def _read_weights(self, read: TensorFiles, layers: Sequence[int], halves: bool) -> None:
        sizes = self.sizes
        self._embedding, head = read_ends(read, sizes)
        self._head = OutputProjection(head[: self.vocab_size])
        self._final_gain = read(LAST_NORM).repeat(2)
        self._layers = [fuse_layer(read, f"model.layers.{index}.", sizes, halves) for index in layers]
        shapes = tensors_of(sizes, layers)
        if head is self._embedding:
            del shapes[HEAD]
        self.num_parameters = sum(math.prod(shape) for shape in shapes.values())

    def unusable_tensor(self) -> str | None:
        """Name of a weight that holds infinite values or no numbers, if there is one."""
        ends = [("embedding", self._embedding), ("head", self._head.weight), ("last norm", self._final_gain)]
        layers = [(f"layer {index}", part) for index, layer in enumerate(self._layers) for part in layer.weights]
        return first_unusable([*ends, *layers])

    def _feed(self, chunks: Sequence[Chunk]) -> list[Logits]:
        if len(chunks) == 1:
            keys, values = self._slot_arrays(chunks[0].slot)
            return [self._single.feed(chunks[0], keys, values)]
        with torch.inference_mode():
            return self._feed_batch(PassLayout(chunks))

    def attention(self, text: Sequence[int]) -> Weights:
        """What a text's last token attends to in the last layer, mean over heads, [num_tokens]."""
        sizes = self.sizes
        watched: list[Array] = []
        shape = (sizes.num_kv_heads, len(text), sizes.head_dim)
        keys, values = ([np.empty(shape, self._single.dtype) for _ in self._layers] for _ in range(2))
        self._single.feed(Chunk(0, 0, tuple(text), 1, len(text)), keys, values, watched)
        heads = watched[0].astype(np.float64)
        weights: Weights = (heads / heads.sum(-1, keepdims=True)).mean(0)
        return weights

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
        grid = SlotGrid(layout)
        shared = SharedColumns.of(grid)
        bias = _bias_of(grid.seen(), self._dtype)[:, None, None]
        token_slots = torch.from_numpy(layout.slots[layout.token_rows])
        columns = torch.from_numpy(layout.token_columns)
        places, fill = torch.from_numpy(grid.places), torch.from_numpy(grid.fill)

        def attend_in(index: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            keys, values = self._store.keys[index], self._store.values[index]
            keys[token_slots, :, columns] = key
            values[token_slots, :, columns] = value
            if grid.is_padded:
                query = query.index_select(0, fill)
            query = group_queries(query.view(grid.num_rows, layout.width, -1, sizes.head_dim), sizes.num_kv_heads)
            mixed = ungroup_queries(attend(query, keys, values, bias, grid, shared), layout.width)
            return mixed.index_select(0, places) if grid.is_padded else mixed

        embedded = self._embedding.index_select(0, torch.from_numpy(layout.ids))
        hidden = self._run_layers(embedded, self._turns[torch.from_numpy(layout.positions)], attend_in)
        wanted = [chunk.num_rows for chunk in layout.chunks]
        if sum(wanted) == 0:
            return [np.empty((0, self.vocab_size))] * len(layout.chunks)
        ends = np.cumsum(layout.counts)
        kept = np.concatenate([np.arange(end - rows, end) for end, rows in zip(ends, wanted, strict=True)])
        rows = self._rows(hidden.index_select(0, torch.from_numpy(kept)))
        return np.split(rows, np.cumsum(wanted)[:-1])

    def _run_layers(self, hidden: torch.Tensor, turns: torch.Tensor, attend: AttendIn) -> torch.Tensor:
        """All layers over concatenated tokens [num_tokens, hidden_size]; ``attend`` keeps and reads keys and values."""
        sizes = self.sizes
        epsilon = sizes.norm_epsilon
        num_turned = sizes.num_heads + sizes.num_kv_heads
        num_gates = sizes.intermediate_size
        count = hidden.shape[0]
        turns = turns.unsqueeze(1)
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(rms_norm(hidden, epsilon)).view(count, -1, sizes.head_dim)
            pairs = torch.view_as_complex(qkv.narrow(1, 0, num_turned).view(count, num_turned, -1, 2))
            turned = torch.view_as_real(pairs * turns).view(count, num_turned, -1)
            query, key = turned.narrow(1, 0, sizes.num_heads), turned.narrow(1, sizes.num_heads, sizes.num_kv_heads)
            mixed = attend(index, query, key, qkv.narrow(1, num_turned, sizes.num_kv_heads))
            hidden = hidden + layer.attention_out(mixed)
            gate_up = layer.gate_up(rms_norm(hidden, epsilon))
            gated = F.silu(gate_up.narrow(1, 0, num_gates)).mul_(gate_up.narrow(1, num_gates, num_gates))
            hidden = hidden + layer.down(gated)
        return hidden

    def _rows(self, hidden: torch.Tensor) -> Logits:
        rows: Logits = self._head(rms_norm(hidden, self.sizes.norm_epsilon, self._final_gain)).numpy()
        return rows


def rms_norm(hidden: torch.Tensor, epsilon: float, doubled_gain: torch.Tensor | None = None) -> torch.Tensor:
    """X / sqrt(mean(x^2) + epsilon) along the last axis, times the gain if one is given (repeated twice)."""
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


def _bias_of(seen: np.ndarray[Any, np.dtype[np.bool_]], dtype: torch.dtype) -> torch.Tensor:
    """0 where a token sees a column, -inf where it does not."""
    return torch.zeros(seen.shape, dtype=dtype).masked_fill_(torch.from_numpy(~seen), -torch.inf)
