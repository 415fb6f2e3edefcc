"""Use from Python: three names, frames as results, scenarios that can be changed and dumped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim import Scenario, run, sweep


def test_importing_is_cheap():
    code = "import sys, sim; print(sorted({'torch','numpy','pandas','pydantic','simpy','yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.usefixtures("no_pictures")
def test_run_and_sweep_give_frames(tiny: Scenario, tmp_path: Path):
    result = run(tiny)
    assert list(result.requests["device"]) == [0, 0, 1, 1]
    assert result.folder is None
    swept = sweep(tiny, tmp_path, jobs=1)
    assert len(swept.table) == 8
    at_base = swept.table[(swept.table["link.uplink_bandwidth_mhz"] == 0.2) & (swept.table["variant"] == "top-6")]
    assert at_base["e2e_mean_s"].item() == result.summary["e2e_mean_s"]
    columns, rows = swept.overview()
    assert columns[:2] == ["link.uplink_bandwidth_mhz", "variant"] and len(rows) == 8


def test_a_scenario_changed_and_dumped_loads_back_equal(tiny: Scenario, tmp_path: Path):
    from sim.scenario import load_scenario

    changed = tiny.replace("link.uplink_bandwidth_mhz", 5).replace("protocol.name", "dsd")
    path = tmp_path / "changed.yaml"
    path.write_text(changed.to_yaml())
    assert load_scenario(path) == changed != tiny
    assert Scenario.from_dict(yaml.safe_load(tiny.to_yaml())) == tiny


def test_axes_built_in_code_are_plain_values(tiny: Scenario):
    axes = {"link.uplink_bandwidth_mhz": np.logspace(-1, 1, 3), "protocol.top_k": np.arange(2, 4), "seed": range(2)}
    swept = tiny.replace("sweep", {"axes": axes, "zip": {"edge.max_batch": (1, np.int64(2))}})
    assert Scenario.from_dict(yaml.safe_load(swept.to_yaml())) == swept
    assert swept.sweep.axes["protocol.top_k"] == [2, 3] and swept.sweep.zip == {"edge.max_batch": [1, 2]}
    fewer = swept.replace("sweep.axes.link.uplink_bandwidth_mhz", [1.0, 2.0])
    assert fewer.sweep.axes == {**swept.sweep.axes, "link.uplink_bandwidth_mhz": [1.0, 2.0]}
