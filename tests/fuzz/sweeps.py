"""The sweep that is killed and whose power is cut: a tiny random pair, two dozen points, made once undisturbed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sim.core.files import cache_folder
from sim.scenario.schema import Scenario
from sim.sweep.run import sweep
from sim.tape.store import TapeStore
from tests.models.builders import network, save
from tests.worlds import pair_keys


@dataclass(frozen=True)
class SmallSweep:
    """A sweep and what it makes.

    Attributes:
        path: The scenario's file.
        scenario: The scenario.
        table: The sweep's table as Parquet.
        recorded: Tape entries by file name.
        num_points: Points of the sweep.
    """

    path: Path
    scenario: Scenario
    table: bytes
    recorded: dict[str, bytes]
    num_points: int


def small_keys(pair: Path) -> dict[str, Any]:
    """The sweep as YAML has it."""
    return {
        "name": "small",
        **pair_keys(pair),
        "sweep": {"axes": {"link.uplink_bandwidth_mhz": [0.1, 0.2, 0.5]}, "replications": 8},
    }


def small_sweep(folder: Path) -> SmallSweep:
    """Make the pair, and run the sweep once, undisturbed."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = folder / "pair"
    for name, seed in (("draft", 1), ("target", 2)):
        save(network("llama", seed=seed), pair / name)
    prompts = [json.dumps({"ids": [3 + (7 * i + j) % 90 for j in range(3 + i)]}) for i in range(5)]
    (pair / "prompts.jsonl").write_text("\n".join(prompts) + "\n")
    path = folder / "case.yaml"
    path.write_text(json.dumps(small_keys(pair)))
    scenario = Scenario.from_dict(small_keys(pair))
    with pytest.MonkeyPatch.context() as patch:
        # Of its own, so that nothing of it is on tape already.
        patch.setenv("SPECRAN_CACHE", str(folder / "undisturbed-cache"))
        result = sweep(scenario, folder / "undisturbed", jobs=1)
        entries = list(TapeStore(cache_folder() / "tape").files())
    assert entries
    return SmallSweep(
        path,
        scenario,
        (result.folder / "sweep.parquet").read_bytes(),
        {entry.name: entry.read_bytes() for entry in entries},
        len(result.table),
    )
