"""Weights in bfloat16 on this processor: how much faster requests are recorded, and what becomes of acceptance."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

from tests.bench.measure import paired_ratio, result

_DTYPES = ("bfloat16", "float32")
_REQUESTS, _NEW_TOKENS, _SEEDS = 20, 24, (1, 2, 3, 4)


def run() -> list[dict[str, Any]]:
    """Tokens per CPU second of recording with both, in turn, and the acceptance of all requests."""
    from sim.models.loading import use_threads

    use_threads(1)
    counts = {dtype: [0, 0] for dtype in _DTYPES}  # accepted, tested
    seeds = {dtype: iter(_SEEDS) for dtype in _DTYPES}

    def rate(dtype: str) -> float:
        tokens, seconds, accepted, tested = _record(dtype, next(seeds[dtype]))
        counts[dtype][0] += accepted
        counts[dtype][1] += tested
        return tokens / seconds

    half_rate, full_rate, ratio = paired_ratio(lambda: rate("bfloat16"), lambda: rate("float32"), len(_SEEDS))
    acceptance = {dtype: accepted / tested for dtype, (accepted, tested) in counts.items()}
    errors = {
        dtype: math.sqrt(acceptance[dtype] * (1 - acceptance[dtype]) / tested) for dtype, (_, tested) in counts.items()
    }
    return [
        result(
            f"recording {_REQUESTS} chats with SmolLM2 in bfloat16 over float32",
            ratio,
            "x the tokens per CPU second",
            bfloat16_tokens_per_s=half_rate,
            float32_tokens_per_s=full_rate,
            acceptance=acceptance,
            acceptance_standard_error=errors,
            tested_positions={dtype: tested for dtype, (_, tested) in counts.items()},
        )
    ]


def _record(dtype: str, seed: int) -> tuple[int, float, int, int]:
    """Tokens, CPU seconds, accepted and tested positions of one group of requests."""
    from sim.inputs.scenario_models import load_models
    from sim.inputs.tokenised_requests import planned_by_kind
    from sim.runs.prepare import missing_recordings
    from sim.scenario.schema import Scenario
    from sim.tape.recorder import record
    from sim.tape.store import TapeStore, check_entry

    scenario = {
        "name": "halves",
        "seed": seed,
        "devices": {"count": _REQUESTS, "requests": 1},
        "workload": {"max_new_tokens": _NEW_TOKENS, "prompts": "chat", "stop_at_eos": False},
        "models": {"draft": "smollm2/draft", "target": "smollm2/target", "dtype": dtype},
        "protocol": {"name": "tslt", "draft_length": 4, "top_k": 64},
    }
    wanted = planned_by_kind(Scenario.from_dict(scenario))
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        store = TapeStore(Path(folder))
        for group in missing_recordings(wanted, store):
            models = load_models(group.settings, group.roles)
            start = process_time()
            record(group.recordings, models, store, on_demand=True)
            seconds += process_time() - start
        figures = [check_entry(key, data).figures for key, data in store.entries()]
    sums = [sum(int(figure[name]) for figure in figures) for name in ("tokens", "accepted", "tested")]
    return sums[0], seconds, sums[1], sums[2]
