"""The manifest: what a result came from, so that it can be made again or doubted."""

from __future__ import annotations

import platform
import sys
from functools import lru_cache
from importlib import metadata
from typing import Any

from sim.decoding.protocols.guarantee import guarantee_of
from sim.models.info import ModelInfo
from sim.runs.world import SimulationInputs
from sim.scenario.schema import Scenario
from sim.tape.key import code_version

_PACKAGES = ("specran", "simpy", "numpy", "scipy", "torch", "transformers", "sionna-no-rt", "pandas", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of this project and what it stands on."""
    return dict(_installed())


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """The machine, without its name."""
    import os

    return {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()}


def make_manifest(scenario: Scenario, inputs: SimulationInputs, wall_s: float) -> dict[str, Any]:
    """Versions, seed, hashes, host and wall time of one run."""
    return {
        "seed": scenario.seed,
        "lossless": guarantee_of(scenario.protocol.entry, scenario.protocol.dump()),
        "decoding_code": code_version(),
        "models": {role: _described(info) for role, info in inputs.models_info.items()},
        "compute": {
            site: {role: cost_model.describe() for role, cost_model in cost_models.items()}
            for site, cost_models in inputs.cost_models.items()
        },
        "decoded": "live" if inputs.tape is None else "replayed from tape",
        "versions": versions(),
        "host": host(),
        "command": "specran " + " ".join(sys.argv[1:]) if sys.argv[:1] else "",
        "wall_s": wall_s,
    }


def _described(info: ModelInfo) -> dict[str, Any]:
    return {name: value for name, value in info.to_plain().items() if name != "special_ids"}
