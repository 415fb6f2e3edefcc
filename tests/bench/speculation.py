"""Live speculative decoding with the embedded pair against transformers' own assisted generation."""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from tests.bench.measure import result

_NEW_TOKENS = 64
_PROMPTS = 8
_DRAFT_LENGTH = 4
_REPEATS = 5

Timed = tuple[int, float]  # tokens, seconds


def run() -> list[dict[str, Any]]:
    """Tokens per second of both, same models, prompts, draft length and temperature, in turn."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch
    from transformers.utils import logging

    from sim.decoding import decode
    from sim.inputs.prompts import read_prompts
    from sim.models.loading import load_pair, load_tokenizer

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    draft, target = load_pair("embedded/draft", "embedded/target")
    tokenizer = load_tokenizer("embedded/target")
    prompts = [tokenizer.encode(str(text)) for text in read_prompts("embedded")[:_PROMPTS]]
    reference = _reference_models()

    def ours(index: int) -> Timed:
        start = perf_counter()
        done = decode(
            "colocated",
            draft,
            target,
            prompts[index],
            seed=index,
            max_new_tokens=_NEW_TOKENS,
            draft_length=_DRAFT_LENGTH,
        )
        return len(done.tokens), perf_counter() - start

    def theirs(index: int) -> Timed:
        ids = torch.tensor([prompts[index]])
        start = perf_counter()
        out = reference["target"].generate(
            ids,
            attention_mask=torch.ones_like(ids),
            assistant_model=reference["draft"],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=_NEW_TOKENS,
            min_new_tokens=_NEW_TOKENS,
        )
        return out.shape[1] - ids.shape[1], perf_counter() - start

    rates = [_rates(ours, theirs) for _ in range(1 + _REPEATS)][1:]
    ours_rate, theirs_rate = (median(column) for column in zip(*rates, strict=True))
    return [
        result(
            "speculative decoding, gamma 4, over transformers' assisted generation",
            median(mine / other for mine, other in rates),
            "x",
            at_least=3.0,
            ours_tokens_per_s=ours_rate,
            transformers_tokens_per_s=theirs_rate,
            ratios=sorted(mine / other for mine, other in rates),
        )
    ]


def _reference_models() -> dict[str, Any]:
    """The pair as transformers has it, set to drafts of one constant length."""
    import torch
    from transformers import AutoModelForCausalLM

    from sim.models.loading import resolve_folder

    reference = {
        role: AutoModelForCausalLM.from_pretrained(resolve_folder(f"embedded/{role}"), dtype=torch.float32).eval()
        for role in ("draft", "target")
    }
    helper = reference["draft"].generation_config
    helper.num_assistant_tokens, helper.num_assistant_tokens_schedule = _DRAFT_LENGTH, "constant"
    helper.assistant_confidence_threshold = 0.0
    return reference


def _rates(*sides: Callable[[int], Timed]) -> list[float]:
    """Tokens per second of each side over all prompts; the sides take turns prompt by prompt, in changing order."""
    done = [[0, 0.0] for _ in sides]
    for index in range(_PROMPTS):
        for side in sorted(range(len(sides)), reverse=index % 2 == 1):
            tokens, seconds = sides[side](index)
            done[side][0] += tokens
            done[side][1] += seconds
    return [tokens / seconds for tokens, seconds in done]
