"""Every bundled scenario runs, with the link it names, cut down to a few tokens.

Those over a chat model run with the embedded models here, which are fast; the quickstart runs with its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.runs.run import run
from sim.scenario import Scenario, load_scenario
from sim.scenario.loading import bundled_scenarios
from sim.scenario.points import expand

MAX_DEVICES = 8


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the module's own."""
    return tmp_path_factory.mktemp("cache")


def cut_down(scenario: Scenario) -> Scenario:
    """Few devices with one short request each, whatever their load is."""
    keys = scenario.dump()
    alone = isinstance(keys["devices"], dict)
    kinds = [keys["devices"]] if alone else keys["devices"]
    for kind in kinds:
        kind.update({"count": min(kind["count"], MAX_DEVICES // len(kinds)), "requests": 1})
        for key in ("duration_s", "warmup_s", "in_flight"):
            kind.pop(key, None)
    keys["workload"].update({"max_new_tokens": 4, "distinct_requests": None})
    if keys["workload"]["prompts"].endswith(".csv"):  # a trace's answers are as long as they were
        keys["workload"]["prompts"] = "embedded"
    if "output_tokens" in keys["workload"]:
        keys["workload"]["output_tokens"] = {"mean": 4}
    if keys["name"] != "quickstart":
        keys["models"] = "embedded"
    return Scenario.from_dict(keys)


@pytest.mark.parametrize("name", bundled_scenarios())
def test_the_last_point_of_every_bundled_scenario_runs(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPECRAN_CACHE", str(cache))
    scenario = cut_down(expand(load_scenario(name))[-1].scenario)
    result = run(scenario)
    # A device that no cell reaches has its request given up, which is counted.
    assert result.summary["requests"] + result.summary["failed"] == scenario.devices.count
    assert 0 < result.summary["tokens"] <= 4 * scenario.devices.count
    assert result.summary["e2e_mean_s"] > 0
