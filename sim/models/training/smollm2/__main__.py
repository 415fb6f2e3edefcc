"""Makes the draft of SmolLM2: `python -m sim.models.training.smollm2 sample|train|evaluate|ship`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from sim.models.fetch import smollm2_target
from sim.models.loading import load_tokenizer
from sim.models.sources import SHIPPED_FOLDERS, SMOLLM2, SMOLLM2_TARGET
from sim.models.tokenizer import TextTokenizer
from sim.models.training.allocation import keep_freed_memory
from sim.models.training.smollm2.evaluate import TEMPERATURES, Overlap, overlap_on
from sim.models.training.smollm2.network import Parameters, Target, block_ends, copy_layers, load_target
from sim.models.training.smollm2.samples import SampleStore
from sim.models.training.smollm2.sampling import sample_files
from sim.models.training.smollm2.ship import read_folder, shipped_values, write_folder
from sim.models.training.smollm2.train import STATE_FILE, Plan, read_state, train

LAYERS = (0, 7, 14, 21, 29)


def say(message: str) -> None:
    """Tell the person at the terminal where the run stands."""
    print(message, file=sys.stderr, flush=True)


def held_out_prompts(tokenizer: TextTokenizer, max_prompts: int | None) -> list[list[int]]:
    """Token ids of prompts that ship as ``chat``, spread over the kinds if they are fewer than all."""
    path = SHIPPED_FOLDERS[SMOLLM2] / "prompts.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    step = 1 if max_prompts is None else max(1, len(lines) // max_prompts)
    return [tokenizer.encode_chat(line["messages"]) for line in lines[::step][:max_prompts]]


def measure(args: argparse.Namespace, target: Target, tokenizer: TextTokenizer, draft: Parameters) -> list[Overlap]:
    """Overlap at both temperatures."""
    prompts = held_out_prompts(tokenizer, args.prompts)
    return [overlap_on(target, draft, prompts, one, args.max_new_tokens, args.seed) for one in TEMPERATURES]


def run_sample(args: argparse.Namespace, target: Target, tokenizer: TextTokenizer) -> None:
    """Sample the target."""
    blocks = block_ends(target.sizes.num_layers, args.blocks)
    sample_files(target, tokenizer.encode, args.data, args.seed, args.files, blocks)


def run_train(args: argparse.Namespace, target: Target, _: TextTokenizer) -> None:
    """Train the draft."""
    between = bool(args.block_steps or args.between_weight)
    store = SampleStore(args.data, args.held_out, args.max_rows, between)
    plan = Plan(args.rate, args.tokens_per_step, args.steps, args.decay_steps, args.block_steps, args.between_weight)
    done = train(target, _first_layers(args, target), store, plan, args.work, say)
    say(f"done after {done.step} steps, {done.rows} rows: {args.work / STATE_FILE}")


def _first_layers(args: argparse.Namespace, target: Target) -> Parameters:
    if args.init is None:
        return copy_layers(target, args.layers)
    return read_folder(args.init) if args.init.is_dir() else read_state(args.init)[0]


def run_evaluate(args: argparse.Namespace, target: Target, tokenizer: TextTokenizer) -> None:
    """Print the overlap of a checkpoint, as it would be shipped, as JSON."""
    draft = shipped_values(read_state(args.work / STATE_FILE)[0])
    print(json.dumps([one.as_dict() for one in measure(args, target, tokenizer, draft)], indent=2))


def run_ship(args: argparse.Namespace, target: Target, tokenizer: TextTokenizer) -> None:
    """Write the folder that ships."""
    draft, done = read_state(args.work / STATE_FILE)
    overlaps = measure(args, target, tokenizer, shipped_values(draft))
    record = {"steps": done.step, "rows": done.rows, "decayed": args.decayed, "torch": torch.__version__.split("+")[0]}
    write_folder(args.out, target, draft, args.layers, record, overlaps)
    say(f"wrote {args.out}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m sim.models.training.smollm2", description=__doc__)
    commands = top.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    shared.add_argument("--seed", type=int, default=1)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, required=True, help="folder of samples")
    work = argparse.ArgumentParser(add_help=False)
    work.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    layers = argparse.ArgumentParser(add_help=False)
    layers.add_argument("--layers", type=_numbers, default=LAYERS, help="of the target (default 0,7,14,21,29)")
    prompts = argparse.ArgumentParser(add_help=False)
    prompts.add_argument("--prompts", type=int, help="held-out prompts (default: all)")
    prompts.add_argument("--max-new-tokens", type=int, default=96)

    sample = commands.add_parser("sample", parents=[shared, data], help=run_sample.__doc__)
    sample.add_argument("--files", type=int, default=8, help="files of 256 texts to add")
    blocks = f"blocks at whose ends states are kept, as many as the draft has layers (default {len(LAYERS)})"
    sample.add_argument("--blocks", type=int, default=len(LAYERS), help=blocks)
    sample.set_defaults(run=run_sample)
    fit = commands.add_parser("train", parents=[shared, data, work, layers], help=run_train.__doc__)
    fit.add_argument("--held-out", nargs="*", default=(), help="files of samples that are not trained on")
    fit.add_argument("--rate", type=float, default=Plan.rate)
    fit.add_argument("--tokens-per-step", type=int, default=Plan.tokens_per_step)
    fit.add_argument("--steps", type=int, default=Plan.steps, help="in all, earlier runs included")
    fit.add_argument("--decay-steps", type=int, default=Plan.decay_steps)
    fit.add_argument("--block-steps", type=int, default=Plan.block_steps, help="of the beginning: layers by themselves")
    fit.add_argument("--between-weight", type=float, default=Plan.between_weight)
    fit.add_argument("--init", type=Path, help="draft to begin with: a checkpoint, or a folder that was shipped")
    fit.add_argument("--max-rows", type=int, help="the newest rows that are trained on (default: all)")
    fit.set_defaults(run=run_train)
    check = commands.add_parser("evaluate", parents=[shared, work, prompts], help=run_evaluate.__doc__)
    check.set_defaults(run=run_evaluate)
    ship = commands.add_parser("ship", parents=[shared, work, layers, prompts], help=run_ship.__doc__)
    ship.add_argument("--out", type=Path, default=SHIPPED_FOLDERS[SMOLLM2] / "draft")
    ship.add_argument("--decayed", action="store_true", help="the checkpoint is from after the decay (for the card)")
    ship.set_defaults(run=run_ship)
    return top


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main(argv: list[str] | None = None) -> None:
    """Run a command."""
    args = parser().parse_args(argv)
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    target = load_target(smollm2_target())
    args.run(args, target, load_tokenizer(SMOLLM2_TARGET))


if __name__ == "__main__":
    main()
