"""A small Llama network's layers over a few tokens, compiled: one call a layer instead of some thirty of NumPy's.

The same function as ``llama_single`` up to rounding, without a matrix library. Importing this module imports ``numba``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled, compiled_reordering
from sim.models.layout import Chunk, bias_of_chunk

if TYPE_CHECKING:
    from sim.models.llama_sizes import LlamaSizes
    from sim.models.llama_weights import OutputProjection

Array = npt.NDArray[Any]
Matrices = tuple[Array, Array, Array, Array]  # of query, key and value, of attention's end, of gate and up, of down


class CompiledPass:
    """The network over a few tokens of one chunk; chains and trees.

    Args:
        sizes, embedding, head, final_gain, turns: As of ``SinglePass``, the gain once.
        matrices: Of each layer, each [in, out].
    """

    def __init__(
        self,
        sizes: LlamaSizes,
        embedding: Array,
        matrices: Sequence[Matrices],
        head: OutputProjection,
        final_gain: Array,
        turns: Array,
    ) -> None:
        self._embedding, self._matrices, self._head, self._final_gain = embedding, matrices, head, final_gain
        self._head_array = None if head.by_input is None else head.by_input.numpy()
        self._heads, self._epsilon = (sizes.num_heads, sizes.num_kv_heads), float(sizes.norm_epsilon)
        self._turns: Array = turns.view(embedding.dtype)
        self._no_bias = np.empty((1, 0), embedding.dtype)

    def feed(self, chunk: Chunk, keys: Sequence[Array], values: Sequence[Array]) -> Array:
        """Logits [num_rows, vocab_size] of a chunk; arguments as of ``SinglePass.feed``."""
        hidden = self._embedding[list(chunk.tokens)]
        _, bias = bias_of_chunk(chunk, hidden.dtype)
        bias = self._no_bias if bias is None else bias
        turns = self._turns[chunk.start : chunk.stop] if chunk.ancestors is None else self._turns[chunk.positions]
        for matrices, own_keys, own_values in zip(self._matrices, keys, values, strict=True):
            run_layer(hidden, matrices, self._heads, self._epsilon, turns, own_keys, own_values, chunk.start, bias)
        wanted = hidden[len(hidden) - chunk.num_rows :]
        norm(wanted, self._epsilon, wanted)
        wanted *= self._final_gain
        if self._head_array is None:
            return self._head.of_array(wanted)
        logits = np.empty((len(wanted), self._head_array.shape[1]), wanted.dtype)
        product(wanted, self._head_array, logits)
        return logits


@compiled
def product(rows: Array, weight: Array, result: Array) -> None:
    """Rows [count, in] times a weight [in, out]; four rows of the weight at a time, so that sums are stored less."""
    count, width = rows.shape
    result[:] = 0
    whole = width - width % 4
    for place in range(0, whole, 4):
        w0, w1, w2, w3 = weight[place], weight[place + 1], weight[place + 2], weight[place + 3]
        for row in range(count):
            x0, x1, x2, x3 = rows[row, place], rows[row, place + 1], rows[row, place + 2], rows[row, place + 3]
            own = result[row]
            for column in range(len(own)):
                own[column] = (((own[column] + x0 * w0[column]) + x1 * w1[column]) + x2 * w2[column]) + x3 * w3[column]
    for place in range(whole, width):
        left = weight[place]
        for row in range(count):
            own, x = result[row], rows[row, place]
            for column in range(len(own)):
                own[column] += x * left[column]


@compiled_reordering
def dot(one: Array, other: Array) -> Any:
    """Sum of products of two vectors."""
    total = one[0] * 0
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@compiled
def norm(hidden: Array, epsilon: float, result: Array) -> None:
    """X / sqrt(mean(x^2) + epsilon) along the last axis of [count, width]; the result may be where x is."""
    count, width = hidden.shape
    for row in range(count):
        own = hidden[row]
        scale = hidden.dtype.type(1 / math.sqrt(dot(own, own) / width + epsilon))
        for column in range(width):
            result[row, column] = own[column] * scale


@compiled
def turn(mixed: Array, turns: Array, num_turned: int) -> None:
    """Turn the pairs of the first heads of each token by its rotary factors, in place.

    Args:
        mixed: [count, all heads * head_dim].
        turns: Cosine and sine side by side, [count, head_dim].
        num_turned: Heads.
    """
    count, dim = turns.shape
    for row in range(count):
        own = turns[row]
        for head in range(num_turned):
            part = mixed[row, head * dim : (head + 1) * dim]
            for even in range(0, dim, 2):
                real, imaginary = part[even], part[even + 1]
                cosine, sine = own[even], own[even + 1]
                part[even] = real * cosine - imaginary * sine
                part[even + 1] = real * sine + imaginary * cosine


@compiled
def attend(mixed: Array, num_heads: int, keys: Array, values: Array, stop: int, bias: Array, result: Array) -> None:
    """What each token takes from the values that it sees.

    Args:
        mixed: Queries first, [count, all heads * head_dim].
        num_heads: Of queries.
        keys, values: [num_kv_heads, capacity, head_dim].
        stop: Columns that the last token sees.
        bias: Added to the scores of the last of them, [count, at most stop].
        result: Takes it, [count, num_heads * head_dim].
    """
    count, num_kv_heads, dim = len(mixed), len(keys), keys.shape[2]
    free = stop - bias.shape[1]
    scores, taken = np.empty((count, stop), dtype=mixed.dtype), np.empty((count, dim), dtype=mixed.dtype)
    for head in range(num_heads):
        shared = head * num_kv_heads // num_heads
        own_keys = keys[shared, :stop]
        for row in range(count):
            query, own = mixed[row, head * dim : (head + 1) * dim], scores[row]
            for column in range(stop):
                own[column] = dot(query, own_keys[column])
            for column in range(free, stop):
                own[column] += bias[row, column - free]
            softmax(own)
        product(scores, values[shared, :stop], taken)
        for row in range(count):
            result[row, head * dim : (head + 1) * dim] = taken[row]


@compiled
def softmax(scores: Array) -> None:
    """Make probabilities of scores, in place."""
    highest, total = scores.max(), scores[0] * 0
    for column in range(len(scores)):
        scores[column] = math.exp(scores[column] - highest)
        total += scores[column]
    for column in range(len(scores)):
        scores[column] /= total


@compiled
def gate(gates: Array, result: Array) -> None:
    """Silu of the first half of [count, 2 * width] times the second."""
    count, width = result.shape
    for row in range(count):
        for column in range(width):
            value = gates[row, column]
            result[row, column] = value / (1 + math.exp(-value)) * gates[row, width + column]


@compiled
def run_layer(
    hidden: Array, matrices: Matrices, heads: tuple[int, int], epsilon: float, turns: Array,
    keys: Array, values: Array, start: int, bias: Array,
) -> None:  # fmt: skip
    """One layer over tokens in consecutive columns.

    Args:
        hidden: What the layer adds to, [count, hidden_size].
        matrices: Of the layer.
        heads: How many of queries, and of keys.
        epsilon: Of the norms.
        turns: As in ``turn``.
        keys, values: [num_kv_heads, capacity, head_dim]; written to.
        start: Column of the first token.
        bias: As in ``attend``.
    """
    count = len(hidden)
    qkv, attention_out, gate_up, down = matrices
    num_heads, num_kv_heads = heads
    dim = turns.shape[1]
    normed, mixed = np.empty_like(hidden), np.empty((count, qkv.shape[1]), dtype=hidden.dtype)
    norm(hidden, epsilon, normed)
    product(normed, qkv, mixed)
    turn(mixed, turns, num_heads + num_kv_heads)
    for row in range(count):
        for head in range(num_kv_heads):
            at = (num_heads + head) * dim
            keys[head, start + row] = mixed[row, at : at + dim]
            values[head, start + row] = mixed[row, at + num_kv_heads * dim : at + (num_kv_heads + 1) * dim]
    seen = np.empty((count, num_heads * dim), dtype=hidden.dtype)
    attend(mixed, num_heads, keys, values, start + count, bias, seen)
    product(seen, attention_out, normed)
    hidden += normed
    norm(hidden, epsilon, normed)
    gates = np.empty((count, gate_up.shape[1]), dtype=hidden.dtype)
    product(normed, gate_up, gates)
    gated = np.empty((count, gates.shape[1] // 2), dtype=hidden.dtype)
    gate(gates, gated)
    product(gated, down, normed)
    hidden += normed
