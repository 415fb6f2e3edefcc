"""Distils a middle model for hierarchies from an existing pair's target: `python -m sim.models.training.middle`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sim.models.training.__main__ import BLOCKS_PER_STEP, prepare_text, say
from sim.models.training.architecture import MIDDLE, start_embedding_from
from sim.models.training.batches import BlockSampler
from sim.models.training.card import hardware_name, write_front_matter
from sim.models.training.evaluate import BATCH_WINDOWS, MIN_CONTEXT_TOKENS, agreement, as_figures, held_out_windows
from sim.models.training.evaluate import perplexity as perplexity_of
from sim.models.training.pair import load_model, save_model
from sim.models.training.train import Budget, distillation_from, fit, has_fast_bfloat16, pick_device

DEFAULT_MINUTES = 10.0
SEED_OFFSET = 2
"""The pair's target and draft start from the seed and the seed + 1."""
CARD_FILE = "MODEL_CARD.md"

PROSE = """# The embedded middle model

A Llama network between the embedded draft and target, for hierarchical speculative decoding (`protocol: hsd`). It is
distilled from the embedded target on the text and with the tokenizer of the pair (see the pair's card beside this
folder), its embedding starts as the target's projected on its leading principal directions, and it shares the pair's
limits and licence. The front matter holds its figures: acceptance is 1 - TV, averaged over held-out windows.
"""


def figures_of(pair_folder: Path, folder: Path, held_out: Any) -> dict[str, Any]:
    """Held-out perplexity and how the middle model agrees with its neighbours, at temperature 1."""
    windows = list(held_out_windows(held_out).split(BATCH_WINDOWS))
    middle, draft, target = load_model(folder), load_model(pair_folder / "draft"), load_model(pair_folder / "target")
    return {
        "perplexity": round(perplexity_of(middle, windows), 2),
        "draft_under_middle": as_figures(agreement(draft, middle, windows, 1.0, MIN_CONTEXT_TOKENS)),
        "middle_under_target": as_figures(agreement(middle, target, windows, 1.0, MIN_CONTEXT_TOKENS)),
        "parameters": sum(parameter.numel() for parameter in middle.parameters()),
        "weights_bytes": (folder / "model.safetensors").stat().st_size,
    }


def main(argv: list[str] | None = None) -> None:
    """Distil, save, measure, and write the card."""
    parser = argparse.ArgumentParser(prog="python -m sim.models.training.middle", description=__doc__)
    parser.add_argument("--pair", type=Path, required=True, help="folder of the finished pair")
    parser.add_argument("--out", type=Path, required=True, help="folder for the middle model")
    parser.add_argument(
        "--work", type=Path, required=True, help="work folder of the pair: text, tokenizer, checkpoints"
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help=f"compute time (default {DEFAULT_MINUTES:g})")
    budget.add_argument("--steps", type=int, help="steps instead of time: deterministic for a seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    device = pick_device(args.device)
    text = prepare_text(args.work)
    target = load_model(args.pair / "target").to(device).requires_grad_(False)
    middle = MIDDLE.build(args.seed + SEED_OFFSET)
    start_embedding_from(middle, target)
    sampler = BlockSampler(text.train, BLOCKS_PER_STEP, args.seed + SEED_OFFSET)
    limit = Budget(steps=args.steps) if args.steps else Budget(minutes=args.minutes or DEFAULT_MINUTES)
    say("distilling the middle model")
    done = fit(middle, sampler, distillation_from(target), limit, args.work / "middle", device)
    save_model(middle, text.tokenizer, args.out)
    record = {
        "license": "apache-2.0",
        "corpus_sha256": text.corpus.sha256,
        "training": {
            "layers": MIDDLE.num_layers,
            "width": MIDDLE.hidden_size,
            "steps": done.step,
            "tokens": done.tokens,
            "minutes": round(done.seconds / 60, 1),
            "seed": args.seed,
            "hardware": hardware_name(device.type, torch.get_num_threads(), has_fast_bfloat16(device)),
            "command": "python -m sim.models.training.middle --pair DIR --work DIR-work --out DIR/middle"
            f" --steps {done.step} --seed {args.seed}",
        },
        "figures": figures_of(args.pair, args.out, np.asarray(text.held_out)),
    }
    write_front_matter(args.out / CARD_FILE, record, PROSE)
    say(f"done: {args.out / CARD_FILE}")


if __name__ == "__main__":
    main()
