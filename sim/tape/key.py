"""The address of a recorded request: a hash of exactly what its text and payloads depend on, and of nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sim.core.addresses import canonical, digest
from sim.inputs.identity import decoding_inputs
from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.scenario.schema import Scenario

# What distinguishes one request of a scenario from another; the rest of a description is shared by all of them.
_OWN = ("random", "prompt", "max_new_tokens")


def describe(planned: PlannedRequest, scenario: Scenario, models: Mapping[str, ModelInfo]) -> dict[str, Any]:
    """All that a request's decoding depends on."""
    return {**decoding_inputs(scenario, models), **_own_part(scenario.seed, planned)}


def split_description(about: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a description is shared by all requests of a scenario, and the request's own part."""
    shared = {name: value for name, value in about.items() if name not in _OWN}
    return shared, {name: about[name] for name in _OWN if name in about}


def key_of(about: Mapping[str, Any]) -> str:
    """Content address of a description."""
    shared, own = split_description(about)
    return address_of(digest(shared), canonical(own).encode())


def address_of(shared: str, own: bytes) -> str:
    """Content address from the hash of what is shared and a request's own part as canonical JSON."""
    return hashlib.sha256(shared.encode() + b" " + own).hexdigest()


@lru_cache(maxsize=1 << 14)
def _address(shared: str, seed: int, planned: PlannedRequest) -> str:
    return address_of(shared, canonical(_own_part(seed, planned)).encode())


def _own_part(seed: int, planned: PlannedRequest) -> dict[str, Any]:
    own: dict[str, Any] = {"prompt": list(planned.prompt), "random": [seed, planned.id]}
    if planned.max_new_tokens is not None:
        own["max_new_tokens"] = planned.max_new_tokens
    return own


class Addresses:
    """Content addresses of the requests of one scenario; what they share is hashed once.

    Args:
        scenario: Whose requests.
        models: Facts by role, at least of those that its protocol uses.
    """

    def __init__(self, scenario: Scenario, models: Mapping[str, ModelInfo]) -> None:
        self._seed = scenario.seed
        self._shared = digest(decoding_inputs(scenario, models))

    def of(self, planned: PlannedRequest) -> str:
        """Equal to ``key_of(describe(planned, ...))``."""
        return _address(self._shared, self._seed, planned)
