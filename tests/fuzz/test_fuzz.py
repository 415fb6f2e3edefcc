"""A small part of the fuzzer, seeded: ``make fuzz`` runs all of it. And the fuzzer itself: it finds what is put in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import files, scenarios
from tests.fuzz.power import lose_power_and_resume
from tests.fuzz.sweeps import small_sweep
from tests.fuzz.watch import run_watched

SEED = 1


def test_mutated_scenarios_are_told_in_words(tmp_path: Path):
    sources, keys = scenarios.bases(), scenarios.known_keys()
    cases = [scenarios.scenario_case(index, SEED, sources, keys) for index in range(150)]
    codes: list[int | None] = []
    faults = run_watched(cases, lambda case: scenarios.check(case, tmp_path), 60.0, lambda one: codes.append(one.code))
    assert not faults, (faults[0], cases[faults[0].index])
    assert 0 in codes and codes.count(2) > 75


def test_mutated_scenarios_run_or_say_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sim.runs.run.write_run", lambda *_: None)
    sources, keys = scenarios.bases(), scenarios.known_keys()
    cases = [scenarios.run_case(index, SEED, sources, keys) for index in range(25)]
    codes: list[int | None] = []
    faults = run_watched(cases, lambda case: scenarios.check(case, tmp_path), 120.0, lambda one: codes.append(one.code))
    assert not faults, (faults[0], cases[faults[0].index])
    assert codes.count(0) > 12


def call_alone(case: files.FileCase, call: Callable[[files.FileCase], int]) -> int | None:
    """The exit code of a command, in a process of its own."""
    codes: list[int | None] = []
    faults = run_watched([case], call, 60.0, lambda one: codes.append(one.code))
    assert not faults, faults[0]
    return codes[0]


def test_mutated_files_are_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))

    def call(case: files.FileCase) -> int:
        files.stop_before_running()
        return files.check(case, tmp_path)

    for kind in files.prepare_folder(tmp_path):
        assert call_alone(files.FileCase(kind, kind.content), call) in (0, 1), f"a good file is not taken: {kind.name}"
        cases = [files.file_case(kind, index, SEED) for index in range(5)]
        faults = run_watched(cases, call, 60.0)
        assert not faults, (kind.name, faults[0], cases[faults[0].index].content[:500])


@pytest.mark.usefixtures("no_pictures")
def test_lost_power_costs_only_what_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECRAN_CACHE", str(tmp_path / "cache"))
    lost = lose_power_and_resume(small_sweep(tmp_path / "small"), tmp_path, count=6, seed=SEED)
    assert lost.lost_points > 0


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda _: 1 // 0, "ZeroDivisionError"),
        (lambda _: 3, "exit code 3"),
        (lambda _: time.sleep(60) or 0, "hangs for more than"),
        (lambda _: os.kill(os.getpid(), 9) or 0, "ended the process"),
        (lambda _: print("Traceback (most recent call last)") or 0, "prints a traceback"),
    ],
)
def test_the_watch_sees_what_is_wrong(call, fault: str):
    outcomes = []
    hang_s = 5.0 if "hangs" in fault else 120.0
    faults = run_watched([1, 2], lambda case: call(case) if case == 1 else 0, hang_s, outcomes.append)
    assert [one.index for one in faults] == [0] and fault in faults[0].fault
    assert [one.index for one in outcomes] == [0, 1] and outcomes[1].code == 0


def test_the_same_seed_gives_the_same_mutants():
    sources, keys = scenarios.bases(), scenarios.known_keys()
    one, other = ([scenarios.scenario_case(i, seed, sources, keys) for i in range(20)] for seed in (1, 1))
    assert one == other
    assert one != [scenarios.scenario_case(i, 2, sources, keys) for i in range(20)]
