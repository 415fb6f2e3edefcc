"""A user's own timings of steps, read and fitted: the roofline's smooth knee with coefficients of their own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channels.text_files import TextFileError, csv_cells, parse_number, read_text
from sim.compute.base import WorkSize
from sim.core.errors import InputError

COLUMNS = ("new_tokens", "context_tokens", "batch", "ms")
MAX_ROWS = 10_000
FOLDS = 5
_FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timing:
    """One measured step of equal sequences.

    Attributes:
        line: Where it stands in its file.
        new_tokens: Tokens that each sequence fed.
        context_tokens: Length of the text that they attended to, themselves included.
        batch: Sequences.
        seconds: What the step took.
    """

    line: int
    new_tokens: int
    context_tokens: int
    batch: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TableCoefficients:
    """seconds = sqrt((token N + pair P)^2 + (weights + context C)^2) + sequence n + step.

    N new tokens in all, P pairs of a new token and a token of its text, C tokens of all texts, n sequences.

    Attributes:
        token_s: Arithmetic of each new token.
        pair_s: Arithmetic of each pair.
        weights_s: Reading the weights once.
        context_s: Reading keys and values of each token.
        sequence_s: Each sequence.
        step_s: Each step.
    """

    token_s: float
    pair_s: float
    weights_s: float
    context_s: float
    sequence_s: float
    step_s: float

    def seconds(self, batch: Sequence[WorkSize]) -> float:
        """Time of one step [s]."""
        tokens = pairs = context = 0
        for work in batch:
            tokens += work.new_tokens
            pairs += work.new_tokens * work.context_tokens
            context += work.context_tokens
        arithmetic = self.token_s * tokens + self.pair_s * pairs
        memory = self.weights_s + self.context_s * context
        return math.hypot(arithmetic, memory) + self.sequence_s * len(batch) + self.step_s

    def work_of(self, batch: Sequence[WorkSize]) -> list[float]:
        """Seconds of a step by item; what belongs to no item follows the tokens."""
        tokens = max(1, sum(work.new_tokens for work in batch))
        common_s = (self.weights_s + self.step_s) / tokens
        return [
            work.new_tokens * (self.token_s + self.pair_s * work.context_tokens + common_s)
            + self.context_s * work.context_tokens
            + self.sequence_s
            for work in batch
        ]


@dataclass(frozen=True, slots=True)
class TableFit:
    """A fit and what it leaves.

    Attributes:
        coefficients: The fit.
        num_rows: Timings.
        mean_relative_error: Mean over the rows of |fitted - measured| / measured.
        max_relative_error: The largest of them.
        worst_line: Line of the row that has it.
        cross_validated_error: Mean error on rows that a fit to the others had not seen; None for too few rows.
        content_hash: Of the timings.
    """

    coefficients: TableCoefficients
    num_rows: int
    mean_relative_error: float
    max_relative_error: float
    worst_line: int
    cross_validated_error: float | None
    content_hash: str


def fit_table(path: str | Path) -> TableFit:
    """Read a file of timings and fit them; the same contents are fitted once.

    Raises:
        InputError: The file cannot be read, or a row is wrong; the message has file and line.
    """
    try:
        return _fit_text(read_text(Path(path).expanduser()), str(path))
    except TextFileError as error:
        raise InputError(str(error)) from error


@lru_cache(maxsize=64)
def _fit_text(text: str, name: str) -> TableFit:
    return fit_timings(read_timings(text, name))


def read_timings(text: str, name: str) -> list[Timing]:
    """Timings of a CSV text with the columns ``new_tokens``, ``context_tokens``, ``batch`` and ``ms``.

    Raises:
        InputError: The message has ``name`` and line.
        TextFileError: A line cannot be split into cells.
    """
    first, *rest = text.split("\n")
    columns = [column.lower() for column in csv_cells(first.removesuffix("\r"), name, 1)]
    if sorted(columns) != sorted(COLUMNS):
        raise InputError(f"{name}:1: expected the columns {', '.join(COLUMNS)}, got {', '.join(columns) or 'nothing'}")
    timings: list[Timing] = []
    for line, row in enumerate(rest, start=2):
        cells = csv_cells(row.removesuffix("\r"), name, line)
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise InputError(f"{name}:{line}: expected {len(columns)} values, got {len(cells)}")
        timings.append(_timing(dict(zip(columns, cells, strict=True)), f"{name}:{line}", line))
        if len(timings) > MAX_ROWS:
            raise InputError(f"{name}:{line}: more than {MAX_ROWS} timings")
    if len(timings) < 2:
        raise InputError(f"{name}: a fit needs two timings or more, got {len(timings)}")
    return timings


def _timing(row: dict[str, str], where: str, line: int) -> Timing:
    counts = {name: _count(row[name], name, where) for name in COLUMNS[:3]}
    ms = parse_number(row["ms"])
    if not 0 < ms < 1e9:
        raise InputError(f"{where}: ms must be a number above 0, got {row['ms'].strip()!r}")
    if counts["context_tokens"] < counts["new_tokens"]:
        raise InputError(
            f"{where}: context_tokens counts the new tokens, too: {counts['context_tokens']} is less than "
            f"new_tokens {counts['new_tokens']}"
        )
    return Timing(line, counts["new_tokens"], counts["context_tokens"], counts["batch"], ms / 1e3)


def _count(text: str, name: str, where: str) -> int:
    value = parse_number(text)
    if not (1 <= value <= 1e9 and value == int(value)):
        raise InputError(f"{where}: {name} must be a whole number from 1 on, got {text.strip()!r}")
    return int(value)


def fit_timings(timings: Sequence[Timing]) -> TableFit:
    """Fit the relative errors of timings by non-negative least squares through the knee.

    What the timings do not vary is not fitted: without different contexts, say, a context costs nothing.
    """
    work = np.array([[t.new_tokens, t.context_tokens, t.batch] for t in timings], dtype=np.float64)  # [rows, 3]
    seconds = np.array([t.seconds for t in timings])  # [rows]
    coefficients = _solve(work, seconds)
    errors = np.abs(_predict(work, np.array(coefficients)) / seconds - 1.0)
    worst = int(errors.argmax())
    content = repr([(t.new_tokens, t.context_tokens, t.batch, t.seconds) for t in timings])
    return TableFit(
        TableCoefficients(*coefficients),
        len(timings),
        float(errors.mean()),
        float(errors.max()),
        timings[worst].line,
        _cross_validated(work, seconds),
        hashlib.sha256(content.encode()).hexdigest()[:16],
    )


def _predict(work: _FloatArray, x: _FloatArray) -> _FloatArray:
    """Times by the knee: [rows]. ``work`` is [rows, 3], ``x`` in the order of ``TableCoefficients``."""
    new, context, batch = work.T
    arithmetic = x[0] * new * batch + x[1] * new * context * batch
    memory = x[2] + x[3] * context * batch
    times: _FloatArray = np.hypot(arithmetic, memory) + x[4] * batch + x[5]
    return times


def _features(work: _FloatArray) -> _FloatArray:
    """What each coefficient is multiplied by: [rows, 6]."""
    new, context, batch = work.T
    one = np.ones_like(new)
    return np.stack([new * batch, new * context * batch, one, context * batch, batch, one], axis=1)


def _free(work: _FloatArray) -> list[int]:
    """Coefficients that the timings determine, at most one per row; those with the largest effect first."""
    new, context, batch = work.T
    able = [2]
    if np.ptp(new * batch) > 0:
        able.append(0)
    if np.ptp(batch) > 0 and np.ptp(new) > 0:
        able.append(4)
    if np.ptp(context) > 0:
        able.append(3)
    if np.ptp(new * batch) > 0:
        able.append(5)
    if np.ptp(context) > 0 and np.ptp(new) > 0:
        able.append(1)
    return sorted(able[: len(work)])


def _solve(work: _FloatArray, seconds: _FloatArray) -> list[float]:
    """Coefficients in the order of ``TableCoefficients``; the better of two starts, one bound by memory, one linear."""
    from scipy.optimize import least_squares, nnls

    free = _free(work)
    features = _features(work)[:, free] / seconds[:, None]
    scale = np.linalg.norm(features, axis=0)
    linear, _ = nnls(features / scale, np.ones(len(seconds)))

    def residuals(scaled: _FloatArray) -> _FloatArray:
        x = np.zeros(6)
        x[free] = scaled / scale
        return _predict(work, x) / seconds - 1.0

    starts = [linear + 1e-3 * max(1e-9, float(linear.max())), np.full(len(free), 1.0 / len(free))]
    found = [least_squares(residuals, start, bounds=(0.0, np.inf), xtol=1e-12, ftol=1e-12) for start in starts]
    best = min(found, key=lambda result: result.cost)
    x = np.zeros(6)
    x[free] = best.x / scale
    return [float(value) for value in x]


def _cross_validated(work: _FloatArray, seconds: _FloatArray) -> float | None:
    """Mean relative error on every fifth row by a fit to the other four."""
    if len(seconds) < 2 * len(_free(work)) or len(seconds) < FOLDS:
        return None
    errors = []
    for fold in range(FOLDS):
        held = np.arange(len(seconds)) % FOLDS == fold
        x = np.array(_solve(work[~held], seconds[~held]))
        errors.append(np.abs(_predict(work[held], x) / seconds[held] - 1.0))
    return float(np.concatenate(errors).mean())
