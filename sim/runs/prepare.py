"""From a scenario to what its world is built from: models' facts, planned requests, prices, recorded decoding."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim.compute.base import ComputeModel
from sim.compute.roles import NoCostModel, make_cost_model
from sim.core.errors import InputError
from sim.core.files import cache_folder, read_json_object, update_json_object
from sim.core.user_code import remote_code_is_trusted
from sim.decoding.protocols.registry import sites_of
from sim.inputs.prompts import Chat
from sim.inputs.requests import DrawnRequests
from sim.inputs.versions import decoding_code
from sim.inputs.workload import PlannedRequest
from sim.models.fingerprint import library_versions
from sim.models.info import DeferredModel, ModelInfo, files_stamp
from sim.models.interface import LanguageModel
from sim.models.sources import find_model, is_here
from sim.runs.inputs import SimulationInputs
from sim.scenario.schema import Kind, ModelsSettings, Scenario
from sim.tape.imported import find_models, prompts_in
from sim.tape.key import Addresses
from sim.tape.recorder import Recording, missing_groups, record, wanted_recordings
from sim.tape.store import TapeStore

Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Say nothing."""


def model_names(settings: ModelsSettings, roles: Sequence[str]) -> dict[str, str]:
    """What the user called the model of each role.

    Raises:
        InputError: A role that the protocol needs has no model.
    """
    names = {role: getattr(settings, role, None) for role in roles}
    for role, name in names.items():
        if name is None:
            raise InputError(f"the protocol needs a {role} model and none is named", f"models.{role}")
    if str(names.get("middle", "")).startswith("embedded/") and not settings.target.startswith("embedded/"):
        raise InputError(
            f"the protocol needs a middle model that goes with {settings.target}; name one", "models.middle"
        )
    return {role: re.sub(r"^target(?=#layers=)", lambda _: settings.target, str(name)) for role, name in names.items()}


@contextmanager
def _key_of_one_at_fault(names: Mapping[str, str]) -> Iterator[None]:
    """Say the model's key too, where loading fails for one of them."""
    try:
        yield
    except InputError as error:
        blamed = [role for role, name in names.items() if repr(name) in str(error)]
        if len(blamed) != 1 or error.key:
            raise
        raise InputError(error.message, f"models.{blamed[0]}") from error


def load_models(settings: ModelsSettings, roles: Sequence[str]) -> dict[str, LanguageModel]:
    """Load the models of these roles, checked against each other.

    Raises:
        InputError: One cannot be loaded, or they do not fit together.
    """
    from sim.models.loading import load_model, load_pair, use_threads

    use_threads(1)
    names = model_names(settings, roles)
    options: dict[str, Any] = {
        "device": settings.device,
        "dtype": settings.dtype,
        "trust_remote_code": remote_code_is_trusted(),
    }
    leader = "target" if "target" in names else next(iter(names))
    models: dict[str, LanguageModel] = {}
    with _key_of_one_at_fault(names):
        if len(names) == 1:
            return {leader: load_model(names[leader], **options)}
        for role, name in names.items():
            if role != leader:
                models[role], models[leader] = load_pair(name, names[leader], **options)
    return {role: models[role] for role in names}


def _model_info(settings: ModelsSettings, roles: tuple[str, ...]) -> dict[str, ModelInfo]:
    """Facts of the models: from the cache if their files have not changed, else by loading them.

    Models that are not on this machine are known by the facts that came with an imported tape; those that are here are
    never taken for what a tape says of them.
    """
    names = model_names(settings, roles)
    here = tuple(role for role, name in names.items() if is_here(name))
    if len(here) < len(roles):
        imported = find_models(names, settings.dtype)
        if imported is not None and all(_is_same(settings, role, imported[role]) for role in here):
            return imported
    return _info_by(settings, roles, info_cache_key(names, settings), cache_folder() / "models.json")


def _is_same(settings: ModelsSettings, role: str, imported: ModelInfo) -> bool:
    """Whether a model that is here is the one that an imported tape means."""
    return _model_info(settings, (role,))[role].fingerprint == imported.fingerprint


@lru_cache(maxsize=64)
def _info_by(settings: ModelsSettings, roles: tuple[str, ...], cache_key: str, path: Path) -> dict[str, ModelInfo]:
    try:
        return {role: ModelInfo.from_plain(plain) for role, plain in read_json_object(path)[cache_key].items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    models_info = {role: ModelInfo.of(model) for role, model in load_models(settings, roles).items()}
    store_info(cache_key, models_info)
    return models_info


def info_cache_key(names: dict[str, str], settings: ModelsSettings) -> str:
    """What facts are remembered by: names, files and numerics of models on this machine.

    Raises:
        InputError: A model is not here.
    """
    with _key_of_one_at_fault(names):
        stamp = {role: [name, files_stamp(find_model(name).folders)] for role, name in names.items()}
    made_by = [decoding_code(), library_versions("torch", "transformers", "numpy")]
    return json.dumps([stamp, settings.device, settings.dtype, made_by], sort_keys=True)


def store_info(cache_key: str, models_info: dict[str, ModelInfo]) -> None:
    """Keep facts for the next time."""
    plain = {role: info.to_plain() for role, info in models_info.items()}
    update_json_object(cache_folder() / "models.json", lambda known: {**known, cache_key: plain})


def model_info_of(scenario: Scenario) -> dict[str, ModelInfo]:
    """Facts of the models that a scenario's protocol needs, by role."""
    return _model_info(scenario.models, tuple(scenario.protocol.trait("models")))


def planned_requests(scenario: Scenario) -> list[PlannedRequest]:
    """Requests of a scenario of devices alike that are known before it runs, or the recordings that stand for all."""
    return request_source(Kind("", 0, scenario)).recordings()


def request_source(kind: Kind) -> DrawnRequests:
    """The requests of a kind of devices with their prompts as token ids."""
    models_info = model_info_of(kind.scenario)
    leader = models_info.get("target") or next(iter(models_info.values()))
    trusted = remote_code_is_trusted()

    def encode(content: str | Chat) -> tuple[int, ...]:
        return encode_prompt(leader, trusted, content)

    return DrawnRequests(kind.scenario, models_info, encode, kind.first)


@lru_cache(maxsize=4096)
def encode_prompt(model: ModelInfo, trust_remote_code: bool, content: str | Chat) -> tuple[int, ...]:
    """Token ids of a text or a chat; an imported tape tells those of models that are not on this machine."""
    from sim.models.loading import load_tokenizer

    imported = prompts_in(cache_folder()).get(model.fingerprint, {})
    if (key := prompt_key(content)) in imported and not is_here(model.name):
        return tuple(imported[key])
    tokenizer = load_tokenizer(model.name, trust_remote_code=trust_remote_code)
    if isinstance(content, str):
        return tuple(tokenizer.encode(content))
    return tuple(tokenizer.encode_chat([{"role": role, "content": text} for role, text in content]))


def prompt_key(content: str | Chat) -> str:
    """What the token ids of a text or a chat are remembered by."""
    return content if isinstance(content, str) else f"chat {json.dumps(content)}"


def make_cost_models(scenario: Scenario, models_info: dict[str, ModelInfo]) -> dict[str, dict[str, ComputeModel]]:
    """Compute models by site and role; a host that was never timed is timed now.

    Of the sites only those count at which the protocol runs a model: the others are neither timed nor looked at.
    """
    roles = tuple(models_info)
    placed = sites_of(scenario.protocol.entry, scenario.protocol.settings)

    def priced(site: str, role: str) -> ComputeModel:
        if placed.get(role) != site:
            return NoCostModel(f"compute.{site}: protocol {scenario.protocol.name!r} runs its {role} model elsewhere")
        choice = scenario.compute[site]
        model = DeferredModel(models_info[role], lambda: load_models(scenario.models, roles)[role])
        # Whatever a forward says while it is timed is told with the model's role.
        with _key_of_one_at_fault({role: models_info[role].name}):
            return make_cost_model(choice.entry, choice.settings, role, model, site)

    return {site: {role: priced(site, role) for role in roles} for site in scenario.compute}


def must_be_live(scenario: Scenario) -> bool:
    """Whether the decoding of any kind of devices depends on clock or channel, or its prices on real forwards."""
    return any(_must_be_live(kind.scenario) for kind in scenario.by_kind())


def _must_be_live(scenario: Scenario) -> bool:
    adaptive = scenario.protocol.trait("adaptive") or scenario.controller.trait("adaptive")
    return bool(adaptive) or _is_measured(scenario)


def _is_measured(scenario: Scenario) -> bool:
    """Whether a site at which the protocol runs a model is priced by timing its forwards."""
    placed = sites_of(scenario.protocol.entry, scenario.protocol.settings)
    return any(scenario.compute[site].name == "measured" for site in placed.values())


def tape_store() -> TapeStore:
    """The user's tape."""
    return TapeStore(cache_folder() / "tape")


def wanted_of(scenario: Scenario, inputs: SimulationInputs | None = None) -> Wanted:
    """What is to be on tape of all kinds of a scenario's devices."""
    kinds = scenario.by_kind()
    if inputs is None:
        return [(kind.scenario, request_source(kind).recordings()) for kind in kinds]
    return [(kind.scenario, own.planned) for kind, own in zip(kinds, inputs.kinds, strict=True)]


def keys_of(scenario: Scenario, inputs: SimulationInputs) -> list[str]:
    """Addresses of the requests of all kinds of a scenario's devices that are known before it runs."""
    found = []
    for kind, own in zip(scenario.by_kind(), inputs.kinds, strict=True):
        addresses = Addresses(kind.scenario, own.models_info)
        found += [addresses.of(planned) for planned in own.planned]
    return found


def bare_inputs(scenario: Scenario) -> SimulationInputs:
    """Requests, facts and prices of all kinds of a scenario's devices, without models and tape."""
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
        inputs = inputs.with_models(models_by_kind(scenario, inputs))
        for kind, own in zip(kinds, inputs.kinds, strict=True):
            part = kind.scenario
            if not (part.protocol.trait("adaptive") or part.controller.trait("adaptive")):
                own.record_to = store
        return inputs
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
    if _is_measured(scenario) or not (must_be_live(scenario) if remembers is None else remembers):
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
        for group in missing_groups(wanted_recordings(wanted, _model_info(settings, roles)), store)
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
