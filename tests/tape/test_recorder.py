"""The recorder's groups: large enough to share the costs of a pass, small enough to share and to cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.decoding.drivers.instant import InstantDriver
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
    sizes: list[int] = []
    run_all = InstantDriver.run_all

    def counting(driver, protocols, *others):
        sizes.append(len(protocols))
        return run_all(driver, protocols, *others)

    monkeypatch.setattr(InstantDriver, "run_all", counting)
    (group,) = missing_recordings([(tiny, planned_requests(tiny))], TapeStore(tmp_path))
    stores = [model._store for model in load_models(group.settings, group.roles).values()]
    for store in stores:
        monkeypatch.setattr(store, "max_slots", 3)
    before = [store.num_evicted for store in stores]
    record_group(group, TapeStore(tmp_path), lambda: None)
    assert sizes == [2, 2]
    assert [store.num_evicted for store in stores] == before
    assert len(TapeStore(tmp_path).list_keys()) == 4
