"""The manifest: what a result came from, so that it can be made again or doubted."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any

from sim.decoding.protocols.guarantee import Guarantee, guarantee_of
from sim.models.info import ModelInfo
from sim.runs.inputs import SimulationInputs
from sim.scenario.schema import Kind, Scenario
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
    kinds = scenario.by_kind()
    own = {kind.name: _of_kind(one) for kind, one in zip(kinds, inputs.kinds, strict=True) if kind.name}
    return {
        "seed": scenario.seed,
        "lossless": _guarantee(kinds),
        "decoding_code": code_version(),
        **_of_kind(inputs),
        **({"kinds": own} if own else {}),
        "workload_notes": inputs.notes,
        "decoded": "live" if inputs.tape is None else "replayed from tape",
        "versions": versions(),
        "host": host(),
        "command": "specran " + " ".join(sys.argv[1:]) if sys.argv[:1] else "",
        "wall_s": wall_s,
    }


def _guarantee(kinds: Sequence[Kind]) -> Guarantee:
    """What is known of the texts of all kinds of devices: the weakest of what is known of each."""
    order: tuple[Guarantee, ...] = ("lossy", "claimed", "proved")
    of_each = [guarantee_of(kind.scenario.protocol.entry, kind.scenario.protocol.dump()) for kind in kinds]
    return min(of_each, key=order.index)


def _of_kind(inputs: SimulationInputs) -> dict[str, Any]:
    """Models and prices of one kind of devices."""
    return {
        "models": {role: _described(info) for role, info in inputs.models_info.items()},
        "compute": {
            site: {role: cost_model.describe() for role, cost_model in cost_models.items()}
            for site, cost_models in inputs.cost_models.items()
        },
    }


def _described(info: ModelInfo) -> dict[str, Any]:
    return {name: value for name, value in info.to_plain().items() if name != "special_ids"}
