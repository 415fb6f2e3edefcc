"""What the pair is worth: perplexities, acceptance on held-out text, and acceptance in real draft/verify rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

WINDOW_TOKENS = 256
NUM_WINDOWS = 96
BATCH_WINDOWS = 8
MIN_CONTEXT_TOKENS = 32
"""Acceptance is averaged over positions with at least this much context; perplexity over all positions."""


@dataclass(frozen=True)
class Agreement:
    """How two models' rows agree over many positions, at one temperature."""

    acceptance_mean: float
    acceptance_sd: float
    acceptance_q10: float
    acceptance_q90: float
    argmax_agreement: float
    num_positions: int


@dataclass(frozen=True)
class Rounds:
    """Outcome of real draft/verify rounds (Leviathan et al., 2023) over a set of prompts."""

    acceptance_mean: float
    accepted_share_of_tested: float
    tokens_per_round: float
    num_rounds: int


def as_figures(result: Agreement | Rounds, digits: int = 4) -> dict[str, float]:
    """The fields of a result, rounded for print."""
    return {name: round(value, digits) for name, value in asdict(result).items()}


def held_out_windows(stream: npt.NDArray[np.uint16], num_windows: int = NUM_WINDOWS) -> torch.Tensor:
    """Evenly spaced windows of a token stream with their successor token. Shape [num_windows, 257], int64."""
    last_start = len(stream) - WINDOW_TOKENS - 1
    if last_start < num_windows:
        raise ValueError(f"stream: got {len(stream)} tokens, valid: more than {num_windows + WINDOW_TOKENS}")
    starts = np.linspace(0, last_start, num_windows).astype(int)
    return torch.from_numpy(np.stack([stream[s : s + WINDOW_TOKENS + 1] for s in starts]).astype(np.int64))


@torch.inference_mode()
def perplexity(model: Any, sequences: Sequence[torch.Tensor]) -> float:
    """Exp of the mean negative log-likelihood of each sequence's tokens after its first. Sequences: [batch, length]."""
    total, count = 0.0, 0
    for ids in sequences:
        logits = _logits(model, ids[:, :-1]).flatten(0, 1)
        total += float(functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="sum"))
        count += ids[:, 1:].numel()
    return math.exp(total / count)


@torch.inference_mode()
def agreement(
    draft: Any, target: Any, sequences: Sequence[torch.Tensor], temperature: float, min_context: int
) -> Agreement:
    """Acceptance 1 - TV(p, q) of the two models' rows, over positions that follow `min_context` tokens or more."""
    accepted, same_argmax = [], []
    for ids in sequences:
        p_logits = _logits(target, ids[:, :-1])[:, min_context - 1 :]
        q_logits = _logits(draft, ids[:, :-1])[:, min_context - 1 :]
        p, q = (functional.softmax(logits / temperature, dim=-1) for logits in (p_logits, q_logits))
        accepted.append(torch.minimum(p, q).sum(-1).flatten())
        same_argmax.append((p_logits.argmax(-1) == q_logits.argmax(-1)).flatten())
    values = torch.cat(accepted).double().numpy()
    return Agreement(
        acceptance_mean=float(values.mean()),
        acceptance_sd=float(values.std()),
        acceptance_q10=float(np.quantile(values, 0.1)),
        acceptance_q90=float(np.quantile(values, 0.9)),
        argmax_agreement=float(torch.cat(same_argmax).double().mean()),
        num_positions=len(values),
    )


@torch.inference_mode()
def play_rounds(
    draft: Any,
    target: Any,
    prompts: Sequence[Sequence[int]],
    temperature: float,
    draft_length: int,
    max_new_tokens: int,
    seed: int,
) -> Rounds:
    """Draft and verify for real, without caches, and count: the on-policy figures.

    `acceptance_mean` is the mean of 1 - TV over the positions that were tested: those up to and including the
    first rejection of each round.
    """
    expected: list[float] = []
    accepted = tokens = rounds = 0
    for index, prompt in enumerate(prompts):
        generator = np.random.Generator(np.random.Philox(key=[seed, index]))
        ids = list(prompt)
        while len(ids) < len(prompt) + max_new_tokens:
            new_ids, num_accepted, overlaps = _play_round(draft, target, ids, temperature, draft_length, generator)
            ids += new_ids
            accepted += num_accepted
            tokens += len(new_ids)
            rounds += 1
            expected += overlaps
    return Rounds(
        acceptance_mean=float(np.mean(expected)),
        accepted_share_of_tested=accepted / len(expected),
        tokens_per_round=tokens / rounds,
        num_rounds=rounds,
    )


def _play_round(
    draft: Any, target: Any, ids: list[int], temperature: float, draft_length: int, generator: np.random.Generator
) -> tuple[list[int], int, list[float]]:
    """One round of rejection sampling: the tokens it emits, how many were drafted, 1 - TV at each tested position."""
    drafted: list[int] = []
    q_rows: list[npt.NDArray[np.float64]] = []
    for _ in range(draft_length):
        q_rows.append(_rows(draft, [*ids, *drafted], 1, temperature)[0])
        drafted.append(int(generator.choice(len(q_rows[-1]), p=q_rows[-1])))
    p_rows = _rows(target, [*ids, *drafted], draft_length + 1, temperature)
    overlaps: list[float] = []
    for place, (token, p, q) in enumerate(zip(drafted, p_rows, q_rows, strict=False)):
        overlaps.append(float(np.minimum(p, q).sum()))
        if generator.random() * q[token] >= p[token]:
            residual = np.maximum(p - q, 0.0)
            correction = int(generator.choice(len(residual), p=residual / residual.sum()))
            return [*drafted[:place], correction], place, overlaps
    bonus = int(generator.choice(len(p_rows[-1]), p=p_rows[-1]))
    return [*drafted, bonus], draft_length, overlaps


def _rows(model: Any, ids: list[int], num_rows: int, temperature: float) -> npt.NDArray[np.float64]:
    """The last `num_rows` rows after `ids`. Shape [num_rows, vocabulary]."""
    logits = _logits(model, torch.tensor([ids]))[0, -num_rows:]
    rows = functional.softmax(logits.double() / temperature, dim=-1).numpy()
    value: npt.NDArray[np.float64] = rows / rows.sum(-1, keepdims=True)
    return value


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Float32 logits on the CPU, wherever the model is. Shape [batch, length, vocabulary]."""
    value: torch.Tensor = model(input_ids=ids.to(model.device), use_cache=False).logits.float().cpu()
    return value
