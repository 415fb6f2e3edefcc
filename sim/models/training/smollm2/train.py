"""Trains layers of a draft on samples of the target: losses, learning rate, checkpoints that a run goes on from."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F

from sim.models.training.smollm2.blocks import Blocks
from sim.models.training.smollm2.network import Network, Parameters, Target, num_layers_of
from sim.models.training.smollm2.samples import Rows, Sample, SampleStore, as_rows

STATE_FILE = "state.pt"
WARM_UP_STEPS, SAVE_EVERY_S, SAY_EVERY = 30, 240.0, 20
STEPS_BETWEEN_READS = 200  # after so many, new samples are taken up
MAX_GRADIENT = 1.0
COOL = 0.7  # the other temperature at which drafts are used
_TEXTS_OF_SPREAD = 200
_BEST_IN_HEAD, _OTHERS_IN_HEAD = 32, 3072


@dataclass(frozen=True)
class Plan:
    """How a draft is trained.

    Attributes:
        rate: Learning rate.
        tokens_per_step: At most, with padding.
        steps: Of all of the training.
        decay_steps: Of the end, over which the rate falls to zero and the loss turns to total variation.
        block_steps: Of the beginning, in which every layer learns to do what a block of the target's does.
        between_weight: Of the distance from the target's states at the ends of its blocks, after that.
    """

    rate: float = 1.2e-3
    tokens_per_step: int = 1400
    steps: int = 3000
    decay_steps: int = 600
    block_steps: int = 0
    between_weight: float = 0.1

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, constant, linear to zero; likewise before that for blocks."""
        if self.is_of_blocks(step):
            first, rest = 0, min(1.0, 2 * (self.block_steps - step) / self.block_steps)
        else:
            first, rest = self.block_steps, (self.steps - step) / self.decay_steps if self.is_decay(step) else 1.0
        return self.rate * min(1.0, (step + 1 - first) / WARM_UP_STEPS) * rest

    def is_of_blocks(self, step: int) -> bool:
        """Whether layers learn by themselves."""
        return step < self.block_steps

    def is_decay(self, step: int) -> bool:
        """Whether the rate falls."""
        return step > self.steps - self.decay_steps


@dataclass
class Progress:
    """Where a training stands: steps done and rows seen."""

    step: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Losses:
    """Means over the rows of a batch, by their weights.

    Attributes:
        divergence: KL(target || draft) over the target's best tokens [nat].
        variation: 1 - overlap of the same.
        state: Smooth L1 distance of the last hidden states.
        cool_variation: 1 - overlap at a lower temperature, if that was asked for.
    """

    divergence: torch.Tensor
    variation: torch.Tensor
    state: torch.Tensor
    cool_variation: torch.Tensor | None = None

    def __str__(self) -> str:
        parts = (part.item() for part in (self.divergence, self.variation, self.state))
        cool = "" if self.cool_variation is None else f", 1 - overlap at {COOL:g} {self.cool_variation.item():.3f}"
        return "KL {:.3f} nat, 1 - overlap {:.3f}, state {:.3f}".format(*parts) + cool


def losses_of(
    hidden: torch.Tensor,
    rows: Rows,
    embedding: torch.Tensor,
    generator: torch.Generator,
    cool: bool = False,
    others: int = _OTHERS_IN_HEAD,
) -> Losses:
    """Losses of a draft's hidden states [rows, hidden_size].

    The softmax runs over the best tokens of the batch and a random sample of the others, which are weighted by how many
    they stand for, so that a step costs a tenth of the whole head.

    Args:
        hidden: At the places of ``rows``.
        rows: What the target has there.
        embedding: Head, [vocab_size, hidden_size].
        generator: Of the sample.
        cool: Whether the variation at a lower temperature is asked for.
        others: Size of the sample.
    """
    vocab_size = len(embedding)
    best = torch.unique(rows.best[:, :_BEST_IN_HEAD])
    is_rest = torch.ones(vocab_size, dtype=torch.bool)
    is_rest[best] = False
    rest = is_rest.nonzero()[:, 0]
    rest = rest[torch.randperm(len(rest), generator=generator)[:others]]
    columns = torch.cat([best, rest])
    place = torch.full((vocab_size,), -1)
    place[columns] = torch.arange(len(columns))
    weight = torch.zeros(len(columns))
    if len(rest):
        weight[len(best) :] = math.log((vocab_size - len(best)) / len(rest))
    logits = F.linear(hidden.to(embedding.dtype), embedding[columns]).float()
    at = place[rows.best]
    is_there = (at >= 0) & (at < len(best))
    at = at.clamp(min=0)
    zero = torch.zeros(())

    def variation_of(draft_log: torch.Tensor, target_log: torch.Tensor) -> torch.Tensor:
        overlap = torch.where(is_there, torch.minimum(target_log.exp(), draft_log.exp()), zero).sum(-1)
        return 1 - (rows.weights * overlap).mean()

    draft_log = torch.log_softmax(logits + weight, -1).gather(1, at)
    target = torch.where(is_there, rows.log_probs.exp(), zero)
    divergence = (target * (rows.log_probs - draft_log)).sum(-1)
    state = F.smooth_l1_loss(hidden, rows.hidden, reduction="none").mean(-1)
    cool_variation = None
    if cool:
        cool_log = torch.log_softmax(logits / COOL + weight, -1).gather(1, at)
        cool_variation = variation_of(cool_log, torch.log_softmax(rows.log_probs / COOL, -1))
    means = [(rows.weights * one).mean() for one in (divergence, state)]
    return Losses(means[0], variation_of(draft_log, rows.log_probs), means[1], cool_variation)


def hidden_at(network: Network, rows: Rows) -> torch.Tensor:
    """A network's hidden states at the places of the rows."""
    return network(rows.ids).flatten(0, 1)[rows.places]


def train(
    target: Target, draft: Parameters, store: SampleStore, plan: Plan, folder: Path, say: Callable[[str], None]
) -> Progress:
    """Train a draft, going on from the checkpoint in the folder if there is one.

    Args:
        target: What the draft is made for.
        draft: Its layers to begin with; changed in place.
        store: Samples.
        plan: Of the training.
        folder: Where the checkpoint lies.
        say: Takes a line every few steps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for value in draft.values():
        value.requires_grad_()
    optimiser, progress = _optimiser(draft, plan.rate), Progress()
    state = folder / STATE_FILE
    if state.exists():
        progress = _restore(state, draft, optimiser)
    draws, generator = random.Random(progress.step), torch.Generator().manual_seed(progress.step + 1)
    saved = perf_counter()
    store.refresh()
    trainer = _Trainer(target, draft, plan, store.train[:_TEXTS_OF_SPREAD], generator)
    while progress.step < plan.steps:
        left = min(STEPS_BETWEEN_READS, plan.steps - progress.step)
        for batch in islice(store.batches(draws, plan.tokens_per_step), left):
            loss, words = trainer.loss_of(batch, progress.step)
            _take_step(loss, draft, optimiser, plan.rate_at(progress.step))
            progress.step += 1
            progress.rows += sum(one.num_rows for one in batch)
            if progress.step % SAY_EVERY == 0:
                say(f"step {progress.step}, {progress.rows} rows: {words}")
            if perf_counter() - saved > SAVE_EVERY_S:
                save_state(state, draft, optimiser, progress)
                saved = perf_counter()
        store.refresh()
    save_state(state, draft, optimiser, progress)
    return progress


class _Trainer:
    """What is made smaller in a step, by the plan."""

    def __init__(
        self, target: Target, draft: Parameters, plan: Plan, samples: Sequence[Sample], generator: torch.Generator
    ) -> None:
        self.target, self.plan, self.generator = target, plan, generator
        self._head = target.embedding.bfloat16()
        num_layers = num_layers_of(draft)
        has_blocks = samples[0].between.shape[1] == num_layers - 1 > 0
        if plan.block_steps and not has_blocks:
            raise ValueError(f"block_steps: the samples hold no states at the ends of {num_layers} blocks")
        self.blocks = Blocks(target, num_layers, samples) if has_blocks else None
        kept = range(num_layers - 1) if has_blocks else ()
        self.network = Network(target, draft, precision=torch.bfloat16, kept_after=kept)

    def loss_of(self, batch: Sequence[Sample], step: int) -> tuple[torch.Tensor, str]:
        """The loss of a batch, and its parts in words."""
        rows = as_rows(batch, self.target.eos_id)
        if self.blocks is not None and self.plan.is_of_blocks(step):
            each = self.blocks.losses(self.network, rows, [one.start for one in batch])
            return each.sum(), "distance of blocks " + ", ".join(f"{one:.3f}" for one in each.tolist())
        near_end = self.plan.is_decay(step)
        losses = losses_of(hidden_at(self.network, rows), rows, self._head, self.generator, cool=near_end)
        loss = losses.divergence * (0.3 if near_end else 1.0) + 0.1 * losses.state
        if losses.cool_variation is not None:
            loss = loss + losses.variation + losses.cool_variation
        if self.blocks is not None:
            loss = loss + self.plan.between_weight * self.blocks.drift(self.network.kept, rows)
        return loss, str(losses)


def _take_step(loss: torch.Tensor, draft: Parameters, optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(draft.values()), MAX_GRADIENT)
    optimiser.step()


def _optimiser(draft: Parameters, rate: float) -> torch.optim.AdamW:
    matrices = [value for value in draft.values() if value.dim() == 2]
    gains = [value for value in draft.values() if value.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def save_state(path: Path, draft: Parameters, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write a checkpoint, whole or not at all."""
    scratch = path.with_suffix(".tmp")
    parameters = {name: value.detach() for name, value in draft.items()}
    content = {"step": progress.step, "seen": progress.rows, "opt": optimiser.state_dict(), "P": parameters}
    torch.save(content, scratch)
    scratch.replace(path)


def _restore(path: Path, draft: Parameters, optimiser: torch.optim.Optimizer) -> Progress:
    content = torch.load(path, weights_only=True)
    for name, value in draft.items():
        value.data.copy_(content["P"][name])
    optimiser.load_state_dict(content["opt"])
    return Progress(int(content["step"]), int(content["seen"]))


def read_state(path: Path) -> tuple[Parameters, Progress]:
    """Layers of a checkpoint, and where its training stands."""
    content = torch.load(path, weights_only=True, mmap=True)
    parameters = {name: value.detach().clone() for name, value in content["P"].items()}
    return parameters, Progress(int(content["step"]), int(content["seen"]))
