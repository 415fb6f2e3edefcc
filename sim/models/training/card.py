"""The model card: figures as YAML front matter for programs, and as text."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import yaml

CARD_FILE = "MODEL_CARD.md"


def hardware_name(device_type: str, num_threads: int, is_bfloat16: bool) -> str:
    """What the training ran on, in words."""
    arithmetic = "bfloat16 autocast" if is_bfloat16 else "float32"
    if device_type == "cuda":
        import torch

        return f"{torch.cuda.get_device_name()}, {arithmetic}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {num_threads} CPU thread(s), {arithmetic}"


def read_figures(path: Path) -> dict[str, Any]:
    """The front matter of a card."""
    parts = path.read_text(encoding="utf-8").split("---\n", 2)
    if len(parts) != 3 or parts[0]:
        raise ValueError(f"path: {path} has no YAML front matter between two lines of '---'")
    value: dict[str, Any] = yaml.safe_load(parts[1])
    return value


def write_card(path: Path, record: dict[str, Any]) -> None:
    """Write the card of a pair from the record of its training and measurement."""
    write_front_matter(path, record, _prose(record))


def write_front_matter(path: Path, record: dict[str, Any], prose: str) -> None:
    """Write a text after its figures as YAML front matter."""
    front = yaml.safe_dump(record, sort_keys=False, allow_unicode=True)
    path.write_text(f"---\n{front}---\n\n{prose}", encoding="utf-8")


def _prose(record: dict[str, Any]) -> str:
    corpus, training, figures = record["corpus"], record["training"], record["figures"]
    held_out, on_policy, sizes = figures["held_out"], figures["on_policy"], figures["sizes"]
    return f"""# The embedded draft/target pair

Two small Llama networks with one tokenizer, trained from scratch on the Python standard library, so that speculative
decoding can be simulated with real token distributions and no download. They load like any other checkpoint
(`AutoModelForCausalLM`, `AutoTokenizer`); no code comes with them. Weights are bfloat16; run them in float32.

| | target | draft |
|---|---|---|
{_model_rows(training, figures)}

Both models and both copies of the tokenizer take {figures["total_bytes"] / 1e6:.1f} MB.
Of the parameters, {sizes["target"]["embedding_parameters"]:,} (target) and {sizes["draft"]["embedding_parameters"]:,}
(draft) are the tied embedding.

## Agreement

Acceptance is 1 - TV(p, q), the probability that rejection sampling accepts a token drafted at that position.

| | temperature 1 | temperature 0.7 |
|---|---|---|
{_agreement_rows(held_out, on_policy)}

Held-out: {held_out["acceptance_t1"]["num_positions"]:,} positions in evenly spaced windows of 256 tokens, each with at
least 32 tokens of context. On-policy: draft/verify rounds of draft length 4 that continue 12 of the prompts by 40
tokens or more; acceptance is averaged over the tested positions. Acceptance differs much between positions (see the
quantiles): do not treat it as a constant.

## Text and training

- Text: the `.py` files of the standard library of Python {corpus["python"]}, tests included, installed packages
  excluded; no byte-identical duplicates, no files that are not UTF-8, over 600 kB, or tables of numbers.
  {corpus["train_files"]:,} files ({corpus["train_tokens"]:,} tokens) to train on. A file is held out when its sha256
  says so (one in twenty): {corpus["held_out_files"]:,} files ({corpus["held_out_tokens"]:,} tokens).
- sha256 of the sorted file hashes: `{corpus["sha256"]}`.
- Tokenizer: byte-level BPE of 8,192 tokens, trained on the training files. Token 0, `<|endoftext|>`, ends every
  document and is beginning, end and padding at once. The tokenizer adds no token of its own accord.
- Target: cross-entropy. Draft: the target's full rows as soft labels, on the same text; its embedding starts as the
  target's, projected on its leading principal directions.
- Muon for the layers' matrices, AdamW (0.9, 0.95) for the embedding and the norms; gradient clipped at 1; warm-up over
  40 steps, constant, then linear to zero over the last half of the steps. A step is {training["tokens_per_step"]:,}
  tokens: windows of 256, every fourth step windows of 512.
- Hardware: {training["hardware"]}.

## Limits

- The text is code-like word salad. Nothing about the quality of language can be concluded from these models; they are
  there to have real, non-trivial, correlated distributions.
- They have seen windows of up to 512 tokens; the configuration allows 1,024 positions, the second half untested.
- Figures are of float32 arithmetic on the weights in this folder. Half precision moves them, and may move tokens.
- Held-out files come from the same project and share its idioms; other text fares worse.

## Licence

Weights and tokenizer: Apache-2.0, like the rest of the project. `prompts.jsonl` holds excerpts of the Python standard
library, copyright Python Software Foundation, under the PSF License Version 2.

## Train it again

```
{training["command"]}
```

This makes the whole folder: corpus, tokenizer, target, draft, prompts, figures, card. `--minutes-target` and
`--minutes-draft` set the compute time instead of the steps; an interrupted run resumes from its checkpoints. The text
depends on the patch release of Python: compare the sha256 above. With glibc, setting
`MALLOC_MMAP_THRESHOLD_=4294967296` and `MALLOC_TRIM_THRESHOLD_=8589934592` saves about a tenth of the CPU time.
"""


def _model_rows(training: dict[str, Any], figures: dict[str, Any]) -> str:
    held_out, prompts = figures["held_out"], figures["prompts"]
    rows = {
        "layers x width": [f"{training[role]['layers']} x {training[role]['width']}" for role in ("target", "draft")],
        "parameters": [f"{figures['sizes'][role]['parameters']:,}" for role in ("target", "draft")],
        "weights file, bytes": [f"{figures['sizes'][role]['weights_bytes']:,}" for role in ("target", "draft")],
        "perplexity, held-out windows": [f"{held_out[f'{role}_perplexity']:.1f}" for role in ("target", "draft")],
        "perplexity, every third prompt's text": [
            f"{prompts[f'{role}_perplexity']:.1f}" for role in ("target", "draft")
        ],
        "training steps": [f"{training[role]['steps']:,}" for role in ("target", "draft")],
        "training tokens seen": [f"{training[role]['tokens']:,}" for role in ("target", "draft")],
        "training time, CPU or GPU minutes": [f"{training[role]['minutes']:.1f}" for role in ("target", "draft")],
    }
    return "\n".join(f"| {name} | {target} | {draft} |" for name, (target, draft) in rows.items())


def _agreement_rows(held_out: dict[str, Any], on_policy: dict[str, Any]) -> str:
    agreed = [held_out[f"acceptance_{key}"] for key in ("t1", "t0.7")]
    played = [on_policy[key] for key in ("t1", "t0.7")]
    rows = {
        "acceptance on held-out text, mean": [f"{a['acceptance_mean']:.3f}" for a in agreed],
        "standard deviation over positions": [f"{a['acceptance_sd']:.3f}" for a in agreed],
        "10 % and 90 % quantiles": [f"{a['acceptance_q10']:.2f}, {a['acceptance_q90']:.2f}" for a in agreed],
        "most likely token the same": [f"{a['argmax_agreement']:.3f}" for a in agreed],
        "acceptance on-policy, mean": [f"{r['acceptance_mean']:.3f}" for r in played],
        "accepted / tested on-policy": [f"{r['accepted_share_of_tested']:.3f}" for r in played],
        "tokens per round on-policy": [f"{r['tokens_per_round']:.2f}" for r in played],
    }
    return "\n".join(f"| {name} | {first} | {second} |" for name, (first, second) in rows.items())
