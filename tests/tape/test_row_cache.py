"""Remembered rows: the same rows and the same charges, nothing computed twice, bounded memory, sweeps that gain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sim.models.interface import ForwardPass
from sim.models.row_cache import CachingModel
from sim.models.tabular import TabularModel
from sim.scenario.schema import Scenario
from sim.sweep.run import sweep

FORWARDS = [
    ForwardPass((0, "edge", "target"), [1, 2, 3]),
    ForwardPass((0, "edge", "target"), [1, 2, 3], (4, 5)),
    ForwardPass((0, "edge", "target"), [1, 2, 3, 4], (6,), None, 1),
    ForwardPass((0, "edge", "target"), [1, 2, 3], (4, 4), (-1, -1)),
]


def test_rows_and_charges_are_those_of_the_model():
    plain, model = TabularModel.random(2, 16), CachingModel(TabularModel.random(2, 16))
    for _ in range(2):
        for forward in FORWARDS:
            assert model.new_tokens(forward) == plain.new_tokens(forward)
            np.testing.assert_array_equal(model.forward([forward])[0], plain.forward([forward])[0])
        for each in (plain, model):
            each.close_request(0)
    # The last one asks for rows that the second has brought.
    assert (model.num_run, model.num_remembered) == (3, 5)


def test_rows_are_shared_by_rounds_requests_and_draft_lengths():
    model = CachingModel(TabularModel.random(2, 16))
    model.forward([ForwardPass("one", [1, 2], (3, 4, 5))])
    known = [
        ForwardPass("one", [1, 2, 3, 4], (5,)),
        ForwardPass("two", [1, 2, 3]),
        ForwardPass("three", [1, 2], (3, 3, 4), (-1, -1, 0)),
    ]
    assert [len(rows) for rows in model.forward(known)] == [2, 1, 4]
    assert (model.num_run, model.num_remembered) == (1, 3)


def test_memory_is_bounded_and_keeps_what_came_first():
    model = CachingModel(TabularModel.random(2, 16), max_bytes=3 * 16 * 8)
    for _ in range(2):
        for token in range(10):
            model.forward([ForwardPass((token, "edge", "target"), [token])])
            assert model._bytes <= model.max_bytes
        model.forget_all()
    assert (model.num_run, model.num_remembered) == (17, 3)


def forwards_of(keys: dict, rates: list[float], out: Path) -> tuple[int, int]:
    """DraftSegment run and remembered by a sweep over these uplink rates."""
    keys = {**keys, "sweep": {"axes": {"link.uplink_bandwidth_mhz": rates}}}
    folder = sweep(Scenario.from_dict(keys), out, jobs=1).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["run_facts"]["requests_decoded"] == 0
    return manifest["run_facts"]["forwards_run"], manifest["run_facts"]["forwards_remembered"]


@pytest.mark.usefixtures("no_pictures", "cache")
@pytest.mark.parametrize("protocol", [{"name": "gumbel"}, {"name": "tslt", "top_k": 6}])
def test_a_sweep_of_an_adaptive_controller_pays_for_what_differs(tiny_keys: dict, protocol: dict, tmp_path: Path):
    """Six rates under a controller that chooses draft lengths by the channel cost little more than the slowest one."""
    tiny_keys["protocol"] = {**protocol, "draft_length": 3}
    tiny_keys["controller"] = {"name": "flexspec", "max_draft_length": 6}
    alone, repeated = forwards_of(tiny_keys, [0.02], tmp_path / "one")
    run, remembered = forwards_of(tiny_keys, [0.02, 0.05, 0.1, 0.5, 2.0, 20.0], tmp_path / "six")
    assert run + remembered > 5 * (alone + repeated)
    assert remembered > run
    if protocol["name"] == "gumbel":
        # The text is the same at every rate, so that nothing of the target is computed twice.
        assert run < 2 * alone


@pytest.mark.usefixtures("no_pictures", "cache")
def test_remembering_changes_no_result(tiny_keys: dict, tmp_path: Path):
    """A point after two others has the very row that it has alone."""
    tiny_keys["controller"] = {"name": "flexspec", "max_draft_length": 6}
    tables = []
    for rates in ([0.02, 0.1, 20.0], [20.0]):
        keys = {**tiny_keys, "sweep": {"axes": {"link.uplink_bandwidth_mhz": rates}}}
        tables.append(sweep(Scenario.from_dict(keys), tmp_path / str(len(rates)), jobs=1).table)
    last, alone = (table.iloc[-1] for table in tables)
    numbers = [name for name, value in alone.items() if not isinstance(value, str)]
    # Rows may differ in their last bits, by the batches that they were computed in; figures of rows then do, too.
    assert dict(last[numbers]) == pytest.approx(dict(alone[numbers]), rel=1e-6, nan_ok=True)
