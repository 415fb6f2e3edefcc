"""The manifest: what a result came from, so that it can be made again or doubted.

All of it follows from the scenario and what is installed, but for one block: ``run_facts`` says how this very run went.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.core.addresses import run_id
from sim.decoding.protocols.guarantee import Guarantee, guarantee_of
from sim.decoding.protocols.registry import sites_of
from sim.inputs.identity import RunAddresses
from sim.inputs.versions import decoding_code, simulator_code
from sim.models.info import ModelInfo
from sim.results.portable import name_of_file, without_folders, without_paths
from sim.runs.inputs import SimulationInputs
from sim.scenario.schema import Kind, Scenario

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


def run_facts(wall_s: float) -> dict[str, Any]:
    """What differs between runs of one scenario: where and how, and how long it took."""
    command = " ".join(["specran", *sys.argv[1:]]) if sys.argv[:1] else ""
    return {"command": without_folders(command), "host": host(), "wall_s": wall_s}


def code_and_versions() -> dict[str, Any]:
    """The code and the libraries that made a result."""
    return {"decoding_code": decoding_code(), "simulator_code": simulator_code(), "versions": versions()}


def make_manifest(scenario: Scenario, inputs: SimulationInputs, wall_s: float) -> dict[str, Any]:
    """Seed, models, cost models, code and versions of one run, and the facts of the run."""
    kinds = scenario.by_kind()
    described = [_of_kind(kind.scenario, one) for kind, one in zip(kinds, inputs.kinds, strict=True)]
    own = {kind.name: one for kind, one in zip(kinds, described, strict=True) if kind.name}
    return {
        "run_id": run_id(RunAddresses().of_kinds(scenario, inputs.parts)),
        "seed": scenario.seed,
        "lossless": _guarantee(kinds),
        **described[0],
        **({"kinds": own} if own else {}),
        "workload_notes": [without_folders(note) for note in inputs.notes],
        **code_and_versions(),
        "run_facts": {
            "decoded": "live" if inputs.tape is None else "replayed from tape",
            **run_facts(wall_s),
        },
    }


def _guarantee(kinds: Sequence[Kind]) -> Guarantee:
    """What is known of the texts of all kinds of devices: the weakest of what is known of each."""
    order: tuple[Guarantee, ...] = ("lossy", "claimed", "proved")
    of_each = [guarantee_of(kind.scenario.protocol.entry, kind.scenario.protocol.dump()) for kind in kinds]
    return min(of_each, key=order.index)


def _of_kind(scenario: Scenario, inputs: SimulationInputs) -> dict[str, Any]:
    """Models of one kind of devices, and their prices at the sites at which they run."""
    costs: dict[str, dict[str, Any]] = {}
    for role, site in sites_of(scenario.protocol.entry, scenario.protocol.settings).items():
        costs.setdefault(site.value, {})[role] = without_paths(inputs.cost_models[site.value][role].describe())
    vocab_size = min(info.vocab_size for info in inputs.models_info.values())
    return {
        "models": {role: _described(info) for role, info in inputs.models_info.items()},
        "wire_vocab_size": scenario.models.wire_vocab_size or vocab_size,
        "compute": costs,
    }


def _described(info: ModelInfo) -> dict[str, Any]:
    plain = {name: value for name, value in info.to_plain().items() if name != "special_ids"}
    return {**plain, "name": name_of_file(info.name)}


def hashes_of(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """SHA-256 of files, by their path in a folder.

    Raises:
        OSError: One of them is missing or cannot be read.
    """
    hashes = {}
    for path in sorted(set(files)):
        with path.open("rb") as file:
            hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
