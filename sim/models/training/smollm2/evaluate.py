"""Overlap of a draft with the target on the target's own answers to prompts that neither was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from sim.models.training.smollm2.network import Network, StepNetwork, Target
from sim.models.training.smollm2.sampling import draw

TEMPERATURES = (1.0, 0.7)


@dataclass(frozen=True)
class Overlap:
    """Agreement at one temperature.

    Attributes:
        temperature: Of text and rows.
        mean: Mean of 1 - total variation over all rows, the acceptance per token.
        standard_error: Of the mean, over answers (rows of one answer depend on each other).
        same_best: Share of rows whose best token is the same.
        target_entropy_bits: Mean entropy of the target's rows.
        draft_entropy_bits: Of the draft's.
        tail_mass_64: Mean mass of the target outside its best 64 tokens.
        answers: How many.
        rows: How many.
    """

    temperature: float
    mean: float
    standard_error: float
    same_best: float
    target_entropy_bits: float
    draft_entropy_bits: float
    tail_mass_64: float
    answers: int
    rows: int

    def as_dict(self) -> dict[str, float]:
        """By name, rounded."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


@torch.no_grad()
def answers_of(
    target: Target, prompts: Sequence[Sequence[int]], temperature: float, max_new_tokens: int, seed: int
) -> list[list[int]]:
    """Prompts with answers that the target draws, side by side."""
    longest = max(len(prompt) for prompt in prompts) + max_new_tokens
    network = StepNetwork(target, target.parameters, len(prompts), longest + 1)
    generator = torch.Generator().manual_seed(seed)
    temperatures = torch.full((len(prompts),), temperature)
    texts = [list(prompt) for prompt in prompts]
    has_ended = [False] * len(texts)
    shortest = min(len(prompt) for prompt in prompts)
    limits = [len(prompt) + max_new_tokens for prompt in prompts]
    for place in range(longest):
        # A text that has ended or is longer than the place is fed what it holds; what is drawn for it is not kept.
        ids = torch.tensor([text[min(place, len(text) - 1)] for text in texts])
        hidden = network.step(ids, torch.full((len(texts),), place))
        if place < shortest - 1:
            continue
        drawn = draw(network.head(hidden), temperatures, generator)
        for index, token in enumerate(drawn.tolist()):
            text, is_full = texts[index], len(texts[index]) >= limits[index]
            if len(text) == place + 1 and not has_ended[index] and not is_full:
                text.append(token)
                has_ended[index] = token == target.eos_id
        if all(ended or len(text) >= limit for ended, text, limit in zip(has_ended, texts, limits, strict=True)):
            break
    return texts


@torch.no_grad()
def overlap_on(
    target: Target,
    draft: Mapping[str, torch.Tensor],
    prompts: Sequence[Sequence[int]],
    temperature: float,
    max_new_tokens: int = 96,
    seed: int = 1,
) -> Overlap:
    """Draw answers of the target and compare both networks' rows over the whole vocabulary.

    Args:
        target: The target.
        draft: Layers of the draft.
        prompts: Token ids up to where the answer begins.
        temperature: Of text and rows.
        max_new_tokens: Longest answer.
        seed: Of the draws.
    """
    texts = answers_of(target, prompts, temperature, max_new_tokens, seed)
    longest = max(len(text) for text in texts)
    networks = [Network(target, part, longest) for part in (target.parameters, draft)]
    values = []
    for prompt, text in zip(prompts, texts, strict=True):
        ids = torch.tensor([text[:-1]])
        logs = [torch.log_softmax(n.head(n(ids)[0, len(prompt) - 1 :]) / temperature, -1) for n in networks]
        values.append(_row_figures(*logs))
    rows = np.concatenate(values)
    means = np.array([one[:, 0].mean() for one in values])
    weights = np.array([len(one) for one in values]) / len(rows)
    # Ratio estimator: rows of an answer as one cluster.
    error = float(np.sqrt(np.sum((weights * (means - rows[:, 0].mean())) ** 2)))
    mean, same, target_bits, draft_bits, tail = rows.mean(0).tolist()
    return Overlap(temperature, mean, error, same, target_bits, draft_bits, tail, len(texts), len(rows))


def _row_figures(target: torch.Tensor, draft: torch.Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Overlap, agreement of the best token, both entropies [bit] and tail mass of rows of log-probabilities."""
    p, q = target.double().exp(), draft.double().exp()
    best = p.topk(min(64, p.shape[-1]), -1).values.sum(-1)
    columns = (
        torch.minimum(p, q).sum(-1),
        (target.argmax(-1) == draft.argmax(-1)).double(),
        -(p * target).sum(-1) / np.log(2),
        -(q * draft).sum(-1) / np.log(2),
        1 - best,
    )
    figures: np.ndarray[tuple[int, int], np.dtype[np.float64]] = torch.stack(columns, 1).numpy()
    return figures
