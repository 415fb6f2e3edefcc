"""Recording a tape on a CPU with rows computed on demand, against whole verification forwards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import process_time
from typing import Any

from tests.bench.measure import paired_ratio, result

RECORDED: dict[str, Any] = {
    "name": "recording",
    "seed": 1,
    "devices": {"count": 16, "requests": 2},
    "workload": {"max_new_tokens": 48},
    "models": {"draft": "embedded/draft", "target": "embedded/target"},
}
_PROTOCOLS: dict[str, dict[str, Any]] = {
    "chains of 4": {"name": "tslt", "draft_length": 4, "top_k": 64},
    "chains of 8": {"name": "tslt", "draft_length": 8, "top_k": 64},
    "trees of 2 x 4": {"name": "tslt", "draft_length": 4, "top_k": 64, "candidates": 2},
}
_REPEATS = 3


def run() -> list[dict[str, Any]]:
    """CPU seconds of recording 32 requests in this process, both in turn."""
    return [_gain(what, protocol) for what, protocol in _PROTOCOLS.items()]


def _gain(what: str, protocol: dict[str, Any]) -> dict[str, Any]:
    from sim.inputs.scenario_models import load_models
    from sim.inputs.tokenised_requests import planned_by_kind
    from sim.models.loading import use_threads
    from sim.runs.prepare import missing_recordings
    from sim.scenario.schema import Scenario
    from sim.tape.recorder import record
    from sim.tape.store import TapeStore

    wanted = planned_by_kind(Scenario.from_dict({**RECORDED, "protocol": protocol}))
    use_threads(1)

    def seconds(on_demand: bool) -> float:
        with tempfile.TemporaryDirectory() as folder:
            store = TapeStore(Path(folder))
            groups = missing_recordings(wanted, store)
            start = process_time()
            for group in groups:
                record(group.recordings, load_models(group.settings, group.roles), store, on_demand=on_demand)
            return process_time() - start

    seconds(True)
    whole_s, on_demand_s, ratio = paired_ratio(lambda: seconds(False), lambda: seconds(True), _REPEATS)
    return result(
        f"whole verification forwards over rows on demand, {what}",
        ratio,
        "x the CPU time",
        at_least=1.1,
        whole_s=whole_s,
        on_demand_s=on_demand_s,
    )
