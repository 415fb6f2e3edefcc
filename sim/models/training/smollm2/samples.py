"""Samples of the target in files: tokens, and from the user's message on its best log-probabilities and hidden states.

A file holds, for n texts of lengths L_i whose rows begin at s_i: ``lengths`` [n], ``starts`` [n], ``answers`` [n],
``temps`` [n], ``kinds`` [n], ``tokens`` [sum L_i], and for the places s_i to L_i - 1 of all texts ``idx`` and ``lp``
[rows, 128] (best first, at temperature 1), ``h`` [rows, hidden_size] and ``between`` [rows, blocks - 1, hidden_size],
the states at the ends of the target's blocks. The row of a place is of the token after it; a text that has ended has an
empty last row (``lp`` of EMPTY_LOGP).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

BEST_STORED = BEST_TRAINED = 128
EMPTY_LOGP = -20.0
MESSAGE_WEIGHT = 0.3
"""Of a row of the user's message: a draft is asked for answers, and learns the language from both."""
_POOL = 512  # texts among which those of like length share a batch


@dataclass(frozen=True)
class Sample:
    """One text of the target.

    Attributes:
        tokens: [length].
        start: First place that has a row.
        ids: Best tokens of every row, [rows, best].
        log_probs: Theirs.
        hidden: State behind every row, [rows, hidden_size].
        between: States at the ends of blocks, [rows, blocks - 1, hidden_size]; no block of files that have none.
        temperature: At which it was drawn.
        kind: Of its prompt.
        answer: Last place before the answer: rows from there on are of the answer, those before of the user's message.
    """

    tokens: npt.NDArray[np.uint16]
    start: int
    ids: npt.NDArray[np.uint16]
    log_probs: npt.NDArray[np.float16]
    hidden: npt.NDArray[np.float16]
    between: npt.NDArray[np.float16]
    temperature: float
    kind: str
    answer: int

    @property
    def num_rows(self) -> int:
        """Places that have a row."""
        return len(self.ids)


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write texts to a file; every place from a text's start on must have a row."""

    def joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        return np.concatenate(parts)

    scratch = path.with_name(f"writing-{path.name}")
    np.savez(
        scratch,
        lengths=np.array([len(one.tokens) for one in samples]),
        starts=np.array([one.start for one in samples]),
        answers=np.array([one.answer for one in samples]),
        temps=np.array([one.temperature for one in samples], np.float32),
        kinds=np.array([one.kind for one in samples]),
        tokens=joined([one.tokens for one in samples]),
        idx=joined([one.ids for one in samples]),
        lp=joined([one.log_probs for one in samples]),
        h=joined([one.hidden for one in samples]),
        between=joined([one.between for one in samples]),
    )
    scratch.rename(path)


def read_samples(path: Path, best: int = BEST_TRAINED, between: bool = True) -> list[Sample]:
    """Texts of a file with their rows cut to the best few tokens; those of fewer than two rows are left out.

    Args:
        path: The file.
        best: Tokens of a row.
        between: Whether states at the ends of blocks are read, which are three quarters of a file.
    """
    with np.load(path) as file:
        content = {name: file[name] for name in file.files if between or name != "between"}
    answers = content.get("answers", content["starts"])  # older files have rows of answers only
    states = content.get("between", np.zeros((len(content["h"]), 0, content["h"].shape[1]), np.float16))
    ends = np.cumsum(content["lengths"])
    row_ends = np.cumsum(content["lengths"] - content["starts"])
    found = []
    for index, (end, row_end) in enumerate(zip(ends, row_ends, strict=True)):
        start, length = int(content["starts"][index]), int(content["lengths"][index])
        first = row_end - (length - start)
        last = row_end - int(content["lp"][row_end - 1].max() <= EMPTY_LOGP + 1)
        if last - first >= 2:
            found.append(
                Sample(
                    content["tokens"][end - length : end],
                    start,
                    content["idx"][first:last, :best],
                    content["lp"][first:last, :best],
                    content["h"][first:last],
                    states[first:last],
                    float(content["temps"][index]),
                    str(content["kinds"][index]),
                    int(answers[index]),
                )
            )
    return found


class SampleStore:
    """All files of a folder; new ones are taken up while training goes on.

    Args:
        folder: Of ``*.npz`` files.
        held_out: Names of files that are never trained on.
        max_rows: Of texts that are kept for training, the newest ones; None for all. A million take 6 GB.
        between: Whether they are kept with the states at the ends of blocks; without, a million take 2 GB.
    """

    def __init__(
        self, folder: Path, held_out: Sequence[str] = (), max_rows: int | None = None, between: bool = True
    ) -> None:
        self.folder, self.held_out_names, self._max_rows = folder, frozenset(held_out), max_rows
        self._between = between
        self.train: list[Sample] = []
        self.held_out: list[Sample] = []
        self._seen: set[str] = set()

    def refresh(self) -> None:
        """Read files that were not there before, the oldest first."""
        paths = [path for path in self.folder.glob("s*.npz") if path.name not in self._seen]
        for path in sorted(paths, key=lambda one: (one.stat().st_mtime_ns, one.name)):
            self._seen.add(path.name)
            (self.held_out if path.name in self.held_out_names else self.train).extend(
                read_samples(path, between=self._between)
            )
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        rows = sum(one.num_rows for one in self.train)
        first = 0
        while self._max_rows is not None and rows > self._max_rows:
            rows -= self.train[first].num_rows
            first += 1
        del self.train[:first]

    def batches(self, draws: random.Random, tokens_per_step: int) -> Iterator[list[Sample]]:
        """One epoch: texts of like length together, of at most so many tokens with their padding."""
        order = list(range(len(self.train)))
        draws.shuffle(order)
        for first in range(0, len(order), _POOL):
            batches: list[list[Sample]] = [[]]
            for sample in sorted((self.train[i] for i in order[first : first + _POOL]), key=lambda s: len(s.tokens)):
                if batches[-1] and (len(batches[-1]) + 1) * len(sample.tokens) > tokens_per_step:
                    batches.append([])
                batches[-1].append(sample)
            draws.shuffle(batches)
            yield from batches


@dataclass(frozen=True)
class Rows:
    """All rows of a batch.

    Attributes:
        ids: Texts, padded, [batch, length].
        places: Index of every row's place in ``ids`` flattened, [rows].
        best: Best tokens, [rows, best].
        log_probs: Theirs.
        hidden: The target's states, [rows, hidden_size].
        between: Those at the ends of blocks, [rows, blocks - 1, hidden_size].
        weights: Of the rows in losses, mean 1: those of answers count fully. [rows].
    """

    ids: torch.Tensor
    places: torch.Tensor
    best: torch.Tensor
    log_probs: torch.Tensor
    hidden: torch.Tensor
    between: torch.Tensor
    weights: torch.Tensor


def as_rows(batch: Sequence[Sample], pad_id: int) -> Rows:
    """Put the texts of a batch side by side."""
    length = max(len(one.tokens) for one in batch)
    ids = np.full((len(batch), length), pad_id, np.int64)
    for row, one in enumerate(batch):
        ids[row, : len(one.tokens)] = one.tokens
    places = [row * length + one.start + np.arange(one.num_rows) for row, one in enumerate(batch)]
    of_answers = np.concatenate([one.start + np.arange(one.num_rows) >= one.answer for one in batch])
    weights = np.where(of_answers, 1.0, MESSAGE_WEIGHT)
    return Rows(
        torch.from_numpy(ids),
        torch.from_numpy(np.concatenate(places)),
        torch.from_numpy(np.concatenate([one.ids for one in batch]).astype(np.int64)),
        torch.from_numpy(np.concatenate([one.log_probs for one in batch])).float(),
        torch.from_numpy(np.concatenate([one.hidden for one in batch])).float(),
        torch.from_numpy(np.concatenate([one.between for one in batch])).float(),
        torch.from_numpy(weights / weights.mean()).float(),
    )
