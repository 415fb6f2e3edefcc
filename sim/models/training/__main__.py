"""Trains the embedded pair from nothing: `python -m sim.models.training --out DIR`."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sim.models.training.architecture import DRAFT, TARGET, Architecture, start_embedding_from
from sim.models.training.batches import BlockSampler
from sim.models.training.card import CARD_FILE, hardware_name, write_card
from sim.models.training.corpus import Corpus, load_corpus
from sim.models.training.pair import PROMPTS_FILE, measure, save_model, save_prompts
from sim.models.training.prompts import pick_prompts
from sim.models.training.tokenizer import encode_stream, load_tokenizer, train_tokenizer
from sim.models.training.train import (
    Budget,
    Progress,
    cross_entropy,
    distillation_from,
    fit,
    has_fast_bfloat16,
    pick_device,
)

BLOCKS_PER_STEP = 4
DEFAULT_MINUTES_TARGET, DEFAULT_MINUTES_DRAFT = 25.0, 6.0


@dataclass(frozen=True)
class Text:
    """Corpus, tokenizer, and both streams of token ids."""

    corpus: Corpus
    tokenizer: Any
    train: npt.NDArray[np.uint16]
    held_out: npt.NDArray[np.uint16]


def say(message: str) -> None:
    """Tell the person at the terminal where the run stands."""
    print(message, file=sys.stderr, flush=True)


def prepare_text(work: Path, root: Path | None = None) -> Text:
    """Load the corpus and make tokenizer and streams, or take them from `work` if they are of the same corpus."""
    work.mkdir(parents=True, exist_ok=True)
    corpus = load_corpus(root)
    stamp = work / "corpus.sha256"
    if not stamp.exists() or stamp.read_text() != corpus.sha256:
        tokenizer = train_tokenizer(corpus.train)
        tokenizer.save(str(work / "tokenizer.json"))
        np.save(work / "train.npy", encode_stream(tokenizer, corpus.train))
        np.save(work / "held_out.npy", encode_stream(tokenizer, corpus.held_out))
        stamp.write_text(corpus.sha256)
    tokenizer = load_tokenizer(work / "tokenizer.json")
    return Text(corpus, tokenizer, np.load(work / "train.npy"), np.load(work / "held_out.npy"))


def train_pair(
    text: Text, work: Path, out: Path, target_budget: Budget, draft_budget: Budget, device: torch.device, seed: int
) -> dict[str, Progress]:
    """Train the target, distil the draft from it, save both under `out`. Returns where each run ended."""
    target = TARGET.build(seed)
    target_sampler = BlockSampler(text.train, BLOCKS_PER_STEP, seed)
    say("training the target")
    target_progress = fit(target, target_sampler, cross_entropy, target_budget, work / "target", device)
    draft = DRAFT.build(seed + 1)
    start_embedding_from(draft, target)
    draft_sampler = BlockSampler(text.train, BLOCKS_PER_STEP, seed + 1)
    say("distilling the draft")
    target.requires_grad_(False)
    draft_progress = fit(draft, draft_sampler, distillation_from(target), draft_budget, work / "draft", device)
    save_model(target, text.tokenizer, out / "target")
    save_model(draft, text.tokenizer, out / "draft")
    return {"target": target_progress, "draft": draft_progress}


def training_record(progress: dict[str, Progress], device: torch.device, seed: int) -> dict[str, Any]:
    """What the card says about the two training runs."""
    record: dict[str, Any] = {
        "seed": seed,
        "tokens_per_step": BlockSampler.tokens_in(BLOCKS_PER_STEP),
        "hardware": hardware_name(device.type, torch.get_num_threads(), has_fast_bfloat16(device)),
        "torch": torch.__version__.split("+")[0],
        "command": "python -m sim.models.training --out DIR"
        + "".join(f" --steps-{role} {done.step}" for role, done in progress.items())
        + f" --seed {seed}",
    }
    sizes: dict[str, Architecture] = {"target": TARGET, "draft": DRAFT}
    for role, done in progress.items():
        record[role] = {
            "layers": sizes[role].num_layers,
            "width": sizes[role].hidden_size,
            "steps": done.step,
            "tokens": done.tokens,
            "minutes": round(done.seconds / 60, 1),
        }
    return record


def corpus_record(text: Text) -> dict[str, Any]:
    """What the card says about the text."""
    return {
        "python": platform.python_version(),
        "sha256": text.corpus.sha256,
        "train_files": len(text.corpus.train),
        "train_tokens": len(text.train),
        "held_out_files": len(text.corpus.held_out),
        "held_out_tokens": len(text.held_out),
    }


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m sim.models.training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished pair")
    parser.add_argument("--work", type=Path, help="folder for checkpoints and logs (default: OUT-work)")
    for role, minutes in (("target", DEFAULT_MINUTES_TARGET), ("draft", DEFAULT_MINUTES_DRAFT)):
        budget = parser.add_mutually_exclusive_group()
        budget.add_argument(f"--minutes-{role}", type=float, help=f"compute time for the {role} (default {minutes:g})")
        budget.add_argument(f"--steps-{role}", type=int, help="steps instead of time: deterministic for a seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--discard-work", action="store_true", help="remove the work folder when done")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Corpus, tokenizer, target, draft, prompts, figures, card."""
    args = arguments(argv)
    work = args.work or args.out.with_name(args.out.name + "-work")
    torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    target_budget = _budget(args.minutes_target, args.steps_target, DEFAULT_MINUTES_TARGET)
    draft_budget = _budget(args.minutes_draft, args.steps_draft, DEFAULT_MINUTES_DRAFT)
    say("reading the standard library")
    text = prepare_text(work)
    progress = train_pair(text, work, args.out, target_budget, draft_budget, device, args.seed)
    save_prompts(pick_prompts(text.corpus, text.tokenizer, args.seed), args.out / PROMPTS_FILE)
    say("measuring")
    record = {
        "license": "apache-2.0",
        "corpus": corpus_record(text),
        "training": training_record(progress, device, args.seed),
        "figures": measure(args.out, text.held_out, args.seed),
    }
    write_card(args.out / CARD_FILE, record)
    if args.discard_work:
        shutil.rmtree(work)
    say(f"done: {args.out / CARD_FILE}")


def _budget(minutes: float | None, steps: int | None, default_minutes: float) -> Budget:
    return Budget(steps=steps) if steps is not None else Budget(minutes=minutes or default_minutes)


if __name__ == "__main__":
    main()
