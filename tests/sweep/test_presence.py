"""A second process in a sweep's folder hears of the first; what dead ones have left is taken away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sim.scenario.schema import Scenario
from sim.sweep import run as sweep_run
from sim.sweep.presence import announced, others_in
from sim.sweep.run import sweep

HOST = socket.gethostname()


def test_a_process_that_lives_is_named_and_a_dead_one_forgotten(tmp_path: Path, capsys):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = tmp_path / f".in-use-{HOST}-{os.getppid()}"
    elsewhere = tmp_path / ".in-use-node-7.cluster-123"
    old = tmp_path / ".in-use-node-8-5"
    dead = tmp_path / f".in-use-{HOST}-{gone.pid}"
    for path in (alive, elsewhere, old, dead):
        path.touch()
    os.utime(old, (0, 0))
    with announced(tmp_path):
        told = capsys.readouterr().err.splitlines()
        assert (tmp_path / f".in-use-{HOST}-{os.getpid()}").exists()
        assert len(others_in(tmp_path)) == 2  # and not this one
    assert sorted(tmp_path.iterdir()) == sorted([alive, elsewhere])
    assert len(told) == 2
    assert f"process {os.getppid()} on {HOST} has been working on this sweep since 20" in "\n".join(told)
    assert "process 123 on node-7.cluster has been working" in "\n".join(told)
    assert all("--resume takes over what is finished" in line for line in told)


def test_a_folder_that_cannot_be_made_is_left_to_those_who_write_it(tmp_path: Path):
    (tmp_path / "file").touch()
    with announced(tmp_path / "file" / "below"):
        pass


@pytest.mark.usefixtures("no_pictures")
def test_a_sweep_announces_itself_and_leaves_nothing(tiny_keys: dict, cache: Path, tmp_path: Path, monkeypatch):
    seen = []
    gather = sweep_run.gather

    def look(place: Path, *arguments: object) -> None:
        seen.extend(path.name for path in place.glob(".in-use-*"))
        gather(place, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sweep_run, "gather", look)
    done = sweep(Scenario.from_dict(tiny_keys), tmp_path, jobs=1)
    assert seen == [f".in-use-{HOST}-{os.getpid()}"]
    assert not list(done.folder.glob(".*"))
