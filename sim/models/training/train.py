"""The training loop for both models: cross-entropy for the target, the target's own rows for the draft."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from sim.models.training.batches import BlockSampler
from sim.models.training.optimiser import build_optimisers

WARM_UP_STEPS = 40
DECAY_SHARE = 0.5
"""The learning rate is constant, then falls linearly to zero over this last share of the steps."""
TIMED_STEPS = 30
CHECKPOINT_EVERY_S = 120.0
LOG_EVERY_STEPS = 20

LossFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(inputs [batch, window], labels [batch, window], logits [batch, window, vocabulary]) -> mean loss."""


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps, or minutes of compute time, which the first steps turn into steps.

    Given in steps, training is deterministic for a seed; a run given minutes records the steps that it came to.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError(f"budget: got minutes={self.minutes}, steps={self.steps}; valid: exactly one of them")
        if (self.minutes if self.steps is None else self.steps) <= 0:  # type: ignore[operator]
            raise ValueError(f"budget: got minutes={self.minutes}, steps={self.steps}; valid: above zero")

    def total_steps(self, steps_done: int, seconds_used: float) -> int | None:
        """Steps in all; None while too few are done to estimate it."""
        if self.steps is not None:
            return self.steps
        assert self.minutes is not None
        if steps_done < TIMED_STEPS:
            return None
        return max(int(self.minutes * 60 * steps_done / seconds_used), steps_done)


@dataclass
class Progress:
    """Where a run stands; written beside its weights."""

    step: int = 0
    total_steps: int | None = None
    seconds: float = 0.0
    tokens: int = 0
    last_loss: float = float("nan")


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one, else the CPU; any other name is taken as torch's."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 matrix products run in hardware; elsewhere emulating them would be slower than float32."""
    if device.type == "cuda":
        value: bool = torch.cuda.is_bf16_supported()
        return value
    flags = torch.backends.cpu.get_cpu_capability()
    cpuinfo = Path("/proc/cpuinfo")
    return flags == "AVX512" and cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text()


def cross_entropy(_inputs: torch.Tensor, labels: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood of the next token."""
    return functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def distillation_from(target: Any) -> LossFunction:
    """Loss of a draft against `target`: the mean of KL(p || q) plus a constant, with p the target's rows."""

    def loss(inputs: torch.Tensor, _labels: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            rows = functional.softmax(target(input_ids=inputs, use_cache=False).logits.float(), dim=-1)
        return functional.cross_entropy(logits.flatten(0, 1).float(), rows.flatten(0, 1))

    return loss


def rate_share(step: int, total_steps: int | None) -> float:
    """Learning rate at `step` relative to its peak: warm-up, constant, then linear to zero."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    if total_steps is None:
        return warm
    return min(warm, (total_steps - step) / max(DECAY_SHARE * total_steps, 1.0))


def fit(
    model: Any,
    sampler: BlockSampler,
    loss_function: LossFunction,
    budget: Budget,
    folder: Path,
    device: torch.device,
    muon_lr: float = 0.02,
    adam_lr: float = 3e-3,
) -> Progress:
    """Train `model` in place within `budget`; resume from `folder` if it holds a checkpoint. Returns where it ended."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(device).train()
    optimisers = build_optimisers(model, muon_lr, adam_lr)
    peaks = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    progress = _resume(folder / "checkpoint.pt", model, optimisers)
    if budget.steps is not None:
        progress.total_steps = budget.steps
    use_bfloat16 = has_fast_bfloat16(device)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    last_saved = time.monotonic()
    while progress.total_steps is None or progress.step < progress.total_steps:
        began = clock()
        for optimiser, peak in zip(optimisers, peaks, strict=True):
            for group, lr in zip(optimiser.param_groups, peak, strict=True):
                group["lr"] = lr * rate_share(progress.step, progress.total_steps)
        inputs, labels = (torch.from_numpy(ids).to(device) for ids in sampler.inputs_and_labels(progress.step))
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16):
            logits = model(input_ids=inputs, use_cache=False).logits
            loss = loss_function(inputs, labels, logits)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        progress.last_loss = float(loss.detach())
        progress.step += 1
        progress.tokens += sampler.tokens_per_step
        progress.seconds += clock() - began
        if progress.total_steps is None:
            progress.total_steps = budget.total_steps(progress.step, progress.seconds)
        if progress.step % LOG_EVERY_STEPS == 0:
            _log(folder, progress)
        if time.monotonic() - last_saved > CHECKPOINT_EVERY_S:
            _save(folder / "checkpoint.pt", model, optimisers, progress)
            last_saved = time.monotonic()
    _save(folder / "checkpoint.pt", model, optimisers, progress)
    model.eval()
    return progress


def _log(folder: Path, progress: Progress) -> None:
    line = {**vars(progress), "seconds": round(progress.seconds, 1), "last_loss": round(progress.last_loss, 4)}
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _save(path: Path, model: Any, optimisers: list[torch.optim.Optimizer], progress: Progress) -> None:
    partial = path.with_suffix(".partial")
    state = {
        "model": model.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "progress": vars(progress),
    }
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path, model: Any, optimisers: list[torch.optim.Optimizer]) -> Progress:
    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=True, map_location=next(model.parameters()).device)
    model.load_state_dict(state["model"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return Progress(**state["progress"])
