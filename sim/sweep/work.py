"""What a worker process does: simulate points of a sweep, or decode groups of requests. No torch unless it decodes."""

from __future__ import annotations

import gc
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.core.errors import InputError, RunError
from sim.core.user_code import exits_are_failures
from sim.inputs.scenario_models import model_info_of
from sim.inputs.workload import PlannedRequest
from sim.links.shannon import FADING_MEMORY
from sim.models.interface import LanguageModel
from sim.models.row_cache import CachingModel
from sim.results.point_log import pack_table
from sim.results.tables import Keep, RunTables
from sim.runs.inputs import SimulationInputs
from sim.runs.prepare import MissingGroup, models_by_kind, record_group
from sim.runs.run import simulate
from sim.scenario.schema import ModelsSettings, Scenario
from sim.tape.archive import shipped_tapes
from sim.tape.key import Addresses
from sim.tape.recorder import Recording
from sim.tape.store import TapeStore

# Tables that a point leaves beside its summary.
TABLES_OF: dict[Keep, tuple[str, ...]] = {
    "summary": (),
    "requests": ("requests",),
    "rounds": ("requests", "rounds", "servers", "gpu"),
}
# Where a point's summary holds those of its kinds of devices.
KINDS = "kinds"
# Shared inputs that a worker keeps unpacked; points are submitted so that those of the same inputs follow each other.
_MAX_SHARED = 4
_MAX_FADING_CHUNKS = 60_000


@dataclass(frozen=True)
class SharedInputs:
    """What all points share that differ in link and sites only; sent to the workers.

    Attributes:
        inputs: Requests, model metadata and cost models, without models and tape.
        tape: Folder of the tape on this machine, None for points that decode while they simulate.
        entries: Tape entries by key, for workers that cannot read the folder.
    """

    inputs: SimulationInputs
    tape: Path | None
    entries: dict[str, bytes] | None = None

    def pack(self) -> bytes:
        """As bytes.

        Raises:
            InputError: A cost model that cannot be sent to another process.
        """
        try:
            return pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(f"a compute model cannot be sent to worker processes: {error}") from error


@dataclass(frozen=True)
class PointTask:
    """Points for one worker, simulated one after the other.

    Attributes:
        places: Their places in the sweep.
        scenarios: Their scenarios; they travel as nested plain values, and arrive so.
        inputs_id: Names the shared inputs.
        keep: Which tables to return beside the summary.
    """

    places: tuple[int, ...]
    scenarios: tuple[Scenario | dict[str, Any], ...]
    inputs_id: str
    keep: Keep

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process."""
        plain = tuple(one.dump() if isinstance(one, Scenario) else one for one in self.scenarios)
        return {**vars(self), "scenarios": plain}

    def scenario(self, number: int) -> Scenario:
        """One of the scenarios, checked where it is used."""
        own = self.scenarios[number]
        return own if isinstance(own, Scenario) else Scenario.from_dict(own)


@dataclass(frozen=True)
class PointDone:
    """What became of a point.

    Attributes:
        place: Its place in the sweep.
        summary: Its figures; None if it failed.
        tables: As ``pack_table`` makes them, by name.
        failure: What went wrong.
        forwards_run: DraftSegment that were computed while simulating, by protocols that must.
        forwards_remembered: DraftSegment whose rows an earlier forward of the same text had brought.
    """

    place: int
    summary: dict[str, Any] | None
    tables: dict[str, tuple[bytes, str]]
    failure: str = ""
    forwards_run: int = 0
    forwards_remembered: int = 0


class EntryStore(TapeStore):
    """A tape whose entries came along in memory."""

    def __init__(self, entries: dict[str, bytes]) -> None:
        super().__init__(Path())
        self._entries = entries

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry, or None."""
        return self._entries.get(key)

    def write(self, key: str, data: bytes) -> None:
        """Keep an entry's bytes."""
        self._entries[key] = data


_shared: OrderedDict[str, SimulationInputs] = OrderedDict()
_prepared: set[str] = set()
_stores: dict[Path, TapeStore] = {}


def unpacked(inputs_id: str, packed: bytes) -> SimulationInputs:
    """Shared inputs as a worker uses them; the last few stay unpacked."""
    known = _shared.get(inputs_id)
    if known is not None:
        _shared.move_to_end(inputs_id)
        return known
    shared: SharedInputs = pickle.loads(packed)
    store: TapeStore | None = None
    if shared.entries is not None:
        store = EntryStore(shared.entries)
    elif shared.tape is not None:
        store = _stores.setdefault(shared.tape, TapeStore(shared.tape, second=shipped_tapes()))
    _shared[inputs_id] = ready = shared.inputs.with_tape(store)
    while len(_shared) > _MAX_SHARED:
        _shared.popitem(last=False)
    return ready


def get_ready(keys: dict[str, Any]) -> None:
    """Import and read what points of a scenario need, before there are any.

    Args:
        keys: The scenario as nested plain values.
    """
    with suppress(InputError):
        # What is wrong with it is told where the sweep was started.
        Scenario.from_dict(keys)


def simulate_points(task: PointTask, packed: bytes) -> list[PointDone]:
    """Simulate a task's points; one that fails does not stop the next."""
    FADING_MEMORY.keep(_MAX_FADING_CHUNKS)
    inputs = unpacked(task.inputs_id, packed)
    done = []
    if inputs.tape is None:
        inputs = inputs.with_models(_models_like(inputs, task.scenario(0)))
    for number, place in enumerate(task.places):
        try:
            for model in inputs.all_models():
                model.forget_all()
            before = _forwards(inputs)
            with exits_are_failures():
                point = _simulate_point(place, task.scenario(number), inputs, task.keep)
            run, remembered = (now - then for now, then in zip(_forwards(inputs), before, strict=True))
            done.append(replace(point, forwards_run=run, forwards_remembered=remembered))
        except (InputError, RunError) as error:
            done.append(PointDone(place, None, {}, str(error)))
        except Exception as error:
            done.append(PointDone(place, None, {}, f"{type(error).__name__}: {error}"))
    if task.inputs_id not in _prepared:
        # Requests, records and prices stay for the points to come: the collector need not walk them again and again.
        _prepared.add(task.inputs_id)
        gc.collect()
        gc.freeze()
    return done


def _models_like(inputs: SimulationInputs, scenario: Scenario) -> list[Mapping[str, LanguageModel]]:
    """The models that decode while simulating, loaded where this runs, of each kind of devices.

    Raises:
        InputError: One is not here, or is another one than where the sweep was started.
    """
    try:
        by_kind = models_by_kind(scenario, inputs)
    except InputError as error:
        raise InputError(f"points that decode while they simulate need their models where they run: {error}") from error
    for models, own in zip(by_kind, inputs.kinds, strict=True):
        for role, model in models.items():
            here, there = model, own.models_info[role]
            if here.fingerprint != there.fingerprint:
                raise InputError(
                    f"models.{role}: {model.name!r} is another model on this worker than where the sweep was started"
                )
            if here.numerics != there.numerics:
                raise InputError(
                    f"models.{role}: this worker computes with {here.numerics}, and where the sweep was started with "
                    f"{there.numerics}"
                )
    return by_kind


def _forwards(inputs: SimulationInputs) -> tuple[int, int]:
    """DraftSegment run and remembered so far."""
    remembering = [model for model in inputs.all_models() if isinstance(model, CachingModel)]
    return sum(model.num_run for model in remembering), sum(model.num_remembered for model in remembering)


def _simulate_point(place: int, scenario: Scenario, inputs: SimulationInputs, keep: Keep) -> PointDone:
    result = simulate(scenario, inputs, keep=keep)
    tables: RunTables = result.output.tables
    rows = {name: getattr(tables, name).rows for name in TABLES_OF[keep]}
    summary = {**result.summary, **({KINDS: result.by_kind} if result.by_kind else {})}
    return PointDone(place, summary, {name: pack_table(own) for name, own in rows.items()})


@dataclass(frozen=True)
class RecordTask:
    """A group of requests to decode side by side.

    Attributes:
        settings: Which models.
        roles: Their roles.
        scenarios: Scenarios as nested plain values.
        requests: Key, place of the scenario, and request.
        folder: Where the entries go; None returns them.
        payloads: Keep the bytes of all messages too.
    """

    settings: ModelsSettings
    roles: tuple[str, ...]
    scenarios: tuple[dict[str, Any], ...]
    requests: tuple[tuple[str, int, PlannedRequest], ...]
    folder: Path | None
    payloads: bool = False

    @classmethod
    def of(cls, group: MissingGroup, folder: Path | None, payloads: bool = False) -> RecordTask:
        """The task of recording a group."""
        scenarios: list[Scenario] = []
        places: dict[int, int] = {}
        requests = []
        for one in group.recordings:
            place = places.get(id(one.scenario))
            if place is None:
                place = places[id(one.scenario)] = len(scenarios)
                scenarios.append(one.scenario)
            requests.append((one.key, place, one.planned))
        dumps = tuple(scenario.dump() for scenario in scenarios)
        return cls(group.settings, group.roles, dumps, tuple(requests), folder, payloads)


def record_requests(task: RecordTask) -> dict[str, bytes]:
    """Decode a task's requests; returns the entries that were not written to its folder."""
    scenarios = [Scenario.from_dict(keys) for keys in task.scenarios]
    recordings = [Recording(key, planned, scenarios[place]) for key, place, planned in task.requests]
    _check_addresses(recordings)
    entries: dict[str, bytes] = {}
    store = EntryStore(entries) if task.folder is None else TapeStore(task.folder)
    record_group(MissingGroup(task.settings, task.roles, recordings), store, lambda: None, task.payloads)
    return entries


def _check_addresses(recordings: Sequence[Recording]) -> None:
    """Whether the requests have the same addresses here as where the sweep was started.

    Raises:
        InputError: They do not: models, libraries or code are others.
    """
    addresses: dict[int, Addresses] = {}
    for one in recordings:
        known = addresses.get(id(one.scenario))
        if known is None:
            known = addresses[id(one.scenario)] = Addresses(one.scenario, model_info_of(one.scenario))
        if known.of(one.planned) != one.key:
            raise InputError("this worker has other models, libraries or another version of SpecRAN than the sweep")


def entries_of(store: TapeStore, keys: Sequence[str]) -> dict[str, bytes]:
    """The bytes of entries, for workers that cannot read the tape's folder.

    Raises:
        RunError: One is missing.
    """
    found = {}
    for key in keys:
        data = store.read(key)
        if data is None:
            raise RunError(f"tape entry {key[:12]} vanished while the sweep was being prepared; run it again")
        found[key] = data
    return found
