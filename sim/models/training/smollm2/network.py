"""The target's layers as functions of tensors by name: whole texts for training, one token at a time for sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from sim.models.checkpoint import read_json
from sim.models.llama_sizes import EMBEDDING, LAST_NORM, LlamaSizes
from sim.models.weights import TensorFiles

NORM = "norm.weight"
MATRICES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
_PARTS = ("input_layernorm", "post_attention_layernorm", *MATRICES)
Parameters = dict[str, torch.Tensor]
Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Target:
    """The model that the draft is made for.

    Attributes:
        folder: Its files.
        sizes: Of the network.
        embedding: [vocab_size, hidden_size]; the head as well.
        parameters: Layers ``layers.I.PART.weight`` and the last norm, float32.
        eos_id: Token that ends its answers.
    """

    folder: Path
    sizes: LlamaSizes
    embedding: torch.Tensor
    parameters: Parameters
    eos_id: int


def load_target(folder: Path) -> Target:
    """Read the target from its folder.

    Raises:
        ValueError: It is no plain Llama with tied ends.
    """
    config = read_json(folder / "config.json")
    sizes = LlamaSizes.from_config(config)
    if sizes is None or not sizes.is_tied:
        raise ValueError(f"target: {folder} must hold a Llama whose embedding is its head")
    with TensorFiles(sorted(folder.glob("*.safetensors")), torch.float32) as read:
        parameters = {
            f"layers.{index}.{part}.weight": read(f"model.layers.{index}.{part}.weight")
            for index in range(sizes.num_layers)
            for part in _PARTS
        }
        parameters[NORM] = read(LAST_NORM)
        return Target(folder, sizes, read(EMBEDDING), parameters, int(config["eos_token_id"]))


def copy_layers(target: Target, layers: Sequence[int]) -> Parameters:
    """Parameters of a draft that starts as some of the target's layers, numbered from 0."""
    draft = {
        f"layers.{new}.{part}.weight": target.parameters[f"layers.{old}.{part}.weight"].clone()
        for new, old in enumerate(layers)
        for part in _PARTS
    }
    draft[NORM] = target.parameters[NORM].clone()
    return draft


def num_layers_of(parameters: Mapping[str, torch.Tensor]) -> int:
    """How many layers there are parameters of."""
    return len({name.split(".")[1] for name in parameters if name.startswith("layers.")})


def block_ends(num_target_layers: int, num_draft_layers: int) -> tuple[int, ...]:
    """Last layers of all but the last of the target's blocks, one block for each layer of a draft.

    A layer of the draft is trained to do what a block of the target's does.
    """
    return tuple(num_target_layers * (1 + one) // num_draft_layers - 1 for one in range(num_draft_layers - 1))


class Network:
    """A Llama of the target's sizes with its embedding and any number of layers.

    Args:
        target: Gives sizes and embedding.
        parameters: Layers and last norm; the target's own or a draft's.
        max_tokens: Longest text.
        precision: Of the layers' products; None for that of the weights. bfloat16 halves the time of a training step.
        kept_after: Layers, numbered from 0, whose results are kept.

    Attributes:
        kept: States after those layers in the last call, before any norm, each as the hidden states that it returned.
    """

    def __init__(
        self,
        target: Target,
        parameters: Mapping[str, torch.Tensor],
        max_tokens: int = 512,
        precision: torch.dtype | None = None,
        kept_after: Sequence[int] = (),
    ) -> None:
        self.precision = precision
        self._kept_after = frozenset(kept_after)
        self.kept: list[torch.Tensor] = []
        self.sizes, self.embedding, self.parameters = target.sizes, target.embedding, parameters
        self.num_layers = num_layers_of(parameters)
        self.max_tokens = max_tokens
        dim = self.sizes.head_dim
        frequencies = 1.0 / self.sizes.rope_theta ** (torch.arange(0, dim, 2).float() / dim)
        angles = torch.arange(max_tokens).float()[:, None] * frequencies
        self._cos, self._sin = torch.cat([angles.cos()] * 2, 1), torch.cat([angles.sin()] * 2, 1)

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """Hidden states [batch, length, hidden_size], after the last norm, of texts [batch, length]."""
        return self._through_layers(F.embedding(ids, self.embedding).float(), self._whole_texts(*ids.shape))

    def layer(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """States after one layer from those before it, both [batch, length, hidden_size]."""
        return self._through_layer(index, x, self._whole_texts(*x.shape[:2]))

    def last_norm(self, x: torch.Tensor) -> torch.Tensor:
        """What the head is applied to, from states after the last layer."""
        return self._normed(x, self.parameters[NORM])

    def _whole_texts(self, num_texts: int, length: int) -> Attend:
        cos, sin = self._cos[:length], self._sin[:length]
        sizes = self.sizes
        groups, kind = sizes.num_heads // sizes.num_kv_heads, self.precision or torch.float32
        later = torch.full((length, length), -torch.inf, dtype=kind).triu(1).repeat(groups, 1)

        def attend(_: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            query, key, value = (part.transpose(1, 2) for part in (query, key, value))
            # Plain products with the heads of a group below each other: a third of the time of PyTorch's own attention
            # for texts of some two hundred tokens.
            query = _turn(query, cos, sin) * sizes.head_dim**-0.5
            grouped = query.reshape(num_texts, sizes.num_kv_heads, groups * length, -1).to(kind)
            scores = torch.matmul(grouped, _turn(key, cos, sin).to(kind).transpose(-1, -2))
            weights = torch.softmax(scores.add_(later), -1, dtype=torch.float32).to(kind)
            found = torch.matmul(weights, value.to(kind)).view(num_texts, sizes.num_heads, length, -1)
            return found.transpose(1, 2).reshape(num_texts, length, -1)

        return attend

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states."""
        return _product(hidden, self.embedding)

    def _through_layers(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        self.kept = []
        for index in range(self.num_layers):
            x = self._through_layer(index, x, attend)
            if index in self._kept_after:
                self.kept.append(x)
        return self.last_norm(x)

    def _through_layer(self, index: int, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        sizes = self.sizes
        part = {name: self.parameters[f"layers.{index}.{name}.weight"] for name in _PARTS}
        h = self._normed(x, part["input_layernorm"])
        query, key, value = (
            _product(h, part[name], self.precision).view(*x.shape[:-1], heads, sizes.head_dim)
            for name, heads in zip(MATRICES[:3], (sizes.num_heads, sizes.num_kv_heads, sizes.num_kv_heads), strict=True)
        )
        x = x + _product(attend(index, query, key, value), part["self_attn.o_proj"], self.precision)
        h = self._normed(x, part["post_attention_layernorm"])
        return x + _product(self._gated(h, part), part["mlp.down_proj"], self.precision)

    def _gated(self, h: torch.Tensor, part: Mapping[str, torch.Tensor]) -> torch.Tensor:
        gate, up = (_raw_product(h, part[f"mlp.{name}_proj"], self.precision) for name in ("gate", "up"))
        return F.silu(gate) * up

    def _normed(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (self.sizes.hidden_size,), gain, self.sizes.norm_epsilon)


class StepNetwork(Network):
    """The same, one token of each of several texts at a time, each text at its own position.

    Args:
        target: Gives sizes and embedding.
        parameters: Layers and last norm.
        num_texts: Rows of the batch.
        max_tokens: Longest text.
        kept_after: Layers whose results are kept.
    """

    def __init__(
        self,
        target: Target,
        parameters: Mapping[str, torch.Tensor],
        num_texts: int,
        max_tokens: int,
        kept_after: Sequence[int] = (),
    ) -> None:
        super().__init__(target, parameters, max_tokens, kept_after=kept_after)
        sizes = self.sizes
        shape = (self.num_layers, num_texts, sizes.num_kv_heads, max_tokens, sizes.head_dim)
        # Kept as the matrices are: reading float32 would take a tenth of a step in bfloat16.
        kind = parameters["layers.0.self_attn.k_proj.weight"].dtype
        self._keys, self._values = torch.zeros(shape, dtype=kind), torch.zeros(shape, dtype=kind)
        self._rows = torch.arange(num_texts)

    def step(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Hidden states [num_texts, hidden_size] after tokens [num_texts] at positions [num_texts].

        What a text holds at its position and later is overwritten; starting anew at 0 needs nothing else.
        """
        cos, sin = self._cos[positions][:, None], self._sin[positions][:, None]
        later = (torch.arange(self.max_tokens)[None] > positions[:, None])[:, None, None]
        bias = torch.zeros(later.shape).masked_fill(later, -torch.inf)
        sizes, num_texts = self.sizes, len(ids)

        def attend(index: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            kind = self._keys.dtype
            self._keys[index, self._rows, :, positions] = _turn(key, cos, sin).to(kind)
            self._values[index, self._rows, :, positions] = value.to(kind)
            grouped = _turn(query, cos, sin).view(num_texts, sizes.num_kv_heads, -1, sizes.head_dim).to(kind)
            # Plain products over all places: PyTorch's own attention takes three times as long for as few queries as a
            # group of heads, and a part of the places would be copied before each product.
            scores = torch.matmul(grouped, self._keys[index].transpose(-1, -2)).float() * sizes.head_dim**-0.5 + bias
            found = torch.matmul(torch.softmax(scores, -1).to(kind), self._values[index])
            return found.reshape(num_texts, -1).float()

        return self._through_layers(F.embedding(ids, self.embedding).float(), attend)


def _product(x: torch.Tensor, weight: torch.Tensor, precision: torch.dtype | None = None) -> torch.Tensor:
    """``x @ weight.T`` in float32, the product itself in ``precision`` or as the weight is kept."""
    return _raw_product(x, weight, precision).float()


def _raw_product(x: torch.Tensor, weight: torch.Tensor, precision: torch.dtype | None) -> torch.Tensor:
    kept = weight if precision is None else weight.to(precision)
    return F.linear(x.to(kept.dtype), kept)


def in_bfloat16(target: Target) -> Target:
    """The target with its matrices in bfloat16, which is how its file has them; norms stay float32."""
    parameters = {name: value.bfloat16() if value.dim() == 2 else value for name, value in target.parameters.items()}
    return replace(target, parameters=parameters, embedding=target.embedding.bfloat16())


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of the last dimension, its two halves as pairs."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin
