"""One text's pass through a Llama network in NumPy.

Its calls cost a fraction of a tensor's, and in small models that is most of a pass. Large products go to torch, a few
tokens of the smallest networks to ``llama_compiled``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.models.layout import Chunk, bias_of_chunk
from sim.models.llama_weights import FEW_ROWS

if TYPE_CHECKING:
    import torch

    from sim.models.llama_compiled import CompiledPass
    from sim.models.llama_sizes import LlamaSizes
    from sim.models.llama_weights import LlamaLayer, OutputProjection

Array = npt.NDArray[Any]
COMPILED_NUMBERS = 1 << 20  # in a layer's matrices, up to which a few tokens need no matrix library


class SinglePass:
    """The network over the tokens of one chunk; chains and trees.

    Args:
        sizes: Of the network.
        embedding: [vocab_size, hidden_size].
        layers: Fused weights.
        head: Normed hidden states to logits.
        final_gain: Of the last norm, repeated twice.
        turns: Rotary factors by position, [max_context, head_dim / 2], complex.
    """

    def __init__(
        self,
        sizes: LlamaSizes,
        embedding: torch.Tensor,
        layers: Sequence[LlamaLayer],
        head: OutputProjection,
        final_gain: torch.Tensor,
        turns: torch.Tensor,
    ) -> None:
        self.sizes = sizes
        self._embedding: Array = embedding.numpy()
        self._layers = [
            tuple(own.of_array for own in (layer.qkv, layer.attention_out, layer.gate_up, layer.down))
            for layer in layers
        ]
        self._head = head
        self._final_gain: Array = final_gain.numpy()[: sizes.hidden_size]
        self._turns: Array = turns.numpy()
        self.compiled = None if sizes.layer_numbers > COMPILED_NUMBERS * len(layers) else self._compiled(layers)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of keys, values and logits."""
        return self._embedding.dtype

    def feed(
        self, chunk: Chunk, keys: Sequence[Array], values: Sequence[Array], watched: list[Array] | None = None
    ) -> Array:
        """Logits [num_rows, vocab_size] of a chunk.

        Args:
            chunk: What to feed.
            keys, values: Per layer those of the chunk's slot, [num_kv_heads, capacity, head_dim]; written to.
            watched: Gets what the last token attends to in the last layer, not normalised, [num_heads, stop].
        """
        if self.compiled is not None and watched is None and len(chunk.tokens) <= FEW_ROWS:
            return self.compiled.feed(chunk, keys, values)
        # A gate far below zero is closed: exp overflows to infinity, and what is divided by it is zero, as it should.
        # What is not finite is found in the logits, and told with the model's name.
        with np.errstate(over="ignore", invalid="ignore"):
            hidden = self._in_numpy(chunk, keys, values, watched)
            wanted = rms_norm(hidden[len(hidden) - chunk.num_rows :], self.sizes.norm_epsilon)
        return self._head.of_array(wanted * self._final_gain)

    def _compiled(self, layers: Sequence[LlamaLayer]) -> CompiledPass | None:
        """The same network for a few tokens, if its matrices are there as NumPy has them."""
        matrices = [own for layer in layers if (own := layer.arrays) is not None]
        if len(matrices) < len(layers):
            return None
        from sim.models.llama_compiled import CompiledPass  # imports numba

        return CompiledPass(self.sizes, self._embedding, matrices, self._head, self._final_gain, self._turns)

    def _in_numpy(
        self, chunk: Chunk, keys: Sequence[Array], values: Sequence[Array], watched: list[Array] | None
    ) -> Array:
        """Hidden states after the layers, [num_tokens, hidden_size]; arguments as of ``feed``."""
        sizes, last = self.sizes, len(self._layers) - 1
        count, start, stop = len(chunk.tokens), chunk.start, chunk.stop
        first_bias, bias = bias_of_chunk(chunk, self.dtype)
        turns = self._turns[start:stop] if chunk.ancestors is None else self._turns[chunk.positions]
        turns = turns[:, None]
        num_turned, num_gates = sizes.num_heads + sizes.num_kv_heads, sizes.intermediate_size
        hidden = self._embedding[list(chunk.tokens)]
        for index, (qkv, attention_out, gate_up, down) in enumerate(self._layers):
            mixed = qkv(rms_norm(hidden, sizes.norm_epsilon)).reshape(count, -1, sizes.head_dim)
            turned = (mixed[:, :num_turned].view(turns.dtype) * turns).view(hidden.dtype)
            own_keys, own_values = keys[index][:, :stop], values[index][:, :stop]
            own_keys[:, start:] = turned[:, sizes.num_heads :].swapaxes(0, 1)
            own_values[:, start:] = mixed[:, num_turned:].swapaxes(0, 1)
            query = self._group(turned[:, : sizes.num_heads], count)
            scores = np.matmul(query, own_keys.swapaxes(1, 2))
            if bias is not None:
                scores.reshape(sizes.num_kv_heads, -1, count, stop)[..., first_bias:] += bias
            scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            if watched is not None and index == last:
                watched.append(scores.reshape(sizes.num_heads, count, stop)[:, -1].copy())
            seen = np.matmul(scores, own_values)
            seen /= np.add.reduce(scores, axis=-1, keepdims=True)
            hidden = hidden + attention_out(self._ungroup(seen, count))
            gates = gate_up(rms_norm(hidden, sizes.norm_epsilon))
            gate = gates[:, :num_gates]
            gated = gate / (1 + np.exp(-gate))
            gated *= gates[:, num_gates:]
            hidden += down(gated)
        return hidden

    def _group(self, query: Array, count: int) -> Array:
        """[count, num_heads, dim] -> [num_kv_heads, group * count, dim]."""
        num_kv_heads = self.sizes.num_kv_heads
        if self.sizes.num_heads == num_kv_heads:
            return query.swapaxes(0, 1)
        grouped = query.reshape(count, num_kv_heads, -1, self.sizes.head_dim)
        return grouped.transpose(1, 2, 0, 3).reshape(num_kv_heads, -1, self.sizes.head_dim)

    def _ungroup(self, mixed: Array, count: int) -> Array:
        """[num_kv_heads, group * count, dim] -> [count, num_heads * dim]."""
        if count == 1:
            return mixed.reshape(1, -1)
        by_head = mixed.reshape(self.sizes.num_heads, count, self.sizes.head_dim)
        return by_head.swapaxes(0, 1).reshape(count, -1)


def rms_norm(hidden: Array, epsilon: float) -> Array:
    """X / sqrt(mean(x^2) + epsilon) along the last axis of [count, width]."""
    if len(hidden) == 1:
        row = hidden[0]
        scale = hidden.dtype.type(1 / math.sqrt(float(np.dot(row, row)) / len(row) + epsilon))
        value: Array = hidden * scale
        return value
    squares = np.einsum("ij,ij->i", hidden, hidden)
    squares /= hidden.shape[1]
    squares += hidden.dtype.type(epsilon)
    scaled: Array = hidden / np.sqrt(squares)[:, None]
    return scaled
