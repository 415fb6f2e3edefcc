"""Sweeps and recordings that are killed: resuming gives the table of an undisturbed run, and no half files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.scenario.schema import Scenario
from sim.sweep.run import sweep
from sim.tape.store import TapeStore
from tests.fuzz.kills import Nursery, kill_and_resume, unfinished

KILLS = 12


@pytest.mark.usefixtures("no_pictures")
def test_killed_and_resumed_equals_undisturbed(tiny_keys: dict, cache: Path, tmp_path: Path):
    """Over and over: killed while recording, killed again wherever it has got to, then resumed to the end."""
    tiny_keys["sweep"] = {"axes": {"link.uplink_bandwidth_mhz": [0.1, 0.2, 0.5]}, "replications": 8}
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    undisturbed = sweep(Scenario.from_dict(tiny_keys), tmp_path / "undisturbed", jobs=1)
    expected = (undisturbed.folder / "sweep.parquet").read_bytes()
    recorded = {entry.name: entry.read_bytes() for entry in TapeStore(cache / "tape").files()}
    killed = kill_and_resume(path, tmp_path, expected, recorded, KILLS, seed=7)
    assert killed.while_recording >= KILLS // 4 and killed.later >= KILLS // 4


@pytest.mark.usefixtures("no_pictures")
def test_two_sweeps_in_one_folder_do_not_harm_each_other(tiny_keys: dict, cache: Path, tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    alone = sweep(Scenario.from_dict(tiny_keys), tmp_path / "alone", jobs=1)
    both = [Nursery(path, tmp_path / "shared", tmp_path / "shared-cache") for _ in range(2)]
    for nursery in both:
        nursery.start()
    for nursery in both:
        assert nursery.ended()[0] == 0
        nursery.close()
    (table,) = (tmp_path / "shared").rglob("sweep.parquet")
    assert table.read_bytes() == (alone.folder / "sweep.parquet").read_bytes()
    assert not unfinished(tmp_path / "shared")
    finished = alone.folder / "points" / "finished.points"
    assert (table.parent / "points" / "finished.points").read_bytes() == finished.read_bytes()
