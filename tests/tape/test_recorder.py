"""The recorder's groups: large enough to share the costs of a pass, small enough to share and to cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.inputs.scenario_models import load_models
from sim.inputs.tokenised_requests import planned_requests
from sim.inputs.workload import PlannedRequest
from sim.runs.prepare import missing_recordings, record_group
from sim.scenario.schema import Scenario
from sim.tape.recorder import AT_ONCE, Recording, missing_groups
from sim.tape.store import TapeStore


@pytest.mark.parametrize(("wanted", "sizes"), [(20, {20}), (100, {32, 4}), (480, {60}), (4800, {AT_ONCE})])
def test_a_little_work_is_cut_for_processes_to_share(tiny: Scenario, tmp_path: Path, wanted: int, sizes: set[int]):
    recordings = [Recording(f"{n:064x}", PlannedRequest(n, 0, (3, 4)), tiny) for n in range(wanted)]
    groups = missing_groups(recordings, TapeStore(tmp_path))
    assert {len(group) for group in groups} == sizes
    assert sum(len(group) for group in groups) == wanted


def test_no_more_requests_at_once_than_the_caches_hold(tiny: Scenario, tmp_path: Path, monkeypatch):
    """Four requests over a store of six slots fit; over one of three they go two by two, and no text is fed twice."""
    from sim.models.kv_store import KvStore

    evicted: list[int] = []
    sizes: list[int] = []
    monkeypatch.setattr(KvStore, "_evict", lambda self, count, pinned: evicted.append(count))
    monkeypatch.setattr("sim.tape.recorder._record_group", _counting(sizes))
    (group,) = missing_recordings([(tiny, planned_requests(tiny))], TapeStore(tmp_path))
    for model in load_models(group.settings, group.roles).values():
        monkeypatch.setattr(model._store, "max_slots", 3)
    record_group(group, TapeStore(tmp_path), lambda: None)
    assert sizes == [2, 2]
    assert not evicted
    assert len(TapeStore(tmp_path).list_keys()) == 4


def _counting(sizes: list[int]):
    from sim.tape import recorder

    whole = recorder._record_group

    def counting(group, *others):
        sizes.append(len(group))
        whole(group, *others)

    return counting
