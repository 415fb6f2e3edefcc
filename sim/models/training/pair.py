"""The folder that a training run produces: both models, their tokenizer, the prompts, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sim.models.training.evaluate import (
    BATCH_WINDOWS,
    MIN_CONTEXT_TOKENS,
    agreement,
    as_figures,
    held_out_windows,
    perplexity,
    play_rounds,
)
from sim.models.training.tokenizer import as_transformers_tokenizer

ROLES = ("draft", "target")
PROMPTS_FILE = "prompts.jsonl"
TEMPERATURES = (1.0, 0.7)
SAMPLE_EVERY = 3
"""Every third prompt is in the sample on which a test recomputes the card's figures; all kinds are among them."""
ROUND_PROMPTS, ROUND_NEW_TOKENS, ROUND_DRAFT_LENGTH = 12, 40, 4


@dataclass(frozen=True)
class LoadedPair:
    """Both models in float32 on the CPU, and their tokenizer."""

    draft: Any
    target: Any
    tokenizer: Any


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write one model in bfloat16 with its tokenizer, in the layout of `save_pretrained`. Changes `model` in place."""
    model.cpu().to(torch.bfloat16).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    as_transformers_tokenizer(tokenizer).save_pretrained(folder)


def save_prompts(prompts: Iterable[dict[str, str]], path: Path) -> None:
    """Write prompts as JSON lines."""
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts), encoding="utf-8")


def load_prompts(path: Path) -> list[dict[str, str]]:
    """Read prompts written by `save_prompts`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load_pair(folder: Path) -> LoadedPair:
    """Load a pair as any user would: from its files, without network, in float32."""
    from transformers import AutoTokenizer

    draft, target = (load_model(folder / role) for role in ROLES)
    return LoadedPair(draft, target, AutoTokenizer.from_pretrained(folder / "target", local_files_only=True))


def load_model(folder: Path) -> Any:
    """One saved model in float32, without network."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()


def total_bytes(folder: Path) -> int:
    """Bytes of every file of both models, tokenizers included."""
    return sum(path.stat().st_size for role in ROLES for path in (folder / role).rglob("*") if path.is_file())


def prompt_sequences(pair: LoadedPair, prompts: Iterable[dict[str, str]]) -> list[torch.Tensor]:
    """The prompts' token ids, one tensor [1, length] each."""
    return [torch.tensor([pair.tokenizer(prompt["text"])["input_ids"]]) for prompt in prompts]


def measure_on_prompts(pair: LoadedPair, prompts: list[dict[str, str]]) -> dict[str, Any]:
    """Perplexities and acceptance on the text of every third prompt: small enough to be recomputed in a test."""
    sequences = prompt_sequences(pair, prompts[::SAMPLE_EVERY])
    return {
        "target_perplexity": round(perplexity(pair.target, sequences), 3),
        "draft_perplexity": round(perplexity(pair.draft, sequences), 3),
        "acceptance_t1": as_figures(agreement(pair.draft, pair.target, sequences, 1.0, min_context=8)),
    }


def measure(folder: Path, held_out: npt.NDArray[np.uint16], seed: int) -> dict[str, Any]:
    """All figures of a saved pair: on held-out windows, on its prompts, and in real draft/verify rounds."""
    pair = load_pair(folder)
    prompts = load_prompts(folder / PROMPTS_FILE)
    windows = list(held_out_windows(held_out).split(BATCH_WINDOWS))
    starts = [ids[0].tolist() for ids in prompt_sequences(pair, prompts[:ROUND_PROMPTS])]
    figures: dict[str, Any] = {
        "held_out": {
            "target_perplexity": round(perplexity(pair.target, windows), 2),
            "draft_perplexity": round(perplexity(pair.draft, windows), 2),
        },
        "on_policy": {},
        "prompts": measure_on_prompts(pair, prompts),
        "sizes": {role: _sizes(getattr(pair, role), folder / role) for role in ROLES},
        "total_bytes": total_bytes(folder),
    }
    for temperature in TEMPERATURES:
        key = f"t{temperature:g}"
        agreed = agreement(pair.draft, pair.target, windows, temperature, MIN_CONTEXT_TOKENS)
        figures["held_out"][f"acceptance_{key}"] = as_figures(agreed)
        played = play_rounds(
            pair.draft, pair.target, starts, temperature, ROUND_DRAFT_LENGTH, ROUND_NEW_TOKENS, seed=seed
        )
        figures["on_policy"][key] = as_figures(played)
    return figures


def _sizes(model: Any, folder: Path) -> dict[str, int]:
    embedding = model.get_input_embeddings().weight.numel()
    total = sum(parameter.numel() for parameter in model.parameters())
    return {
        "parameters": total,
        "embedding_parameters": embedding,
        "weights_bytes": (folder / "model.safetensors").stat().st_size,
    }
