"""Shapes of language models: what the work of a forward pass and the memory of a text depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sim.compute.base import WorkSize


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What the work of a forward pass depends on.

    Attributes:
        name: What was asked for.
        source: The public model, or the file, whose shape it has.
        parameters: All weights; the embedding counts once where it is the output head, too.
        layer_parameters: Those of the layers that every token uses, experts excluded.
        head_parameters: Those of the output head, used by every row.
        layers: Number of layers.
        hidden: Width of the residual stream; what processors exchange after each half of a layer.
        attention_width: Heads times head size.
        kv_width: Key-value heads times head size: half of the values that a layer keeps of each token.
        num_experts: Experts of each layer; 1 if the feed-forward layer is dense and counts to ``layer_parameters``.
        experts_per_token: Experts that a token is sent to.
        expert_parameters: Weights of one expert, all layers together.
        window_tokens: Tokens that the windowed layers attend to; None without such layers.
        windowed_layers: How many layers attend to a window only.
        note: What the user should know of how the shape was found; empty if it is what was asked for.
        vocab_size: Tokens of its vocabulary; None where a shape stands for no model in particular.
    """

    name: str
    source: str
    parameters: float
    layer_parameters: float
    head_parameters: float
    layers: float
    hidden: float
    attention_width: float
    kv_width: float
    num_experts: int = 1
    experts_per_token: int = 1
    expert_parameters: float = 0.0
    window_tokens: int | None = None
    windowed_layers: float = 0.0
    note: str = ""
    vocab_size: int | None = None

    def flops(self, new_tokens: int, context_tokens: int, num_rows: int) -> float:
        """Operations of one sequence's part of a step: 2 per weight and token, 4 per attended position and width.

        The last of the new tokens attends to the whole text, each earlier one to one position less.
        """
        used = self.layer_parameters + self.experts_per_token * self.expert_parameters
        matrices = 2.0 * (used * new_tokens + self.head_parameters * num_rows)
        attended = (self.layers - self.windowed_layers) * _pairs(new_tokens, context_tokens)
        if self.window_tokens is not None:
            attended += self.windowed_layers * _windowed_pairs(new_tokens, context_tokens, self.window_tokens)
        return matrices + 4.0 * self.attention_width * attended

    def kv_values(self, context_tokens: int, new_tokens: int = 1) -> float:
        """Values of keys and values that one sequence's part of a step reads."""
        read = (self.layers - self.windowed_layers) * context_tokens
        if self.window_tokens is not None:
            read += self.windowed_layers * min(context_tokens, self.window_tokens + new_tokens - 1)
        return 2.0 * self.kv_width * read

    def batch_work(self, batch: Sequence[WorkSize], new_tokens: int, num_rows: int) -> tuple[float, float]:
        """Operations of a step and the values of keys and values that it reads, of all its sequences together.

        Args:
            batch: An item for each sequence.
            new_tokens: Their new tokens.
            num_rows: Their rows.
        """
        if self.window_tokens is not None:
            flops = sum(self.flops(work.new_tokens, work.context_tokens, work.num_rows) for work in batch)
            return flops, sum(self.kv_values(work.context_tokens, work.new_tokens) for work in batch)
        context = 0
        pairs = 0.0
        for work in batch:
            context += work.context_tokens
            pairs += work.new_tokens * (work.context_tokens - (work.new_tokens - 1) / 2)
        used = self.layer_parameters + self.experts_per_token * self.expert_parameters
        flops = 2.0 * (used * new_tokens + self.head_parameters * num_rows)
        return flops + 4.0 * self.attention_width * self.layers * pairs, 2.0 * self.kv_width * self.layers * context

    def item_work(self, batch: Sequence[WorkSize]) -> list[tuple[float, float]]:
        """Operations of each sequence's part of a step, and the values of keys and values that it reads."""
        if self.window_tokens is not None:
            return [
                (
                    self.flops(work.new_tokens, work.context_tokens, work.num_rows),
                    self.kv_values(work.context_tokens, work.new_tokens),
                )
                for work in batch
            ]
        per_token = 2.0 * (self.layer_parameters + self.experts_per_token * self.expert_parameters)
        per_row, per_pair = 2.0 * self.head_parameters, 4.0 * self.attention_width * self.layers
        per_value = 2.0 * self.kv_width * self.layers
        return [
            (
                work.new_tokens * (per_token + per_pair * (work.context_tokens - (work.new_tokens - 1) / 2))
                + per_row * work.num_rows,
                per_value * work.context_tokens,
            )
            for work in batch
        ]

    def kv_values_per_token(self) -> float:
        """Values of keys and values that are kept of each token."""
        return 2.0 * self.kv_width * self.layers

    def streamed_layer_parameters(self, new_tokens: int) -> float:
        """Weights of the layers that a step of so many tokens reads, experts as independent choices would meet them."""
        if self.num_experts == 1:
            return self.layer_parameters
        missed = (1.0 - self.experts_per_token / self.num_experts) ** new_tokens
        return self.layer_parameters + self.num_experts * (1.0 - missed) * self.expert_parameters

    def linear_layers_only(self) -> ModelShape:
        """The shape without attention, keys and values, and output head: what profiles of linear layers measure."""
        return replace(self, attention_width=0.0, kv_width=0.0, head_parameters=0.0)


def _pairs(new_tokens: int, context_tokens: int) -> float:
    return new_tokens * context_tokens - new_tokens * (new_tokens - 1) / 2


def _windowed_pairs(new_tokens: int, context_tokens: int, window: int) -> float:
    """Pairs of a new token and one of the at most ``window`` positions that it attends to."""
    first = context_tokens - new_tokens + 1  # positions that the first new token could attend to
    growing = max(0, min(new_tokens, window - first))  # new tokens that see less than a window
    return growing * first + growing * (growing - 1) / 2 + (new_tokens - growing) * window


def shape_of(name: str, source: str, row: dict[str, Any], parameters: float | None = None) -> ModelShape:
    """Put a shape together from the dimensions of a model.

    Args:
        name: What was asked for.
        source: Where the dimensions come from.
        row: ``layers``, ``hidden``, ``heads``, ``kv_heads``, ``head_size``, ``feed_forward``, ``vocabulary``, ``tied``
            and, optionally, ``feed_forward_matrices``, ``experts``, ``experts_per_token``, ``expert_layers``,
            ``shared_feed_forward``, ``attention_parameters``, ``attention_width``, ``kv_width``, ``window``,
            ``windowed_layers``.
        parameters: Published number of weights; counted from the dimensions if None.
    """
    layers, hidden = row["layers"], row["hidden"]
    matrices = row.get("feed_forward_matrices", 3)
    head = float(hidden) * row["vocabulary"]
    embeddings = head * (1 if row["tied"] else 2)
    attention = row.get("attention_parameters", 2.0 * hidden * (row["heads"] + row["kv_heads"]) * row["head_size"])
    experts = row.get("experts", 1)
    expert_layers = row.get("expert_layers", layers) if experts > 1 else 0
    expert = float(matrices) * hidden * row["feed_forward"] * expert_layers
    dense = (layers - expert_layers) * float(matrices) * hidden * row.get("dense_feed_forward", row["feed_forward"])
    shared = expert_layers * float(matrices) * hidden * row.get("shared_feed_forward", 0)
    always = layers * attention + dense + shared
    counted = always + (experts * expert if experts > 1 else 0.0) + embeddings
    total = counted if parameters is None else parameters
    return ModelShape(
        name=name,
        source=source,
        parameters=total,
        layer_parameters=always + (total - counted),
        head_parameters=head,
        layers=layers,
        hidden=hidden,
        attention_width=row.get("attention_width", row["heads"] * row["head_size"]),
        kv_width=row.get("kv_width", row["kv_heads"] * row["head_size"]),
        num_experts=experts,
        experts_per_token=row.get("experts_per_token", 1),
        expert_parameters=expert if experts > 1 else 0.0,
        window_tokens=row.get("window"),
        windowed_layers=row.get("windowed_layers", 0),
        vocab_size=int(row["vocabulary"]),
    )
