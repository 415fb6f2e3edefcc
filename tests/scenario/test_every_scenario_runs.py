"""Every bundled scenario runs, with the embedded models and the link it names, cut down to a few tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.runs.run import run
from sim.scenario import load_scenario
from sim.scenario.loading import bundled_scenarios
from sim.sweep.points import expand

MAX_DEVICES = 8


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the module's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("name", bundled_scenarios())
def test_the_last_point_of_every_bundled_scenario_runs(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECRAN_CACHE", str(cache))
    scenario = expand(load_scenario(name))[-1].scenario.replace("workload.max_new_tokens", 4)
    scenario = scenario.replace("devices.requests", 1)
    if scenario.devices.count > MAX_DEVICES:
        scenario = scenario.replace("devices.count", MAX_DEVICES)
    result = run(scenario)
    assert result.summary["requests"] == scenario.devices.count
    assert 0 < result.summary["tokens"] <= 4 * scenario.devices.count
    assert result.summary["e2e_mean_s"] > 0
