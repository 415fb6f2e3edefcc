"""From a scenario to what its world is built from: models' facts, planned requests, prices, recorded decoding."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim.compute.base import ComputeModel
from sim.errors import InputError
from sim.models.facts import DeferredModel, ModelFacts, files_stamp
from sim.models.interface import LanguageModel
from sim.scenario.schema import ModelsSettings, Scenario
from sim.tape.recorder import missing_recordings, record
from sim.tape.store import TapeStore, write_atomically
from sim.workload import PlannedRequest, plan_requests
from sim.world import Ingredients

Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Say nothing."""


def cache_folder() -> Path:
    """Where tapes, calibrations and model facts are kept: ``SPECRAN_CACHE`` or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("SPECRAN_CACHE") or user_cache_path("specran"))


def model_names(settings: ModelsSettings, roles: Sequence[str]) -> dict[str, str]:
    """What the user called the model of each role.

    Raises:
        InputError: A role that the protocol needs has no model.
    """
    names = {role: getattr(settings, role, None) for role in roles}
    for role, name in names.items():
        if name is None:
            raise InputError(f"models.{role}: the protocol needs a {role} model and none is named")
    return {role: str(name) for role, name in names.items()}


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
        "trust_remote_code": settings.trust_remote_code,
    }
    if len(names) == 1:
        return {role: load_model(name, **options) for role, name in names.items()}
    leader = "target" if "target" in names else next(iter(names))
    models: dict[str, LanguageModel] = {}
    for role, name in names.items():
        if role != leader:
            models[role], models[leader] = load_pair(name, names[leader], **options)
    return {role: models[role] for role in names}


@lru_cache(maxsize=64)
def _facts(settings: ModelsSettings, roles: tuple[str, ...]) -> dict[str, ModelFacts]:
    """Facts of the models, from the cache if their files have not changed, else by loading them."""
    from sim.models.loading import resolve_folder

    names = model_names(settings, roles)
    stamp = {role: [name, files_stamp(resolve_folder(name))] for role, name in names.items()}
    question = json.dumps([stamp, settings.device, settings.dtype], sort_keys=True)
    path = cache_folder() / "models.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {role: ModelFacts.from_plain(plain) for role, plain in known[question].items()}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    facts = {role: ModelFacts.of(model) for role, model in load_models(settings, roles).items()}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known = {**known, question: {role: fact.to_plain() for role, fact in facts.items()}}
    write_atomically(path, json.dumps(known, sort_keys=True).encode())
    return facts


def facts_of(scenario: Scenario) -> dict[str, ModelFacts]:
    """Facts of the models that a scenario's protocol needs, by role."""
    return _facts(scenario.models, tuple(scenario.protocol.fact("models")))


def plan(scenario: Scenario) -> list[PlannedRequest]:
    """The scenario's requests with their prompts as token ids."""
    from sim.models.loading import load_tokenizer

    facts = facts_of(scenario)
    leader = facts.get("target") or next(iter(facts.values()))
    tokenizer = load_tokenizer(leader.name, trust_remote_code=scenario.models.trust_remote_code)
    return plan_requests(scenario, facts, tokenizer.encode)


def prices(scenario: Scenario, facts: dict[str, ModelFacts]) -> dict[str, dict[str, ComputeModel]]:
    """Compute models by site and role; a host that was never timed is timed now."""
    roles = tuple(facts)

    def deferred(role: str) -> DeferredModel:
        return DeferredModel(facts[role], lambda: load_models(scenario.models, roles)[role])

    return {
        site: {role: choice.entry.make(choice.settings, deferred(role)) for role in roles}
        for site, choice in scenario.compute.items()
    }


def must_be_live(scenario: Scenario) -> bool:
    """Whether the scenario's decoding depends on clock or channel, or its prices on real forwards."""
    measured = any(choice.name == "measured" for choice in scenario.compute.values())
    adaptive = scenario.protocol.fact("adaptive") or scenario.controller.fact("adaptive")
    return bool(adaptive) or measured


def prepare(scenario: Scenario, progress: Progress = no_progress, live: bool = False) -> Ingredients:
    """Everything that the scenario's world needs; requests that are not on tape are recorded first.

    Args:
        scenario: What to prepare for.
        progress: Told what is going on, how much is done, and of how much.
        live: Decode while simulating, even where a tape would do.
    """
    facts = facts_of(scenario)
    planned = plan(scenario)
    pricers = prices(scenario, facts)
    if live or must_be_live(scenario):
        models = load_models(scenario.models, tuple(facts))
        return Ingredients(planned, facts, pricers, models)
    store = TapeStore(cache_folder() / "tape")
    record_all([(scenario, planned)], store, progress)
    return Ingredients(planned, facts, pricers, tape=store)


def record_all(
    scenarios: list[tuple[Scenario, list[PlannedRequest]]], store: TapeStore, progress: Progress = no_progress
) -> int:
    """Put on tape whatever these scenarios will replay and the store lacks; returns how many were decoded."""
    by_models: dict[tuple[ModelsSettings, tuple[str, ...]], list[tuple[Scenario, list[PlannedRequest]]]] = {}
    for scenario, planned in scenarios:
        by_models.setdefault((scenario.models, tuple(facts_of(scenario))), []).append((scenario, planned))
    total = 0
    for (settings, roles), group in by_models.items():
        facts = _facts(settings, roles)
        missing = missing_recordings(group, facts, store)
        if not missing:
            continue
        total += len(missing)
        models = load_models(settings, roles)
        done = 0

        def one_more(total: int = len(missing)) -> None:
            nonlocal done
            done += 1
            progress("decoding", done, total)

        record(missing, models, store, one_more)
    return total
