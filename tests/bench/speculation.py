"""Live speculative decoding against transformers' own assisted generation, and recording against its plain loop."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from sim.tape.store import TapeStore, check_entry
from tests.bench.measure import paired_ratio, result

_NEW_TOKENS = {"embedded": 64, "smollm2": 32}
_RECORDED_TOKENS = 24
_DRAFT_LENGTH = 4
_REPEATS = {"embedded": 5, "smollm2": 3}
_PROMPTS = {"embedded": 4, "smollm2": 4}
_MAX_PROMPTS = 12
_TEXTS = {"embedded": "embedded", "smollm2": "chat"}
_AT_LEAST = {"embedded": 4.0, "smollm2": 2.0}
_RECORDED_DEVICES = 16

Timed = tuple[int, float]  # tokens, CPU seconds


def run() -> list[dict[str, Any]]:
    """Tokens per CPU second of both, on one thread: same models in float32, prompts, draft length and temperature."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    return [*(_speculation(pair) for pair in _PROMPTS), _recording()]


def _speculation(pair: str) -> dict[str, Any]:
    """Tokens per second of both, in turn prompt by prompt."""
    from sim.decoding import decode
    from sim.models.loading import load_pair

    draft, target = load_pair(f"{pair}/draft", f"{pair}/target")
    new_tokens = _NEW_TOKENS[pair]
    reference = {role: _network(f"{pair}/{role}") for role in ("draft", "target")}
    helper = reference["draft"].generation_config
    helper.num_assistant_tokens, helper.num_assistant_tokens_schedule = _DRAFT_LENGTH, "constant"
    helper.assistant_confidence_threshold = 0.0

    def decoded(prompt: list[int]) -> Timed:
        start = process_time()
        done = decode("colocated", draft, target, prompt, seed=1, max_new_tokens=new_tokens, draft_length=_DRAFT_LENGTH)
        return len(done.tokens), process_time() - start

    # Prompts whose text does not end before: the other side is made to write as much. Both sides are warm then.
    long_ones = (prompt for prompt in _prompts(pair, _MAX_PROMPTS) if decoded(prompt)[0] == new_tokens)
    prompts = list(islice(long_ones, _PROMPTS[pair]))

    def ours(index: int) -> Timed:
        return decoded(prompts[index])

    def theirs(index: int) -> Timed:
        return _generated(reference["target"], prompts[index], new_tokens, assistant_model=reference["draft"])

    theirs(0)
    rates = [_rates(len(prompts), ours, theirs) for _ in range(_REPEATS[pair])]
    ours_rate, theirs_rate = (median(column) for column in zip(*rates, strict=True))
    return result(
        f"speculative decoding, gamma 4, over transformers' assisted generation, {pair}",
        median(mine / other for mine, other in rates),
        "x",
        at_least=_AT_LEAST[pair],
        ours_tokens_per_s=ours_rate,
        transformers_tokens_per_s=theirs_rate,
        ratios=sorted(mine / other for mine, other in rates),
    )


def _recording() -> dict[str, Any]:
    """Emitted tokens per CPU second of recording, over a loop of ``generate`` at batch 1 with the same target."""
    from sim.inputs.scenario_models import load_models
    from sim.inputs.tokenised_requests import planned_by_kind
    from sim.runs.prepare import missing_recordings
    from sim.scenario.schema import Scenario
    from sim.tape.recorder import record

    workload = {"max_new_tokens": _RECORDED_TOKENS, "prompts": "chat"}
    recorded = {
        "name": "recording",
        "seed": 1,
        "devices": {"count": _RECORDED_DEVICES, "requests": 1},
        "workload": workload,
        "models": "smollm2",
        "protocol": {"name": "tslt", "draft_length": _DRAFT_LENGTH, "top_k": 64},
    }
    wanted = planned_by_kind(Scenario.from_dict(recorded))
    target, prompts = _network("smollm2/target"), _prompts("smollm2", 3)

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            store = TapeStore(Path(folder))
            start, tokens = process_time(), 0
            for group in missing_recordings(wanted, store):
                models = load_models(group.settings, group.roles)
                start = process_time()  # weights are loaded once, whatever is recorded
                record(group.recordings, models, store)
                tokens += sum(_tokens_of(store, one.key) for one in group.recordings)
            return tokens / (process_time() - start)

    def theirs() -> float:
        done = [_generated(target, prompt, _RECORDED_TOKENS) for prompt in prompts]
        return sum(tokens for tokens, _ in done) / sum(seconds for _, seconds in done)

    _generated(target, prompts[0], _DRAFT_LENGTH)
    ours_rate, theirs_rate, ratio = paired_ratio(ours, theirs, 3)
    return result(
        f"recording {_RECORDED_DEVICES} requests over a loop of generate at batch 1, smollm2, tokens per CPU second",
        ratio,
        "x",
        at_least=3.0,
        ours_tokens_per_s=ours_rate,
        transformers_tokens_per_s=theirs_rate,
    )


def _tokens_of(store: TapeStore, key: str) -> int:
    """Tokens that a recorded request emitted."""
    data = store.read(key)
    assert data is not None
    return int(check_entry(key, data).figures["tokens"])


def _prompts(pair: str, count: int) -> list[list[int]]:
    """Token ids of the first prompts that ship for a pair."""
    from sim.inputs.tokenised_requests import planned_requests
    from sim.scenario.schema import Scenario

    scenario = {"name": "prompts", "models": pair, "workload": {"prompts": _TEXTS[pair]}, "devices": {"count": count}}
    return [list(planned.prompt) for planned in planned_requests(Scenario.from_dict(scenario))[:count]]


def _network(name: str) -> Any:
    """A model as transformers has it, in float32."""
    from sim.models.networks import load_network
    from sim.models.sources import find_model

    return load_network(find_model(name), "float32", trust_remote_code=False).eval()


def _generated(network: Any, prompt: list[int], new_tokens: int, **options: Any) -> Timed:
    """What ``generate`` writes after a prompt at temperature 1, always as many tokens."""
    import torch

    ids = torch.tensor([prompt])
    start = process_time()
    out = network.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        **options,
    )
    return out.shape[1] - ids.shape[1], process_time() - start


def _rates(num_prompts: int, *sides: Callable[[int], Timed]) -> list[float]:
    """Tokens per second of each side over all prompts; the sides take turns prompt by prompt, in changing order."""
    done = [[0, 0.0] for _ in sides]
    for index in range(num_prompts):
        for side in sorted(range(len(sides)), reverse=index % 2 == 1):
            tokens, seconds = sides[side](index)
            done[side][0] += tokens
            done[side][1] += seconds
    return [tokens / seconds for tokens, seconds in done]
