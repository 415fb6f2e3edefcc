"""Times a model's real forward passes on this host over a designed grid of batch sizes, drafts and texts."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sim.compute.base import WorkSize
from sim.compute.calibration import Calibration, Host, fit
from sim.models.interface import ForwardPass, LanguageModel

Clock = Callable[[], float]

DEFAULT_BUDGET_S = 2.0
_MIN_REPEATS = 3
_MAX_REPEATS = 15
# Largest batch and longest text of the grid, from full size to what a model far too large for this host still allows.
_GRID_SIZES = ((16, 512), (8, 256), (4, 128), (2, 64))


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One batch to time: equal forwards over texts of equal length.

    Attributes:
        batch: Forwards in the batch.
        new_tokens: Tokens that each feeds.
        context_tokens: Length of each text, the new tokens included.
    """

    batch: int
    new_tokens: int
    context_tokens: int

    @property
    def is_prefill(self) -> bool:
        """Nothing is cached beforehand and one row is wanted, as when a prompt arrives; else a draft is verified."""
        return self.new_tokens == self.context_tokens


def make_grid(max_context: int, largest_batch: int = 16, longest_context: int = 512) -> list[GridPoint]:
    """Points that determine the coefficients: new tokens 1..32, batch 1..16, texts 32..512, within limits."""
    longest = min(longest_context, max_context)
    short, middle, usual = max(2, longest // 16), max(2, longest // 8), max(2, longest // 2)
    wanted = [
        *((1, new, middle) for new in (1, 2, 4, 8, 16, 32)),
        *((1, new, usual) for new in (1, 5, 16)),
        *((1, new, longest) for new in (1, 5)),
        *((2, new, middle) for new in (1, 5)),
        (2, 5, usual),
        *((4, new, middle) for new in (1, 5, 16)),
        *((8, new, middle) for new in (1, 5)),
        *((16, new, short) for new in (1, 5)),
        *((1, new, new) for new in (middle // 2, middle, 3 * middle)),
    ]
    points = [
        GridPoint(batch, new, context)
        for batch, new, context in wanted
        if batch <= largest_batch and (new < context or batch == 1) and 1 <= new <= context <= max_context
    ]
    return list(dict.fromkeys(points))


def measure_calibration(
    model: LanguageModel, threads: int = 1, budget_s: float = DEFAULT_BUDGET_S, clock: Clock = time.perf_counter
) -> Calibration:
    """Time a model on this host and fit its coefficients.

    Every point is timed in turn, round after round, so that a slow spell of the host touches one repeat of many points
    and not many repeats of one; the fit is to each point's median.

    Args:
        model: The model; its own sessions are left alone.
        threads: PyTorch threads to run on.
        budget_s: Time after which no further round starts, once three are done [s]. The grid shrinks for models so
            slow that three rounds over it would take much longer.
        clock: Where the time comes from [s].
    """
    with torch_threads(threads):
        timer = _Timer(model, clock)
        try:
            grid = _affordable_grid(timer, budget_s)
            times = _time_rounds(timer, grid, budget_s)
        finally:
            timer.close()
    batches = [[timer.size(point)] * point.batch for point in grid]
    result = fit(batches, [median(repeats) for repeats in times])
    return Calibration(
        model_name=model.name,
        model_fingerprint=model.fingerprint,
        host=describe_host(threads),
        coefficients=result.coefficients,
        median_relative_error=result.median_relative_error,
        max_relative_error=result.max_relative_error,
        num_points=len(grid),
        num_repeats=len(times[0]),
        measured_on=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


class _Timer:
    """Runs grid points on a model under sessions of its own."""

    def __init__(self, model: LanguageModel, clock: Clock) -> None:
        self.model = model
        self.clock = clock
        self._sessions: set[tuple[str, int, int]] = set()

    def run(self, point: GridPoint) -> float:
        """Run one point; seconds by the clock. The first run of a text also feeds what is not cached yet."""
        batch = [self._forward(point, slot) for slot in range(point.batch)]
        if point.is_prefill:
            for forward in batch:
                self.model.close(forward.session)
        start = self.clock()
        self.model.forward(batch)
        return self.clock() - start

    def size(self, point: GridPoint) -> WorkSize:
        """The size of each forward of a point, once its text is cached."""
        rows = 1 if point.is_prefill else point.new_tokens
        return WorkSize(point.new_tokens, point.context_tokens, rows)

    def close(self) -> None:
        """Free the caches."""
        for session in self._sessions:
            self.model.close(session)

    def _forward(self, point: GridPoint, slot: int) -> ForwardPass:
        # Wanting row 0 makes the model feed the context's last token again, so the block is one token shorter.
        session = ("calibration prefill" if point.is_prefill else "calibration", point.context_tokens, slot)
        self._sessions.add(session)
        text = [(7919 * position + 31 * slot) % self.model.vocab_size for position in range(point.context_tokens)]
        if point.is_prefill:
            return ForwardPass(session, text)
        split = point.context_tokens - point.new_tokens + 1
        return ForwardPass(session, text[:split], tuple(text[split:]))


def _affordable_grid(timer: _Timer, budget_s: float) -> list[GridPoint]:
    """The largest grid whose caches fill and whose first rounds finish in about the budget."""
    per_forward, per_token = _probe(timer)
    grid: list[GridPoint] = []
    for largest_batch, longest_context in _GRID_SIZES:
        grid = make_grid(timer.model.max_context, largest_batch, longest_context)
        texts = {(point.context_tokens, slot) for point in grid for slot in range(point.batch)}
        tokens = sum(length for length, _ in texts)
        tokens += (_MIN_REPEATS + 1) * sum(point.batch * point.new_tokens for point in grid)
        if per_forward * len(grid) * (_MIN_REPEATS + 1) + per_token * tokens <= 1.5 * budget_s:
            break
    return grid


def _probe(timer: _Timer) -> tuple[float, float]:
    """Rough seconds per forward and per further token, from a short and a longer prefill; the first run warms up."""
    length = min(33, timer.model.max_context)
    short, long = (min([timer.run(GridPoint(1, new, new)) for _ in range(3)][1:]) for new in (1, length))
    return short, max(0.0, long - short) / max(1, length - 1)


def _time_rounds(timer: _Timer, grid: list[GridPoint], budget_s: float) -> list[list[float]]:
    """Seconds of each point, as many times as the budget allows: [num_points][num_repeats]."""
    begin = timer.clock()
    for point in grid:
        timer.run(point)
    times: list[list[float]] = [[] for _ in grid]
    for repeat in range(_MAX_REPEATS):
        if repeat >= _MIN_REPEATS and timer.clock() - begin >= budget_s:
            break
        for point, repeats in zip(grid, times, strict=True):
            repeats.append(timer.run(point))
    return times


def describe_host(threads: int) -> Host:
    """This host, as far as a timing depends on it."""
    try:
        torch_version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch_version = "none"
    return Host(_cpu_name(), torch_version, threads)


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown"


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run on a number of PyTorch threads, if PyTorch is in use at all, and set the old number again."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
