"""From a scenario to what its world is built from: model metadata, requests, cost models, recorded decoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sim.core.files import cache_folder
from sim.inputs.cost_models import is_measured, make_cost_models
from sim.inputs.scenario_models import info_of_roles, load_models, model_info_of
from sim.inputs.tokenised_requests import request_source
from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.models.interface import LanguageModel
from sim.runs.inputs import SimulationInputs
from sim.scenario.schema import ModelsSettings, Scenario
from sim.tape.archive import shipped_tapes
from sim.tape.key import Addresses
from sim.tape.recorder import Recording, missing_groups, record, wanted_recordings
from sim.tape.store import TapeStore

Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Say nothing."""


def must_be_live(scenario: Scenario) -> bool:
    """Whether the decoding of any kind of devices depends on clock or channel, or its prices on real forwards."""
    return any(_must_be_live(kind.scenario) for kind in scenario.by_kind())


def _must_be_live(scenario: Scenario) -> bool:
    adaptive = scenario.protocol.trait("adaptive") or scenario.controller.trait("adaptive")
    return bool(adaptive) or is_measured(scenario)


def tape_store(with_shipped: bool = True) -> TapeStore:
    """The user's tape, and behind it what ships with the scenarios."""
    return TapeStore(cache_folder() / "tape", second=shipped_tapes() if with_shipped else None)


def wanted_of(scenario: Scenario, inputs: SimulationInputs) -> Wanted:
    """What is to be on tape of all kinds of a scenario's devices."""
    kinds = scenario.by_kind()
    return [(kind.scenario, own.planned) for kind, own in zip(kinds, inputs.kinds, strict=True)]


def keys_of(scenario: Scenario, inputs: SimulationInputs) -> list[str]:
    """Addresses of the requests of all kinds of a scenario's devices that are known before it runs."""
    found = []
    for kind, own in zip(scenario.by_kind(), inputs.kinds, strict=True):
        addresses = Addresses(kind.scenario, own.models_info)
        found += [addresses.of(planned) for planned in own.planned]
    return found


def bare_inputs(scenario: Scenario) -> SimulationInputs:
    """Requests, model metadata and cost models of all kinds of a scenario's devices, without models and tape."""
    found = []
    for kind in scenario.by_kind():
        models_info = model_info_of(kind.scenario)
        source = request_source(kind)
        cost_models = make_cost_models(kind.scenario, models_info)
        found.append(SimulationInputs(source.recordings(), models_info, cost_models, source=source))
    return replace(found[0], others=found[1:])


def prepare(
    scenario: Scenario,
    progress: Progress = no_progress,
    live: bool = False,
    bare: SimulationInputs | None = None,
) -> SimulationInputs:
    """Everything that the scenario's simulation needs; requests that are not on tape are recorded first.

    Args:
        scenario: What to prepare for.
        progress: Called with what is going on, how much is done, and of how much.
        live: Decode while simulating, even where a tape would do; what is decoded goes on tape if it can be replayed.
        bare: What ``bare_inputs`` gives, by one who has it.
    """
    inputs, store = bare_inputs(scenario) if bare is None else bare, tape_store()
    kinds = scenario.by_kind()
    if live or must_be_live(scenario):
        adaptive = [k.scenario.protocol.trait("adaptive") or k.scenario.controller.trait("adaptive") for k in kinds]
        return inputs.with_models(models_by_kind(scenario, inputs), [None if one else store for one in adaptive])
    record_all(wanted_of(scenario, inputs), store, progress)
    return inputs.with_tape(store)


def models_by_kind(scenario: Scenario, inputs: SimulationInputs) -> list[Mapping[str, LanguageModel]]:
    """Models of each kind of devices to decode with while simulating; what several have in common is one model."""
    known: dict[str, LanguageModel] = {}
    found: list[Mapping[str, LanguageModel]] = []
    for kind, own in zip(scenario.by_kind(), inputs.kinds, strict=True):
        models = live_models(kind.scenario, own.models_info, must_be_live(scenario))
        found.append(
            {role: known.setdefault(own.models_info[role].fingerprint, model) for role, model in models.items()}
        )
    return found


def live_models(
    scenario: Scenario, models_info: dict[str, ModelInfo], remembers: bool | None = None
) -> dict[str, LanguageModel]:
    """Models to decode with while simulating, with empty caches; those of adaptive protocols remember forwards."""
    models = load_models(scenario.models, tuple(models_info))
    for model in models.values():
        model.forget_all()
    if is_measured(scenario) or not (must_be_live(scenario) if remembers is None else remembers):
        return models
    from sim.models.row_cache import CachingModel

    return {role: CachingModel(model) for role, model in models.items()}


Wanted = list[tuple[Scenario, list[PlannedRequest]]]


@dataclass(frozen=True)
class MissingGroup:
    """Recordings that are decoded side by side, and the models that decode them."""

    settings: ModelsSettings
    roles: tuple[str, ...]
    recordings: list[Recording]


def missing_recordings(scenarios: Wanted, store: TapeStore) -> list[MissingGroup]:
    """What is to be decoded before these scenarios can be replayed."""
    by_models: dict[tuple[ModelsSettings, tuple[str, ...]], Wanted] = {}
    for scenario, planned in scenarios:
        by_models.setdefault((scenario.models, tuple(model_info_of(scenario))), []).append((scenario, planned))
    return [
        MissingGroup(settings, roles, group)
        for (settings, roles), wanted in by_models.items()
        for group in missing_groups(wanted_recordings(wanted, info_of_roles(settings, roles)), store)
    ]


def record_group(group: MissingGroup, store: TapeStore, on_done: Callable[[], None], payloads: bool = False) -> None:
    """Decode one group in this process."""
    from sim.models.loading import resolve_device

    # A CPU is short of arithmetic, a GPU of memory bandwidth: there the rows that nobody looks at cost nothing.
    on_demand = resolve_device(group.settings.device) == "cpu"
    record(group.recordings, load_models(group.settings, group.roles), store, on_done, payloads, on_demand)


def record_all(scenarios: Wanted, store: TapeStore, progress: Progress = no_progress, payloads: bool = False) -> int:
    """Put on tape, in this process, what the store lacks of these scenarios; returns how many were decoded."""
    groups = missing_recordings(scenarios, store)
    total = sum(len(group.recordings) for group in groups)
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress("decoding", done, total)

    for group in groups:
        record_group(group, store, one_more, payloads)
    return total
