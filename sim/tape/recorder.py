"""The recorder: decodes all requests that the store lacks, side by side, their forwards batched across requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sim.core.gc_tuning import relaxed_gc
from sim.decoding.drivers.instant import InstantDriver
from sim.decoding.drivers.protocol_run import ProtocolRun
from sim.inputs.identity import needed_models
from sim.inputs.workload import PlannedRequest, make_request, rng_for
from sim.models.info import ModelInfo
from sim.models.interface import LanguageModel
from sim.models.on_demand import OnDemandModel
from sim.scenario.schema import Scenario
from sim.tape.key import Addresses, describe
from sim.tape.store import TapeStore

__all__ = ["AT_ONCE", "Recording", "missing_groups", "needed_models", "record", "wanted_recordings"]

# Requests that advance side by side: many share the costs of a pass, and caches bound how many can.
AT_ONCE = 160
# Groups that a little work is still cut into, for processes to share, and the least that is worth a group.
SHARED_BY, MIN_GROUP = 8, 32


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


def wanted_recordings(
    scenarios: Iterable[tuple[Scenario, list[PlannedRequest]]], models: Mapping[str, ModelInfo]
) -> list[Recording]:
    """All recordings that these scenarios replay, each key once."""
    wanted: dict[str, Recording] = {}
    for scenario, planned_requests in scenarios:
        addresses = Addresses(scenario, models)
        for planned in planned_requests:
            key = addresses.of(planned)
            if key not in wanted:
                wanted[key] = Recording(key, planned, scenario)
    return list(wanted.values())


def missing_groups(wanted: Sequence[Recording], store: TapeStore) -> list[list[Recording]]:
    """The groups of wanted recordings, to be decoded side by side, of which the store lacks any.

    The groups follow from what is wanted, not from what is missing: rows depend in their last bits on the batch that
    they are computed in, so recording that was interrupted goes on with the very batches that it began with.
    """
    # Those of one prompt next to each other: it is fed once for all of them. Texts of like length need least padding.
    ordered = sorted(wanted, key=_place)
    size = min(AT_ONCE, max(MIN_GROUP, -(-len(ordered) // SHARED_BY)))
    groups = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [group for group in groups if not all(store.has(one.key) for one in group)]


def _place(one: Recording) -> tuple[object, ...]:
    return len(one.planned.prompt), one.planned.prompt, one.scenario.seed, one.planned.id


def record(
    recordings: Sequence[Recording],
    models: Mapping[str, LanguageModel],
    store: TapeStore,
    on_done: Callable[[], None] = lambda: None,
    payloads: bool = False,
    on_demand: bool = False,
) -> None:
    """Decode recordings side by side and store those that are missing.

    Args:
        recordings: What to decode, ``AT_ONCE`` at a time or as many as can be cached.
        models: Loaded models by role.
        store: Where to put it.
        on_done: Called after each request.
        payloads: Keep the bytes of all messages too.
        on_demand: Compute only those rows of the verifications that are looked at: fewer operations in more passes.
    """
    size = _max_at_once(recordings, models)
    for start in range(0, len(recordings), size):
        _record_group(recordings[start : start + size], models, store, on_done, payloads, on_demand)


def _max_at_once(recordings: Sequence[Recording], models: Mapping[str, LanguageModel]) -> int:
    """As many requests as can be cached along with the prompts that two or more of them have in common."""
    longest = max((len(one.planned.prompt) + one.scenario.workload.max_new_tokens for one in recordings), default=1)
    for model in models.values():
        model.forget_all()  # What is left from before must not decide.
    max_sessions = min(model.max_sessions(longest) for model in models.values())
    return max(1, min(AT_ONCE, max_sessions * 2 // 3))


def _record_group(
    group: Sequence[Recording],
    models: Mapping[str, LanguageModel],
    store: TapeStore,
    on_done: Callable[[], None],
    payloads: bool,
    on_demand: bool,
) -> None:
    models_info = {role: ModelInfo.of(model) for role, model in models.items()}
    models = {role: OnDemandModel(model, on_demand) for role, model in models.items()}
    for model in models.values():
        model.forget_all()
    # Two recordings of a group may be the same request under two settings; their caches must not meet.
    requests = [make_request(one.planned, one.scenario, needed_models(one.scenario, models_info)) for one in group]
    for number, request in enumerate(requests):
        request.id = -1 - number
    num_prompts = len({tuple(request.prompt) for request in requests})
    longest = max(len(request.prompt) + request.max_new_tokens for request in requests)
    for model in models.values():
        model.reserve(len(requests) + min(num_prompts, len(requests) // 2), longest)
    protocols = [
        one.scenario.protocol.entry.make(request, one.scenario.protocol.settings, rng_for(one.planned, one.scenario))
        for one, request in zip(group, requests, strict=True)
    ]

    def finished(index: int, protocol_run: ProtocolRun) -> None:
        one = group[index]
        if payloads or not store.has(one.key):
            about = describe(one.planned, one.scenario, needed_models(one.scenario, models_info))
            store.put(one.key, protocol_run.records, about, protocol_run.payloads if payloads else None)
        for model in models.values():
            model.close_request(-1 - index)
        on_done()

    with relaxed_gc():
        InstantDriver(models, max_batch=len(group), encodes=payloads).run_all(protocols, finished, requests)
    store.sync()
