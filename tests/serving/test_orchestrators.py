"""Orchestrators: what each decides, when shares change and what that costs, a user's own, and an agent instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sim.core.errors import InputError, RunError
from sim.core.kernel import Environment
from sim.core.user_code import user_code_forgotten
from sim.inputs.identity import RunAddresses
from sim.runs.shared_gpu_env import SharedGpuEnv
from sim.runs.world import World
from sim.scenario.problems import ScenarioProblems
from sim.scenario.schema import Scenario
from sim.serving.ran_sharing.gpu import SharedGpu
from sim.serving.ran_sharing.layer1_cost import layer1_cost
from sim.serving.ran_sharing.orchestration import Orchestration
from sim.serving.ran_sharing.orchestrators.base import Orchestrator, Report
from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS
from sim.serving.ran_sharing.settings import RanSharingSettings
from tests.worlds import drawn_inputs, small_scenario

SLOT_NS = 500_000
COST = layer1_cost("a100")
NR = {"kind": "nr", "bandwidth_mhz": 20, "channel": "ideal", "mcs": 10}
REPORT = Report(
    time_s=10.0, period_s=1.0, day_s=40.0, kept_share=3 / 7, deadline_s=500e-6, layer1_gpu_share=0.2,
    model_gpu_share=0.5,
    slots=2000, late=0, full_cells=1.0, peak_cells=2.0, waiting=0, requests=10, slo_met=10, tokens=100,
    slot_s=lambda cells: COST.seconds(COST.load(cells)), num_cells=4,
)  # fmt: skip


def made(name: str, **keys: Any) -> Orchestrator:
    entry = ORCHESTRATORS.find(name)
    return entry.make(entry.settings.model_validate(keys))


def shared(**keys: Any) -> Scenario:
    devices = {"count": 3, "duration_s": 1.0, "think_time_s": 0, "in_flight": "cut"}
    sharing = {"mode": "mig", "other_cells": 1, "period_s": 0.25, "change_s": 0.01, **keys}
    return small_scenario(link=NR, devices=devices, edge={"ran_sharing": sharing})


def test_what_each_decides():
    assert made("static").share(REPORT) == 3 / 7
    by_time = made("time_of_day", shares=[0.2, 0.3, 0.4])
    shares = [by_time.share(replace(REPORT, time_s=time_s)) for time_s in (0.0, 13.0, 14.0, 39.9, 41.0)]
    assert shares == [0.2, 0.2, 0.3, 0.4, 0.2]
    deficit = made("slo_deficit", step=0.1, max_slo_deficit=0.2)
    assert deficit.share(REPORT) == 3 / 7
    assert deficit.share(replace(REPORT, slo_met=7)) == pytest.approx(3 / 7 - 0.1)
    assert deficit.share(replace(REPORT, slo_met=7, late=1)) == pytest.approx(3 / 7 + 0.1)


def test_the_load_is_predicted_by_level_trend_and_mean_error():
    def needed(cells: float) -> float:
        return COST.seconds(COST.load(cells)) / 500e-6

    orchestrator = made("prb_load", smoothing=0.5, margin=2.0, headroom=0.0)
    assert orchestrator.share(REPORT) == pytest.approx(needed(2))
    # An error of -1: the level falls by half of it, the trend by a quarter, and the mean error is a half.
    assert orchestrator.share(replace(REPORT, peak_cells=1.0)) == pytest.approx(needed(1.5 - 0.25 + 2 * 0.5))
    steady = made("prb_load", margin=100.0, headroom=0.1)
    for peak in (0.0, 4.0):
        share = steady.share(replace(REPORT, peak_cells=peak))
    assert share == pytest.approx(1.1 * needed(4))  # never more than all cells
    rising = made("prb_load", margin=0.0, headroom=0.0)
    for step in range(40):
        share = rising.share(replace(REPORT, peak_cells=1 + step / 20, num_cells=9))
    assert share == pytest.approx(needed(3.0), rel=1e-3)  # a steady rise is foreseen


def test_shares_change_at_the_end_of_a_step_and_the_next_one_waits():
    env = Environment()
    gpu = SharedGpu(env, RanSharingSettings(mode="mig", change_s=0.004), SLOT_NS)
    assert gpu.begin_step() == 0
    env.run(1_000_000)
    gpu.move(2 / 7)
    assert gpu.mode.layer1_share == 3 / 7
    env.run(2_000_000)
    gpu.end_step()
    assert gpu.mode.layer1_share == pytest.approx(2 / 7) and gpu.mode.memory_share == pytest.approx(5 / 8)
    env.run(3_000_000)
    assert gpu.begin_step() == 3_000_000  # what is left of 4 ms
    gpu.end_step()
    gpu.move(2 / 7)
    assert gpu.counts.changes == 1


@pytest.mark.parametrize(
    ("share", "compute", "memory"), [(0.0, 1, 2), (0.2, 2, 3), (3 / 7, 3, 4), (0.5, 4, 5), (0.99, 6, 7)]
)
def test_a_share_is_made_of_whole_slices(share: float, compute: int, memory: int):
    gpu = SharedGpu(Environment(), RanSharingSettings(mode="mig"), SLOT_NS)
    gpu.move(share)
    assert (gpu.mode.layer1_share, gpu.mode.memory_share) == (compute / 7, 1 - memory / 8)


def test_decisions_keep_within_the_bounds():
    gpu = SharedGpu(Environment(), RanSharingSettings(mode="mps"), SLOT_NS)
    orchestration = Orchestration(gpu.env, gpu, None, lambda: 0)
    for wanted, kept in ((0.0, 1 / 7), (0.3, 0.3), (0.9, 4 / 7)):
        orchestration.move(wanted)
        assert gpu.mode.layer1_share == kept
    with pytest.raises(RunError, match="must return a share of the GPU, 0 or more, got nan"):
        orchestration.move(float("nan"))


def test_a_day_moves_the_slices_and_the_night_leaves_more_to_the_model():
    day = {"other_cells": 3, "other_load": 1.0, "other_profile": [0.05, 1.0], "other_profile_scales": "load"}
    scenario = shared(**day, day_s=2.0, orchestrator={"name": "time_of_day", "shares": [1 / 7, 4 / 7]})
    scenario = scenario.replace("devices.duration_s", 4.0)
    output = World(scenario, drawn_inputs(scenario)).run()
    kept = [row["layer1_kept_share"] for row in output.tables.gpu.rows]
    assert kept == pytest.approx([1 / 7, 4 / 7, 1 / 7, 4 / 7]) and output.figures["layer1_changes"] == 4
    night, day_time = (output.tables.servers.rows[second]["new_tokens"] for second in (2, 3))
    assert night > 1.5 * day_time


def test_load_is_followed_with_fewer_late_slots_than_a_small_share_and_more_tokens_than_a_large_one():
    day = {"other_cells": 3, "other_load": 1.0, "other_profile": [0.1, 0.1, 0.1, 0.7], "other_profile_scales": "load"}
    found = {}
    for name, keys in {
        "small": {"layer1_compute_slices": 1, "layer1_memory_slices": 2},
        "large": {"layer1_compute_slices": 4, "layer1_memory_slices": 5},
        "moved": {"orchestrator": "prb_load", "period_s": 0.1},
    }.items():
        scenario = shared(**{**day, "day_s": 4.0, **keys}).replace("devices.duration_s", 4.0)
        found[name] = World(scenario, drawn_inputs(scenario)).run().figures
    late, tokens = ({name: one[key] for name, one in found.items()} for key in ("layer1_late_per_1e5", "tokens_per_s"))
    assert late["large"] == 0 < late["moved"] < 0.5 * late["small"]
    assert tokens["large"] < tokens["moved"]


def test_runs_are_the_same_twice_and_an_orchestrator_is_part_of_their_identity():
    scenarios = [shared(orchestrator=name) for name in ("static", "prb_load", "slo_deficit")]
    addresses = set()
    for scenario in scenarios:
        given = drawn_inputs(scenario)
        addresses.add(RunAddresses().of(scenario, given.models_info, given.cost_models))
    assert len(addresses) == 3
    first, second = (World(scenarios[1], drawn_inputs(scenarios[1])).run() for _ in range(2))
    assert first.requests == second.requests and first.figures == second.figures


def test_a_users_own_orchestrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "my_orchestrator.py"
    file.write_text(
        "from sim.serving.ran_sharing.orchestrators.base import Orchestrator\n"
        "from sim.serving.ran_sharing.orchestrators.registry import ORCHESTRATORS\n\n\n"
        "@ORCHESTRATORS.register('half_of_the_rest')\n"
        "class Half(Orchestrator):\n"
        "    def share(self, report):\n"
        "        return report.kept_share / 2\n"
    )
    monkeypatch.chdir(tmp_path)
    with user_code_forgotten(), ORCHESTRATORS.restored_afterwards():
        scenario = shared(orchestrator="my_orchestrator:Half", mode="mps")
        assert scenario.dump()["edge"]["ran_sharing"]["orchestrator"] == {"name": "my_orchestrator:Half"}
        given = drawn_inputs(scenario)
        output = World(scenario, given).run()
        before = RunAddresses().of(scenario, given.models_info, given.cost_models)
        file.write_text(file.read_text() + "# another\n")
        assert RunAddresses().of(scenario, given.models_info, given.cost_models) != before
    assert output.figures["layer1_changes"] == 2  # a half, a quarter, and the bound


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"orchestrator": "statik"}, r"unknown orchestrator 'statik' \(did you mean 'static'\?\)"),
        ({"orchestrator": {"name": "prb_load", "step": 1}}, "it belongs to slo_deficit"),
        ({"orchestrator": "prb_load", "mode": "priority"}, "priority does not have; valid: mode mig or mps"),
        ({"other_profile": "residental"}, r"unknown load profile 'residental' \(did you mean 'residential'\?\)"),
        ({"other_profile": [0.5, 1.5]}, "factors from 0 to 1"),
        ({"min_layer1_share": 0.9}, "must not be above max_layer1_share"),
    ],
)
def test_what_does_not_fit_is_refused(keys: dict[str, Any], message: str):
    with pytest.raises(ScenarioProblems, match=message):
        shared(**keys)


def test_an_agent_that_keeps_the_share_does_what_no_orchestrator_does():
    scenario = shared()
    env = SharedGpuEnv(scenario, inputs=drawn_inputs)
    observation, _ = env.reset()
    assert observation.tolist() == pytest.approx([0, 0, 3 / 7, 0, 0, 0, 0, 0, 0, 1])
    rewards, steps, is_over = 0.0, 0, False
    while not is_over:
        observation, reward, _, is_over, info = env.step(np.int64(2))
        rewards, steps = rewards + reward, steps + 1
    assert steps == 4 and info["slots"] == 500 and env.world is not None
    alone = World(scenario, drawn_inputs(scenario)).run()
    ended = sorted(env.world.tables.requests.rows, key=lambda row: (row["device"], row["request"]))
    assert ended == alone.requests and len(ended) > 5
    assert rewards == pytest.approx(sum(row["tokens"] for row in alone.requests) / 0.25)


def test_gymnasium_finds_nothing_wrong_with_the_environment():
    env = SharedGpuEnv(shared(), inputs=drawn_inputs)
    check_env(env, skip_render_check=True)
    assert env.shares == pytest.approx([1 / 7, 2 / 7, 3 / 7, 4 / 7])


def test_episodes_need_shares_and_a_window():
    with pytest.raises(InputError, match="mode mig or mps"):
        SharedGpuEnv(shared(mode="priority"))
    with pytest.raises(InputError, match="needs a window"):
        SharedGpuEnv(small_scenario(link=NR, edge={"ran_sharing": {"mode": "mig"}}))
