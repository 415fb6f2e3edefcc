"""The address of a recorded request: a hash of exactly what its text and payloads depend on, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario
from sim.scenario.user_code import user_code_hashes

# What tells one request of a scenario from another; the rest of a description is shared by all of them.
_OWN = ("random", "prompt", "max_new_tokens")


def needed_models(scenario: Scenario, models: Mapping[str, ModelInfo]) -> dict[str, ModelInfo]:
    """Facts of the models that a scenario's protocol uses; the others cannot matter to its text."""
    return {role: models[role] for role in scenario.protocol.trait("models")}


def shared_description(scenario: Scenario, models: Mapping[str, ModelInfo]) -> dict[str, Any]:
    """What the decoding of all requests of a scenario depends on: no link, no compute, no neighbours."""
    workload = scenario.workload
    protocol, controller = scenario.protocol.dump(), scenario.controller.dump()
    own = user_code_hashes([protocol, controller])
    return {
        "models": {role: model.fingerprint for role, model in sorted(models.items())},
        "protocol": protocol,
        "controller": controller,
        "sampling": [workload.temperature, workload.top_k, workload.top_p],
        "limits": [workload.max_new_tokens, workload.stop_at_eos],
        "numerics": [scenario.models.dtype],
        "code": code_version(),
        **({"user_code_hashes": own} if own else {}),
    }


def describe(planned: PlannedRequest, scenario: Scenario, models: Mapping[str, ModelInfo]) -> dict[str, Any]:
    """All that a request's decoding depends on."""
    own: dict[str, Any] = {"prompt": list(planned.prompt), "random": [scenario.seed, planned.id]}
    if planned.max_new_tokens is not None:
        own["max_new_tokens"] = planned.max_new_tokens
    return {**shared_description(scenario, models), **own}


def key_of(about: Mapping[str, Any]) -> str:
    """Content address of a description."""
    shared = {name: value for name, value in about.items() if name not in _OWN}
    return _combine(_digest(shared), tuple(about["prompt"]), *about["random"], about.get("max_new_tokens"))


def _digest(shared: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(shared, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@lru_cache(maxsize=1 << 14)
def _combine(shared: str, prompt: tuple[int, ...], seed: int, request: int, max_new_tokens: int | None) -> str:
    own_limit = "" if max_new_tokens is None else f" {max_new_tokens}"
    return hashlib.sha256(f"{shared} {seed} {request} {list(prompt)}{own_limit}".encode()).hexdigest()


class Addresses:
    """Content addresses of the requests of one scenario; what they share is hashed once.

    Args:
        scenario: Whose requests.
        models: Facts by role, at least of those that its protocol uses.
    """

    def __init__(self, scenario: Scenario, models: Mapping[str, ModelInfo]) -> None:
        self._seed = scenario.seed
        self._shared = _digest(shared_description(scenario, needed_models(scenario, models)))

    def of(self, planned: PlannedRequest) -> str:
        """Equal to ``key_of(describe(planned, ...))``."""
        return _combine(self._shared, planned.prompt, self._seed, planned.id, planned.max_new_tokens)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the decoding code, so that a tape made by another version is not taken for one of this one."""
    return _hash_of_sources(("decoding",))


@lru_cache(maxsize=1)
def simulator_version() -> str:
    """Hash of all code of the simulator and its channels, so that a result of another version is not resumed from."""
    return _hash_of_sources((".", "../channels"))


def _hash_of_sources(rooms: tuple[str, ...]) -> str:
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for room in rooms:
        folder = (package / room).resolve()
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
