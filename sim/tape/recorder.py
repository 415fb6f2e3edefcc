"""The recorder: decodes all requests that the store lacks, side by side, their forwards batched across requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sim.decoding.instant import InstantDriver
from sim.decoding.scripts import LiveScript
from sim.models.facts import ModelFacts
from sim.models.interface import LanguageModel
from sim.scenario.schema import Scenario
from sim.tape.key import describe, key_of
from sim.tape.store import TapeStore
from sim.workload import PlannedRequest, luck_of, make_request


@dataclass(frozen=True)
class Recording:
    """One request of one scenario that is to be on tape.

    Attributes:
        key: Its address.
        planned: The request.
        scenario: The scenario whose protocol, sampling and seed it is decoded with.
    """

    key: str
    planned: PlannedRequest
    scenario: Scenario


def missing_recordings(
    scenarios: Iterable[tuple[Scenario, list[PlannedRequest]]], models: dict[str, ModelFacts], store: TapeStore
) -> list[Recording]:
    """What the store lacks, each key once."""
    wanted: dict[str, Recording] = {}
    for scenario, planned_requests in scenarios:
        for planned in planned_requests:
            key = key_of(describe(planned, scenario, needed_models(scenario, models)))
            if key not in wanted and store.get(key) is None:
                wanted[key] = Recording(key, planned, scenario)
    return list(wanted.values())


def needed_models(scenario: Scenario, models: Mapping[str, ModelFacts]) -> dict[str, ModelFacts]:
    """Facts of the models that a scenario's protocol uses; the others cannot matter to its text."""
    return {role: models[role] for role in scenario.protocol.fact("models")}


def record(
    recordings: list[Recording],
    models: Mapping[str, LanguageModel],
    store: TapeStore,
    on_done: Callable[[], None] = lambda: None,
    at_once: int = 64,
) -> None:
    """Decode and store.

    Args:
        recordings: What to decode.
        models: Loaded models by role.
        store: Where to put it.
        on_done: Called after each request.
        at_once: Requests that advance side by side; bounds the memory of their caches.
    """
    facts = {role: ModelFacts.of(model) for role, model in models.items()}
    driver = InstantDriver(models, max_batch=at_once)
    for start in range(0, len(recordings), at_once):
        group = recordings[start : start + at_once]
        # Two recordings of a group may be the same request under two settings; their caches must not meet.
        requests = [make_request(one.planned, one.scenario, needed_models(one.scenario, facts)) for one in group]
        for number, request in enumerate(requests):
            request.id = -1 - number
        protocols = [
            one.scenario.protocol.entry.make(
                request, one.scenario.protocol.settings, luck_of(one.planned, one.scenario)
            )
            for one, request in zip(group, requests, strict=True)
        ]

        def finished(index: int, script: LiveScript, group: list[Recording] = group) -> None:
            one = group[index]
            about = describe(one.planned, one.scenario, needed_models(one.scenario, facts))
            store.put(one.key, script.records, about)
            for model in models.values():
                model.close_request(-1 - index)
            on_done()

        driver.run_all(protocols, finished)
