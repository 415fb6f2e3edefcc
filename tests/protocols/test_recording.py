"""Short cuts of recording change nothing: messages only measured, rows computed only when they are looked at."""

from __future__ import annotations

import pytest

from sim.decoding.core.random_source import KeyedRandom
from sim.decoding.core.request import Request
from sim.decoding.drivers.instant import InstantDriver
from sim.decoding.protocols.registry import PROTOCOLS, lossless_to
from sim.models.interface import ForwardPass
from sim.models.on_demand import OnDemandModel, PromisedRows
from sim.models.tabular import TabularModel

NAMES = PROTOCOLS.names()
# How many candidates a node gets is known only when they were drawn: nothing can be put off.
MANY = {"candidates": [3, 2], "draft_length": 2, "top_k": 5}
TREES = [
    ("tslt", {"candidates": 2}),
    ("tslt", MANY),
    ("tslt", {"candidates": [2, 2, 1], "draft_length": 3, "top_k": 5, "draw": "iid", "rule": "recursive"}),
]
CASES = [(name, {}) for name in NAMES] + TREES


class Counting(TabularModel):
    """Counts the rows and batches that it computes."""

    rows_run = batches_run = 0

    def _run(self, batch):
        self.batches_run += 1
        self.rows_run += sum(forward.num_rows for forward in batch)
        return super()._run(batch)


def trio() -> dict[str, TabularModel]:
    target = TabularModel.random(1, 24, concentration=0.3)
    near = {role: TabularModel.random(seed, 24, concentration=0.3, near=target) for role, seed in NEAR.items()}
    return {role: Counting(model.row, 24, name=role) for role, model in {**near, "target": target}.items()}


NEAR = {"draft": 2, "middle": 3}


def record(name, settings, encodes, on_demand):
    """Scripts of six requests side by side, and the rows that each model has computed for them."""
    scripts, models = recorded(name, settings, encodes, on_demand)
    return scripts, {role: model.rows_run for role, model in models.items()}


def recorded(name, settings, encodes, on_demand):
    entry = PROTOCOLS.find(name)
    models = trio()
    front = {role: OnDemandModel(model) for role, model in models.items()} if on_demand else models
    claim = lossless_to(entry)  # each row that is emitted from must have been asked for, however it was computed
    requests = [Request(number, [number, 3], 24, 30, lossless_to=claim) for number in range(6)]
    protocols = [entry.make(r, entry.settings(**settings), KeyedRandom(7, "request", r.id)) for r in requests]
    return InstantDriver(front, encodes=encodes).run_all(protocols, requests=requests), models


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_short_cuts_leave_no_trace(name, settings):
    """Every size, round and figure; the tables' rows do not depend on batches, so equal means equal."""
    whole, rows_of_whole = record(name, settings, encodes=True, on_demand=False)
    short, rows_of_short = record(name, settings, encodes=False, on_demand=True)
    assert [repr(script.records) for script in short] == [repr(script.records) for script in whole]
    assert all(script.payloads for script in whole) == (name != "device_only")
    assert not any(script.payloads for script in short)
    assert all(rows_of_short[role] <= rows for role, rows in rows_of_whole.items())
    if name == "tslt":
        # A row per emitted token is all that a rule looks at.
        assert rows_of_short["target"] <= 6 * 30 < rows_of_whole["target"]
    if name in ("tslt", "tk_slt", "sqs", "colocated") and settings != MANY:
        assert rows_of_short["draft"] < rows_of_whole["draft"]


@pytest.mark.parametrize("settings", [{}, {"candidates": 2}])
def test_requests_stay_side_by_side(settings):
    """However their drafts fare: each gets on by a token per batch of the target, and the last one ends with all."""
    _, models = recorded("tslt", settings, encodes=False, on_demand=True)
    assert models["target"].batches_run <= 30 + 1
    assert models["draft"].batches_run <= 30 + 1


def test_a_promised_row_is_that_of_the_whole_forward():
    """Down a tree's path, and for a row that nobody asked for in time."""
    model = TabularModel.random(5, 16)
    work = ForwardPass(("r", "edge", "target"), [1, 2], (3, 4, 5, 6), (-1, -1, 1, 2))
    whole = model.forward([work])[0]
    model.close("r")
    front = OnDemandModel(TabularModel.random(5, 16))
    promise = front.promise(work)
    assert isinstance(promise, PromisedRows)
    front.fulfil([(promise, 0)])
    assert promise.has(0)
    assert not promise.has(2)
    for index in (0, 2, 3, 4):
        assert (promise[index] == whole[index]).all()
    assert front.new_tokens(ForwardPass(work.session, [1, 2, 4, 5, 6])) == 1


def test_a_text_too_long_is_refused_when_its_rows_are_promised():
    model = TabularModel.random(5, 16)
    model.max_context = 4
    with pytest.raises(ValueError, match="exceeds its context"):
        OnDemandModel(model).promise(ForwardPass("r", [1, 2, 3], (4, 5)))


def test_a_prompt_in_common_is_fed_once():
    """The inner model's books say what was really fed: each prompt once, then a token per request."""
    prompt, other = list(range(9)), [3, 2, 1]
    fed = []

    class Fed(TabularModel):
        def _run(self, batch):
            fed.extend(self.new_tokens(forward) for forward in batch)
            return super()._run(batch)

    model = TabularModel.random(5, 16)
    front = OnDemandModel(Fed(model.row, 16))
    works = [ForwardPass((number,), prompt if number < 3 else other, (7,)) for number in range(4)]
    assert [front.new_tokens(work) for work in works] == [10, 10, 10, 4]
    rows = front.forward(works)
    assert fed == [9, 2, 2, 2, 4]
    for work, own in zip(works, rows, strict=True):
        assert (own == model.forward([work])[0]).all()
    assert [front.new_tokens(ForwardPass((number,), [*prompt, 7, 1])) for number in range(3)] == [1, 1, 1]
