"""Live speculative decoding with the embedded pair against transformers' own assisted generation."""

from __future__ import annotations

import os
from time import perf_counter
from typing import Any

from tests.bench.measure import paired_ratio, result

_NEW_TOKENS = 64
_PROMPTS = 4
_DRAFT_LENGTH = 4


def run() -> list[dict[str, Any]]:
    """Tokens per second of both, same models, prompts, draft length and temperature, in turn."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from sim.decoding import decode
    from sim.models.loading import load_pair, load_tokenizer, resolve_folder
    from sim.workload import read_prompts

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    draft, target = load_pair("embedded/draft", "embedded/target")
    tokenizer = load_tokenizer("embedded/target")
    prompts = [tokenizer.encode(str(text)) for text in read_prompts("embedded")[:_PROMPTS]]
    reference = {
        role: AutoModelForCausalLM.from_pretrained(resolve_folder(f"embedded/{role}"), dtype=torch.float32).eval()
        for role in ("draft", "target")
    }
    helper = reference["draft"].generation_config
    helper.num_assistant_tokens, helper.num_assistant_tokens_schedule = _DRAFT_LENGTH, "constant"
    helper.assistant_confidence_threshold = 0.0

    def ours() -> float:
        start, tokens = perf_counter(), 0
        for seed, prompt in enumerate(prompts):
            tokens += len(
                decode(
                    "colocated",
                    draft,
                    target,
                    prompt,
                    seed=seed,
                    max_new_tokens=_NEW_TOKENS,
                    draft_length=_DRAFT_LENGTH,
                ).tokens
            )
        return tokens / (perf_counter() - start)

    def theirs() -> float:
        start, tokens = perf_counter(), 0
        for prompt in prompts:
            ids = torch.tensor([prompt])
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
            tokens += out.shape[1] - len(prompt)
        return tokens / (perf_counter() - start)

    ours(), theirs()
    ours_rate, theirs_rate, ratio = paired_ratio(ours, theirs, 5)
    return [
        result(
            "speculative decoding, gamma 4, over transformers' assisted generation",
            ratio,
            "x",
            at_least=3.0,
            ours_tokens_per_s=ours_rate,
            transformers_tokens_per_s=theirs_rate,
        )
    ]
