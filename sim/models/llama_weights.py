"""A Llama network's weights, read straight from safetensors files and fused for few tokens at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from sim.models.checkpoint import weight_files
from sim.models.interface import Logits
from sim.models.llama_sizes import EMBEDDING, HEAD, LAST_NORM, LlamaSizes
from sim.models.sources import ModelSource
from sim.models.weights import Reader, TensorFiles

Array = npt.NDArray[Any]
DTYPES = {"float32": torch.float32, "float64": torch.float64}
PACKED_DTYPES = (torch.float32, torch.bfloat16)
HALF_DTYPE = "bfloat16"  # layers' weights and what they are multiplied with; all else in float32
MAX_COPIED = 1 << 24  # numbers in an output projection, or in all layers, that are kept in two or three layouts
# Numbers in a weight, or multiplications of a product, from which on oneDNN's call costs less than its kernels gain.
LARGE_WEIGHT, LARGE_PRODUCT = 1 << 16, 1 << 20
MAX_IN_NUMPY = 1 << 20  # numbers in a matrix that a few rows are multiplied with in NumPy; beyond, kernels matter
FEW_ROWS = 8
TYPICAL_ROWS = 5  # of a verification; only a hint to oneDNN's packing


def open_weights(source: ModelSource, dtype: torch.dtype) -> TensorFiles:
    """The tensors of a model; those of a layers-only folder with embedding, last norm and head of its base model.

    What a layers-only folder holds itself, such as a last norm trained with the layers, goes before the base's.

    Raises:
        InputError: A file is no safetensors file.
    """
    base = [] if source.base is None else weight_files(source.base)
    files: list[Path | tuple[Path, Collection[str]]] = [(path, (EMBEDDING, LAST_NORM, HEAD)) for path in base]
    return TensorFiles([*files, *weight_files(source.folder)], dtype)


def read_ends(read: TensorFiles, sizes: LlamaSizes) -> tuple[torch.Tensor, torch.Tensor]:
    """Embedding and head, each [vocab_size, hidden_size]; one tensor where they are tied.

    As transformers has it: where the configuration ties them and both are stored with different values, what is stored
    counts; where only one is stored, it serves as both.
    """
    if not sizes.is_tied:
        return read(EMBEDDING), read(HEAD)
    stored = [read(name) for name in (EMBEDDING, HEAD) if name in read]
    if len(stored) == 2 and not torch.equal(*stored):
        return stored[0], stored[1]
    return stored[0], stored[0]


def pack(weight: torch.Tensor) -> torch.Tensor | None:
    """A weight [out, in] as oneDNN likes it, or None where there is no oneDNN or it has no such kernel.

    Its kernels are made for the processor at hand. Where that was measured, plain products took two to three times as
    long for 2 to 200 rows, and a third longer for one.
    """
    if weight.dtype in PACKED_DTYPES and torch.backends.mkldnn.is_available():
        with contextlib.suppress(AttributeError, RuntimeError, NotImplementedError):
            packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.clone(), TYPICAL_ROWS)
            return packed
    return None


def packed_product(rows: torch.Tensor, packed: torch.Tensor) -> torch.Tensor:
    """Rows [num_rows, in] times a packed weight: [num_rows, out]."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(rows, packed, None, "none", [], "")
    return product


class Projection:
    """x W for a weight [in, out], the faster layout for a handful of tokens; packed as well for more, if it is small.

    Args:
        weight: [in, out], contiguous.
        packs: Whether there is memory for a second layout.

    Attributes:
        array: The weight for NumPy, None if it is large.
    """

    __slots__ = ("_packed", "_size", "array", "weight")

    def __init__(self, weight: torch.Tensor, packs: bool) -> None:
        self.weight = weight
        self._size = weight.numel()
        self.array = weight.numpy() if self._size <= MAX_IN_NUMPY else None
        self._packed = pack(weight.t().contiguous()) if packs else None

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """[num_rows, in] -> [num_rows, out]."""
        if self._packed is not None and self._is_worth_packing(len(rows)):
            return packed_product(rows, self._packed)
        return torch.mm(rows, self.weight)

    def of_array(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """The product in NumPy: [num_rows, in] -> [num_rows, out]; avoids torch's call overhead for few rows."""
        few = self.array is not None and len(rows) <= FEW_ROWS
        if few and not (self._packed is not None and self._is_worth_packing(len(rows))):
            value: npt.NDArray[np.floating] = np.matmul(rows, self.array)  # type: ignore[arg-type]
            return value
        product: npt.NDArray[np.floating] = self(torch.from_numpy(rows)).numpy()
        return product

    def _is_worth_packing(self, num_rows: int) -> bool:
        return num_rows > 1 and (self._size >= LARGE_WEIGHT or num_rows * self._size >= LARGE_PRODUCT)


class PackedProjection:
    """x W for a weight that is kept as oneDNN likes it and in no other layout.

    In bfloat16, x, W and the product are rounded to it; oneDNN sums in float32.

    Args:
        packed: From :func:`pack`.
    """

    __slots__ = ("_dtype", "_packed")
    array = None

    def __init__(self, packed: torch.Tensor) -> None:
        self._packed, self._dtype = packed, packed.dtype

    @property
    def weight(self) -> torch.Tensor:
        """A copy as [out, in]."""
        return self._packed.to_dense()

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """[num_rows, in] -> [num_rows, out], both float32."""
        return packed_product(rows.to(self._dtype), self._packed).float()

    def of_array(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """The product for NumPy arrays: [num_rows, in] -> [num_rows, out]."""
        product: npt.NDArray[np.floating] = self(torch.from_numpy(rows)).numpy()
        return product


def has_half_products() -> bool:
    """Whether this processor and this PyTorch multiply bfloat16 by oneDNN."""
    with contextlib.suppress(AttributeError, RuntimeError):
        return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


@dataclass(frozen=True, slots=True)
class LlamaLayer:
    """One layer's weights, fused."""

    qkv: Projection | PackedProjection
    attention_out: Projection | PackedProjection
    gate_up: Projection | PackedProjection
    down: Projection | PackedProjection

    @property
    def weights(self) -> list[torch.Tensor]:
        """The matrices."""
        return [part.weight for part in (self.qkv, self.attention_out, self.gate_up, self.down)]

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array] | None:
        """The matrices for NumPy, each [in, out]; None if one is large or packed only."""
        qkv, out, gate_up, down = self.qkv.array, self.attention_out.array, self.gate_up.array, self.down.array
        if qkv is None or out is None or gate_up is None or down is None:
            return None
        return qkv, out, gate_up, down


class OutputProjection:
    """Hidden states to logits: x W^T for a weight [vocab_size, hidden_size].

    It is packed by oneDNN where there is one, because plain matrix products are slow for a handful of rows against a
    tall matrix; a weight of moderate size is kept by input as well, for one row.

    Args:
        weight: [vocab_size, hidden_size].
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight
        self.by_input = weight.t().contiguous() if weight.numel() <= MAX_COPIED else None
        self.packed = pack(weight)

    def of_array(self, hidden: npt.NDArray[np.floating]) -> Logits:
        """Logits for NumPy arrays: [num_rows, hidden_size] -> [num_rows, vocab_size]."""
        logits: Logits = self(torch.from_numpy(hidden)).numpy()
        return logits

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [num_rows, vocab_size] of hidden states [num_rows, hidden_size]."""
        if hidden.shape[0] == 1 and self.by_input is not None:
            return torch.mm(hidden, self.by_input)
        if self.packed is not None:
            return packed_product(hidden, self.packed)
        return F.linear(hidden, self.weight)


def rotary_turns(sizes: LlamaSizes, dtype: torch.dtype) -> torch.Tensor:
    """exp(i position theta^(-2k/dim)), [max_context, head_dim / 2]; rounded to float32 first, as transformers does."""
    exponents = torch.arange(0, sizes.head_dim, 2, dtype=torch.int64).float() / sizes.head_dim
    angles = torch.outer(torch.arange(sizes.max_context).float(), 1.0 / (sizes.rope_theta**exponents))
    return torch.complex(angles.cos().to(dtype), angles.sin().to(dtype))


def fuse_layer(read: Reader, prefix: str, sizes: LlamaSizes, halves: bool = False) -> LlamaLayer:
    """One layer's weights, by ``read`` from their names under ``prefix``; of halves, if products are in bfloat16."""
    attention_gain = read(f"{prefix}input_layernorm.weight")
    mlp_gain = read(f"{prefix}post_attention_layernorm.weight")
    query = _interleave(read(f"{prefix}self_attn.q_proj.weight"), sizes.head_dim) * sizes.head_dim**-0.5
    key = _interleave(read(f"{prefix}self_attn.k_proj.weight"), sizes.head_dim)
    value = read(f"{prefix}self_attn.v_proj.weight")
    gate, up = read(f"{prefix}mlp.gate_proj.weight"), read(f"{prefix}mlp.up_proj.weight")
    weights = (
        torch.cat((query, key, value)) * attention_gain,
        read(f"{prefix}self_attn.o_proj.weight"),
        torch.cat((gate, up)) * mlp_gain,
        read(f"{prefix}mlp.down_proj.weight"),
    )
    return LlamaLayer(*(_projection_of(weight, sizes.layer_numbers <= MAX_COPIED, halves) for weight in weights))


def _projection_of(weight: torch.Tensor, has_room: bool, halves: bool) -> Projection | PackedProjection:
    """The fastest form of a weight [out, in]: in more than one layout where there is room for that."""
    if has_room and not halves:
        return Projection(weight.t().contiguous(), packs=True)
    packed = pack(weight.bfloat16() if halves else weight)
    return Projection(weight.t().contiguous(), packs=False) if packed is None else PackedProjection(packed)


def _interleave(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Put rows k and k + dim/2 of each head side by side: the pair that the rotary embedding turns together."""
    halves = weight.view(-1, 2, head_dim // 2, weight.shape[-1])
    return halves.transpose(1, 2).reshape(weight.shape)
