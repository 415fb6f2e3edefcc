"""Small worlds for tests: scenarios over table-driven models and stated compute times, nothing on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sim.compute.roles import make_cost_model
from sim.decoding.controllers.registry import CONTROLLERS
from sim.inputs.requests import DrawnRequests
from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.models.interface import LanguageModel
from sim.models.tabular import TabularModel
from sim.results.output import RunOutput
from sim.runs.inputs import SimulationInputs
from sim.runs.run import simulate as run_simulation
from sim.runs.world import World
from sim.scenario.schema import Scenario
from sim.sweep.work import EntryStore
from sim.tape.recorder import record, wanted_recordings

VOCABULARY = 16
FIXED_COMPUTE = {
    "device": {"kind": "fixed", "per_forward_s": 0.002, "per_token_s": 0.0005},
    "edge": {"kind": "fixed", "per_forward_s": 0.01, "per_token_s": 0.001},
    "cloud": {"kind": "fixed", "per_forward_s": 0.004, "per_token_s": 0.0002},
}


def table_models(vocab_size: int = VOCABULARY) -> dict[str, LanguageModel]:
    """A draft and a middle model that agree in part with the target."""
    target = TabularModel.random(2, vocab_size, name="target")
    draft = TabularModel.random(1, vocab_size, near=target, nearness=0.7, name="draft")
    middle = TabularModel.random(3, vocab_size, near=target, nearness=0.9, name="middle")
    return {"draft": draft, "middle": middle, "target": target}


def small_scenario(**changes: Any) -> Scenario:
    """Three devices, two requests each, over a fixed link; parts given replace the defaults."""
    keys: dict[str, Any] = {
        "name": "small",
        "seed": 5,
        "devices": {"count": 3, "requests": 2, "think_time_s": 0.05},
        "workload": {"max_new_tokens": 12},
        "models": {"draft": "draft", "middle": "middle", "target": "embedded/target"},
        "protocol": {"name": "tslt", "draft_length": 3, "top_k": 6},
        "link": {"kind": "fixed", "uplink_mbps": 0.2, "downlink_mbps": 1, "one_way_delay_s": 0.004},
        "edge": {"max_batch": 4, "batch_window_s": 0.001},
        "compute": FIXED_COMPUTE,
    }
    return Scenario.from_dict({**keys, **changes})


def parts_for_controller(controller: Any) -> dict[str, Any]:
    """The link and the server that a controller asks for, where those of the small scenario will not do."""
    traits = CONTROLLERS.find(controller if isinstance(controller, str) else controller["name"]).traits
    asked: dict[str, Any] = {}
    if traits.get("sets_shares"):
        asked["link"] = {"kind": "shannon", "uplink_bandwidth_mhz": 0.05, "downlink_bandwidth_mhz": 0.2}
    if traits.get("plans_batches"):
        asked["edge"] = {"policy": "cohort"}
    return asked


def controlled_scenario(controller: Any, **changes: Any) -> Scenario:
    """The small scenario under a controller, with the link and the server that the controller asks for."""
    return small_scenario(**{**parts_for_controller(controller), **changes}, controller=controller)


def planned_requests(scenario: Scenario) -> list[PlannedRequest]:
    """Prompts of two to five tokens."""
    return [
        PlannedRequest(device, index, tuple((device + index + i) % VOCABULARY for i in range(2 + (device + index) % 4)))
        for device in range(scenario.devices.count)
        for index in range(scenario.devices.requests_per_device or 1)
    ]


def inputs(scenario: Scenario, models: dict[str, LanguageModel] | None = None) -> SimulationInputs:
    """Live inputs over table-driven models."""
    by_role = models if models is not None else table_models()
    used = {role: by_role[role] for role in scenario.protocol.trait("models")}
    cost_models = {
        site: {role: make_cost_model(choice.entry, choice.settings, role, model, site) for role, model in used.items()}
        for site, choice in scenario.compute.items()
    }
    models_info = {role: ModelInfo.of(model) for role, model in used.items()}
    return SimulationInputs(planned_requests(scenario), models_info, cost_models, used)


def simulate(scenario: Scenario, models: dict[str, LanguageModel] | None = None) -> RunOutput:
    """Run a scenario live over table-driven models."""
    return World(scenario, inputs(scenario, models)).run()


def simulate_planned(scenario: Scenario, planned: list[PlannedRequest]) -> RunOutput:
    """Run given requests live over table-driven models."""
    return World(scenario, replace(inputs(scenario), planned=planned)).run()


def drawn_inputs(scenario: Scenario, prompt_tokens: int = 3) -> SimulationInputs:
    """Live inputs over table-driven models whose requests are drawn as a scenario says, from prompts of a length."""
    by_role = table_models()
    found = []
    for kind in scenario.by_kind():
        part = kind.scenario
        used = {role: by_role[role] for role in part.protocol.trait("models")}
        cost_models = {
            site: {
                role: make_cost_model(choice.entry, choice.settings, role, model, site) for role, model in used.items()
            }
            for site, choice in part.compute.items()
        }
        models_info = {role: ModelInfo.of(model) for role, model in used.items()}
        source = DrawnRequests(
            part, models_info, lambda text: [len(text) % VOCABULARY] * prompt_tokens, kind.first, kind.name
        )
        found.append(SimulationInputs(source.recordings(), models_info, cost_models, used, source=source))
    return replace(found[0], others=found[1:])


def recorded_inputs(scenario: Scenario, prompt_tokens: int = 3) -> SimulationInputs:
    """Inputs of ``drawn_inputs`` with all requests on a tape in memory."""
    live = drawn_inputs(scenario, prompt_tokens)
    store = EntryStore({})
    for kind, own in zip(scenario.by_kind(), live.kinds, strict=True):
        record(wanted_recordings([(kind.scenario, own.planned)], own.models_info), own.models, store)
    return live.with_models([{} for _ in live.kinds]).with_tape(store)


def simulate_drawn(scenario: Scenario, prompt_tokens: int = 3) -> dict[str, Any]:
    """The summary of a scenario over table-driven models whose requests are drawn as it says, recorded before."""
    return run_simulation(scenario, recorded_inputs(scenario, prompt_tokens), keep="summary").summary


def pair_keys(pair: Path) -> dict[str, Any]:
    """Keys of a small scenario over a pair of checkpoints that tests saved in a folder, with its prompts."""
    return {
        "seed": 3,
        "devices": {"count": 2, "requests": 2},
        "workload": {"prompts": str(pair / "prompts.jsonl"), "max_new_tokens": 8, "stop_at_eos": False},
        "models": {"draft": str(pair / "draft"), "target": str(pair / "target"), "device": "cpu"},
        "protocol": {"name": "tslt", "draft_length": 3, "top_k": 6},
        "link": {"kind": "shannon", "uplink_bandwidth_mhz": 0.2, "downlink_bandwidth_mhz": 0.5},
        "compute": FIXED_COMPUTE,
    }
