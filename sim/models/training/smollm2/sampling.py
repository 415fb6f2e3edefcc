"""Samples the target: answers to prompts from templates, and whole exchanges that it writes from a few first words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sim.models.training.smollm2.network import StepNetwork, Target, in_bfloat16
from sim.models.training.smollm2.prompts import first_words, make_prompt
from sim.models.training.smollm2.samples import BEST_STORED, EMPTY_LOGP, Sample, write_samples

MAX_TOKENS, MAX_PROMPT, MAX_MESSAGE, MAX_ANSWER, MIN_ROWS = 208, 150, 64, 112, 5
"""Of a text, all before an answer, a message that the target writes, and an answer; rows of a text at least."""
TEMPERATURES, SHARE_AT_ONE, SHARE_FROM_TEMPLATES = (1.0, 0.7), 0.6, 0.7
MESSAGE_TEMPERATURE = 0.8
"""Of messages that the target writes; at 1 many make no sense, which those of users do."""
TEXTS_PER_FILE = 256
TEXTS_AT_ONCE = 256
_BLOCK = 256
BEGIN = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "<|im_start|>user\n"
)
ANSWER = "<|im_end|>\n<|im_start|>assistant\n"


@dataclass
class Text:
    """A text in the making.

    Attributes:
        tokens: So far, given or drawn.
        temperature: Of the answer's draws.
        kind: Of the prompt.
        start: First place that has a row: the last one before the user's message.
        writes_prompt: Whether the user's message is still being drawn, at a temperature of its own.
        answer: Last place before the answer; None before that is known.
        at: Place whose token is fed next.
    """

    tokens: list[int]
    temperature: float
    kind: str
    start: int
    writes_prompt: bool = False
    answer: int | None = None
    at: int = 0
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.writes_prompt:
            self.answer = len(self.tokens) - 1

    @property
    def has_row(self) -> bool:
        """Whether the place that is fed next is one that has a row."""
        return self.at >= self.start

    @property
    def draws_at(self) -> float:
        """Temperature of the next draw."""
        return MESSAGE_TEMPERATURE if self.writes_prompt else self.temperature

    @property
    def is_full(self) -> bool:
        """Whether the message or the answer that is drawn is as long as it may be."""
        begun, limit = (self.start, MAX_MESSAGE) if self.answer is None else (self.answer, MAX_ANSWER)
        return len(self.tokens) > min(begun + limit, MAX_TOKENS - 1)


NewText = Callable[[], Text]


class PromptMaker:
    """Draws the beginnings of texts.

    Args:
        encode: Text to token ids.
        draws: Random draws.
    """

    def __init__(self, encode: Callable[[str], list[int]], draws: random.Random) -> None:
        self._encode, self._draws = encode, draws
        self.answer_ids = encode(ANSWER)
        self._start = len(encode(BEGIN)) - 1

    def __call__(self) -> Text:
        """The beginning of a new text."""
        temperature = TEMPERATURES[self._draws.random() >= SHARE_AT_ONE]
        if self._draws.random() >= SHARE_FROM_TEMPLATES:
            word = self._draws.choice(first_words())
            return Text(self._encode(BEGIN + word), temperature, "free", self._start, writes_prompt=True)
        while True:
            kind, prompt = make_prompt(self._draws)
            ids = self._encode(BEGIN + prompt + ANSWER)
            if len(ids) <= MAX_PROMPT:
                return Text(ids, temperature, kind, self._start)


def sample_texts(
    target: Target,
    new_text: NewText,
    answer_ids: Sequence[int],
    num_texts: int,
    generator: torch.Generator,
    blocks: Sequence[int] = (),
) -> Iterator[Sample]:
    """Draw texts without end, a batch side by side; a text that is done makes room for the next at once.

    Args:
        target: What is sampled.
        new_text: Gives beginnings.
        answer_ids: What stands between a message of the user and its answer.
        num_texts: Texts side by side.
        generator: Of the draws.
        blocks: Layers after which states are kept.
    """
    network = StepNetwork(target, target.parameters, num_texts, MAX_TOKENS, blocks)
    texts = [new_text() for _ in range(num_texts)]
    while True:
        ids = torch.tensor([text.tokens[text.at] for text in texts])
        hidden = network.step(ids, torch.tensor([text.at for text in texts]))
        logits = network.head(hidden)
        best = torch.log_softmax(logits, -1).topk(min(BEST_STORED, logits.shape[-1]), -1)
        drawn = draw_by_best(logits, *best, torch.tensor([text.draws_at for text in texts]), generator)
        _keep_rows(texts, *best, hidden, network.kept)
        for slot, (text, token) in enumerate(zip(texts, drawn.tolist(), strict=True)):
            text.at += 1
            if text.at < len(text.tokens):
                continue
            text.tokens.append(token)
            if text.writes_prompt and (token == target.eos_id or text.is_full):
                _begin_answer(text, answer_ids)
            elif token == target.eos_id or text.is_full:
                if len(text.rows) >= MIN_ROWS:
                    yield _finished(text)
                texts[slot] = _next_in_place(text, new_text())


def _next_in_place(before: Text, text: Text) -> Text:
    """A new text in the place of another: what both begin with need not be fed again."""
    if text.tokens[: text.start] == before.tokens[: text.start]:
        text.at = text.start
    return text


def draw_by_best(
    logits: torch.Tensor,
    log_probs: torch.Tensor,
    ids: torch.Tensor,
    temperatures: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """One token of every row at its temperature, as :func:`draw`: nearly always one of the best, without the others.

    Args:
        logits: [rows, vocab_size].
        log_probs: Of the best tokens at temperature 1, [rows, best].
        ids: The best tokens, [rows, best].
        temperatures: [rows].
        generator: Of the draws.
    """
    scaled = log_probs / temperatures[:, None]
    warm = (temperatures != 1).nonzero()[:, 0]
    # At temperature 1 the weights of all tokens sum to one; at another the logits tell what they sum to.
    shift = logits[warm, ids[warm, 0]] - log_probs[warm, 0]
    totals = torch.zeros(len(logits))
    totals[warm] = torch.logsumexp(logits[warm] / temperatures[warm, None], -1) - shift / temperatures[warm]
    sums = (scaled - totals[:, None]).exp().cumsum(-1)
    place = torch.searchsorted(sums, torch.rand(len(logits), 1, generator=generator))
    drawn = ids.gather(1, place.clamp(max=ids.shape[1] - 1))[:, 0]
    rest = (place[:, 0] == ids.shape[1]).nonzero()[:, 0]
    if len(rest) and ids.shape[1] < logits.shape[1]:
        others = logits[rest].scatter(1, ids[rest], -torch.inf)
        drawn[rest] = draw(others, temperatures[rest], generator)
    return drawn


def draw(logits: torch.Tensor, temperatures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One token of every row at its temperature, by inversion."""
    weights = torch.softmax(logits / temperatures[:, None], -1)
    uniform = torch.rand(len(logits), 1, generator=generator)
    size = _BLOCK if logits.shape[-1] % _BLOCK == 0 else logits.shape[-1]
    blocks = weights.view(len(logits), -1, size)
    # First the block of tokens that it lies in, then the token: running sums of all tokens take several times as long.
    sums = blocks.sum(-1).cumsum(-1)
    block, rest = _found(sums, uniform * sums[:, -1:])
    own = blocks[torch.arange(len(logits)), block].cumsum(-1)
    token, _ = _found(own, torch.minimum(rest, own[:, -1:]))
    return block * size + token


def _found(sums: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a value falls between running sums, and by how much it is beyond the one before. [rows], [rows, 1]."""
    place = torch.searchsorted(sums, value).clamp(max=sums.shape[-1] - 1)
    before = torch.where(place > 0, sums.gather(1, (place - 1).clamp(min=0)), torch.zeros(()))
    return place[:, 0], value - before


def _keep_rows(
    texts: Sequence[Text], log_probs: torch.Tensor, ids: torch.Tensor, hidden: torch.Tensor, kept: list[torch.Tensor]
) -> None:
    need = [slot for slot, text in enumerate(texts) if text.has_row]
    between = torch.stack(kept, 1) if kept else hidden.new_zeros(len(hidden), 0, hidden.shape[1])
    parts = (ids[need].numpy().astype(np.uint16), *(part[need].half().numpy() for part in (log_probs, hidden, between)))
    for slot, *row in zip(need, *parts, strict=True):
        texts[slot].rows.append(tuple(row))


def _begin_answer(text: Text, answer_ids: Sequence[int]) -> None:
    """Turn to the answer: what leads to it begins with the end of the message, also where another token was drawn."""
    text.tokens[-1:] = answer_ids
    text.writes_prompt = False
    text.answer = len(text.tokens) - 1


def _finished(text: Text) -> Sample:
    ids, values, hidden, between = (np.stack(parts) for parts in zip(*text.rows, strict=True))
    # The last token has no row after it: an empty one.
    ids, hidden, between = (np.concatenate([part, np.zeros_like(part[:1])]) for part in (ids, hidden, between))
    values = np.concatenate([values, np.full_like(values[:1], EMPTY_LOGP)])
    assert text.answer is not None
    tokens = np.array(text.tokens, np.uint16)
    return Sample(tokens, text.start, ids, values, hidden, between, text.temperature, text.kind, text.answer)


@torch.no_grad()
def sample_files(
    target: Target,
    encode: Callable[[str], list[int]],
    folder: Path,
    seed: int,
    num_files: int,
    blocks: Sequence[int] = (),
) -> None:
    """Add files of samples to a folder; a run that is repeated goes on with other draws.

    Args:
        target: What is sampled.
        encode: Text to token ids.
        folder: Where ``sSEED-NUMBER.npz`` are written.
        seed: Of all draws.
        num_files: How many files to add.
        blocks: Layers after which states are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = len(list(folder.glob(f"s{seed}-*.npz")))
    maker = PromptMaker(encode, random.Random(f"{seed}/{first}"))
    generator = torch.Generator().manual_seed(seed * 1000 + first)
    texts = sample_texts(in_bfloat16(target), maker, maker.answer_ids, TEXTS_AT_ONCE, generator, blocks)
    for number in range(first, first + num_files):
        write_samples(folder / f"s{seed}-{number:04d}.npz", [next(texts) for _ in range(TEXTS_PER_FILE)])
