"""Writes a trained draft as the folder that ships: layers in eight bits, configuration, and a card of measurements.

Embedding and head are the target's, which users fetch; so the folder is small.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from sim.models.checkpoint import LAYERS_FILE, SCALE_SUFFIX, read_json
from sim.models.sources import BASE_KEY, SMOLLM2_TARGET
from sim.models.training.card import CARD_FILE, write_front_matter
from sim.models.training.smollm2.evaluate import Overlap
from sim.models.training.smollm2.network import Parameters, Target

_LIMIT = 127


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight [out, in] as int8 with a scale per output channel [out]."""
    scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / _LIMIT
    return (weight / scale[:, None]).round().clamp(-_LIMIT, _LIMIT).to(torch.int8), scale


def shipped_values(draft: Mapping[str, torch.Tensor]) -> Parameters:
    """The layers as they are read again after shipping, for measuring what is shipped."""
    return {name: _rounded(value.float()) if value.dim() == 2 else value for name, value in draft.items()}


def _rounded(weight: torch.Tensor) -> torch.Tensor:
    rounded, scale = quantise(weight)
    return rounded.float() * scale[:, None]


def read_folder(folder: Path) -> Parameters:
    """The layers and last norm of a folder that :func:`write_folder` wrote."""
    tensors = load_file(folder / LAYERS_FILE)
    draft = {}
    for name, value in tensors.items():
        if not name.endswith(SCALE_SUFFIX):
            scale = tensors.get(name + SCALE_SUFFIX)
            draft[name.removeprefix("model.")] = value if scale is None else value.float() * scale[:, None]
    return draft


def write_folder(
    folder: Path,
    target: Target,
    draft: Mapping[str, torch.Tensor],
    layers: Sequence[int],
    record: dict[str, Any],
    overlaps: Sequence[Overlap],
) -> None:
    """Write configuration, weights and card.

    Args:
        folder: Made if it is not there.
        target: What the draft was made for.
        draft: Its layers and last norm.
        layers: Of the target, which they started as.
        record: Of the training, for the card.
        overlaps: What was measured on the weights as they are shipped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in draft.items():
        full = f"model.{name}"
        tensors[full] = value.float().contiguous()
        if value.dim() == 2:
            tensors[full], tensors[full + SCALE_SUFFIX] = quantise(value.float())
    save_file(tensors, folder / LAYERS_FILE, metadata={"format": "pt"})
    config = read_json(target.folder / "config.json")
    config |= {BASE_KEY: SMOLLM2_TARGET, "num_hidden_layers": len(layers)}
    for name in ("_name_or_path", "_model_name_or_path", "transformers_version"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    numbers = sum(value.numel() for value in draft.values())
    share = len(layers) / target.sizes.num_layers
    front = {
        "license": "apache-2.0",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "layers_of_target": list(layers),
        "parameters_shipped": numbers,
        "share_of_target_layer_flops": round(share, 4),
        "training": record,
        "overlap": [one.as_dict() for one in overlaps],
    }
    write_front_matter(folder / CARD_FILE, front, _prose(layers, numbers, record, overlaps))


def _prose(layers: Sequence[int], numbers: int, record: dict[str, Any], overlaps: Sequence[Overlap]) -> str:
    rows = "\n".join(
        f"| {one.temperature:g} | {one.mean:.3f} ± {one.standard_error:.3f} | {one.same_best:.3f} "
        f"| {one.target_entropy_bits:.2f} | {one.draft_entropy_bits:.2f} | {one.tail_mass_64:.3f} "
        f"| {one.answers} | {one.rows} |"
        for one in overlaps
    )
    return f"""# A draft of SmolLM2-135M-Instruct

{len(layers)} layers that began as layers {", ".join(map(str, layers))} of SmolLM2-135M-Instruct (Apache-2.0,
HuggingFaceTB) and were trained on its own samples. Embedding, head and tokenizer are the target's and are not in this
folder; the last norm is the draft's own. {numbers / 1e6:.1f} million numbers, matrices in int8 with a scale per output
channel. "The target" is the model as its 4-bit file has it, and the draft was made for that.

Texts: the target's answers to prompts from templates of eight kinds, and exchanges that it wrote itself from a few
first words; nothing else. {record["rows"]} rows of the target (with repetition) were seen in {record["steps"]} steps.
At first each layer learned by itself to give the states at the end of a block of the target's layers from those at
its beginning. Loss after that: KL divergence from the target's best 128 tokens to the draft, and small distances of
the states at the ends of blocks and of the last hidden states; in a decay of the learning rate, if there was one,
also total variation at temperatures 1 and 0.7. The rate had{"" if record["decayed"] else " not"} been lowered to
zero when these weights were taken.

## Agreement with the target

On the target's own answers to prompts that ship as `chat`, none of which is among the training prompts. Overlap is
1 - total variation over the whole vocabulary, the mean acceptance per token of speculative sampling; ± one standard
error over answers; entropies and mass are means over rows. Measured on the weights as they are shipped.

| temperature | overlap | same best | target [bit] | draft [bit] | mass outside 64 | answers | rows |
|---|---|---|---|---|---|---|---|
{rows}

It is made for studies of links and protocols, not for its texts: it is a small model of another small model.
"""
