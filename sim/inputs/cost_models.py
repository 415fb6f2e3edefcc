"""The cost models of a scenario: what model work takes at each site, in seconds and joules."""

from __future__ import annotations

from sim.compute.base import ComputeModel
from sim.compute.roles import NoCostModel, make_cost_model
from sim.inputs.scenario_models import load_models, naming_key_at_fault
from sim.models.info import DeferredModel, ModelInfo
from sim.scenario.schema import Scenario


def make_cost_models(scenario: Scenario, models_info: dict[str, ModelInfo]) -> dict[str, dict[str, ComputeModel]]:
    """Compute models by site and role; a host that was never timed is timed now.

    Of the sites only those count at which the protocol runs a model: the others are neither timed nor looked at.
    """
    roles = tuple(models_info)
    placed = scenario.placed()

    def priced(site: str, role: str) -> ComputeModel:
        if site not in placed.get(role, ()):
            return NoCostModel(f"compute.{site}: protocol {scenario.protocol.name!r} runs its {role} model elsewhere")
        choice = scenario.compute[site]
        model = DeferredModel(models_info[role], lambda: load_models(scenario.models, roles)[role])
        # Errors of a forward that is timed are raised with the model's role.
        with naming_key_at_fault({role: models_info[role].name}):
            return make_cost_model(choice.entry, choice.settings, role, model, site)

    return {site: {role: priced(site, role) for role in roles} for site in scenario.compute}


def is_measured(scenario: Scenario) -> bool:
    """Whether a site at which the protocol runs a model is priced by timing its forwards."""
    placed = scenario.placed()
    return any(scenario.compute[site].name == "measured" for where in placed.values() for site in where)
