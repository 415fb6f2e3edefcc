"""The address of a recorded request: a hash of exactly what its text and payloads depend on, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim.models.facts import ModelFacts
from sim.scenario.schema import Scenario
from sim.workload import PlannedRequest


def describe(planned: PlannedRequest, scenario: Scenario, models: dict[str, ModelFacts]) -> dict[str, Any]:
    """All that a request's decoding depends on: no link, no compute, no neighbours."""
    workload = scenario.workload
    return {
        "models": {role: model.fingerprint for role, model in sorted(models.items())},
        "prompt": list(planned.prompt),
        "protocol": scenario.protocol.dump(),
        "controller": scenario.controller.dump(),
        "luck": [scenario.seed, planned.id],
        "sampling": [workload.temperature, workload.top_k, workload.top_p],
        "limits": [workload.max_new_tokens, workload.stop_at_eos],
        "numerics": [scenario.models.dtype],
        "code": code_version(),
    }


def key_of(about: dict[str, Any]) -> str:
    """Content address of a description."""
    return hashlib.sha256(json.dumps(about, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the decoding code, so that a tape made by another version is not taken for one of this one."""
    folder = Path(__file__).resolve().parent.parent / "decoding"
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
