"""Protocols that are wrong say so: no table of dashes, no tokens that no verdict covers, no endless round."""

from __future__ import annotations

import pytest

from sim.core.errors import RunError
from sim.decoding import ChainSettings, decode, protocol
from sim.decoding.core.steps import Drop, Emit, Join, Location, Observe, Round, Start, Together
from sim.decoding.drivers import conformance
from sim.decoding.protocols.registry import PROTOCOLS
from tests.worlds import table_models


def ends_at_once(request):
    return
    yield


def emits_nothing(request):
    yield Observe()


def ends_too_early(request):
    yield request.emit([1], drafted=0, tested=0, accepted=0)


def emits_an_empty_round(request):
    yield Emit(Round((), drafted=0, tested=0, accepted=0))


def emits_what_no_verdict_covers(request):
    yield request.emit([1, 2, 3], drafted=4, tested=2, accepted=1)


def accepts_more_than_it_tests(request):
    yield request.emit([1, 2], drafted=4, tested=1, accepted=2)


def has_tested_more_than_it_drafts(request):
    yield request.emit([1], drafted=1, tested=2, accepted=0)


def emits_tokens_that_are_not_in_the_text(request):
    yield Emit(Round((1,), drafted=0, tested=0, accepted=0))


def keeps_tokens_that_it_does_not_emit(request):
    while not request.finished:
        step = request.emit([1], drafted=0, tested=0, accepted=0)
        if request.finished:
            yield step


def goes_round_in_circles(request):
    while True:
        yield Observe()


def never_ends_a_round(request):
    while not request.finished:
        yield request.forward(Location.DEVICE, "draft")
        yield request.forward(Location.EDGE, "target")


def yields_no_step(request):
    yield "draft"


def runs_a_model_that_it_has_not(request):
    yield request.forward(Location.EDGE, "middle")


def a_forward_pass(request):
    yield request.forward(Location.EDGE, "target")


def leaves_a_branch_behind(request):
    yield Start(a_forward_pass(request))
    while not request.finished:
        yield request.emit([1], drafted=0, tested=0, accepted=0)


def drafts(request):
    yield request.forward(Location.DEVICE, "draft")


def starts_and_ends(request):
    yield Start(a_forward_pass(request))


def leaves_a_branch_of_a_branch_behind(request):
    yield Together((starts_and_ends(request), drafts(request)))


def joins_a_branch_twice(request):
    started = yield Start(a_forward_pass(request))
    yield Join(started)
    yield Join(started)


def is_no_generator(request):
    return [1, 2]


WRONG = [
    (ends_at_once, "ended without having emitted a round"),
    (emits_nothing, "ended without having emitted a round"),
    (ends_too_early, "ended after 1 tokens, before its request was finished"),
    (emits_an_empty_round, "emits a round without a token"),
    (emits_what_no_verdict_covers, "emits 3 tokens in a round whose verdicts cover 2"),
    (accepts_more_than_it_tests, "2 accepted, 1 tested and 4 drafted"),
    (has_tested_more_than_it_drafts, "0 accepted, 2 tested and 1 drafted"),
    (emits_tokens_that_are_not_in_the_text, "emits tokens that are not in its request's text"),
    (keeps_tokens_that_it_does_not_emit, "8 tokens in its request's text, of which its rounds emitted 1"),
    (goes_round_in_circles, r"emitted no token in 5\d\d steps, 0 of them forward passes of the target"),
    (never_ends_a_round, r"in 30 steps, 15 of them forward passes of the target; a round ends with finish_round"),
    (yields_no_step, "yielded 'draft', which is no step"),
    (runs_a_model_that_it_has_not, "runs a model 'middle'; it was registered with draft, target"),
    (leaves_a_branch_behind, "ended with a branch that it neither joined nor dropped"),
    (leaves_a_branch_of_a_branch_behind, "ended with a branch that it neither joined nor dropped"),
    (joins_a_branch_twice, "joins or drops a branch that it has joined or dropped"),
    (is_no_generator, "a protocol is a generator that yields steps, got list"),
]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    """Registers a coroutine under the name ``wrong``."""
    monkeypatch.setattr(conformance, "MAX_STEPS_PER_ROUND", 500)
    monkeypatch.setattr(conformance, "MAX_TARGET_FORWARDS_PER_ROUND", 12)

    def register(coroutine):
        def wrong(request, settings, rng):
            return coroutine(request)

        wrong.__name__ = coroutine.__name__
        protocol("wrong", ChainSettings, lossless=True)(wrong)

    with PROTOCOLS.restored_afterwards():
        yield register


@pytest.mark.parametrize(("coroutine", "says"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_protocols_are_errors_as_a_library(registered, coroutine, says):
    registered(coroutine)
    models = table_models()
    with pytest.raises(RunError, match=says):
        decode("wrong", models["draft"], models["target"], [1, 2], max_new_tokens=8)


@pytest.mark.parametrize(("coroutine", "says"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_protocols_are_errors_in_a_simulation(registered, coroutine, says):
    from tests.worlds import simulate, small_scenario

    registered(coroutine)
    scenario = small_scenario(protocol={"name": "wrong"}, workload={"max_new_tokens": 8})
    with pytest.raises(RunError, match=says):
        simulate(scenario)


def test_only_work_of_the_device_can_be_dropped(registered):
    """A forward pass at the edge is under way whatever the device does: in a simulation, that is an error."""
    from tests.worlds import simulate, small_scenario

    def drops_what_the_edge_computes(request):
        started = yield Start(a_forward_pass(request))
        yield request.forward(Location.DEVICE, "draft")
        yield Drop(started)
        while not request.finished:
            yield request.emit([1], drafted=0, tested=0, accepted=0)

    registered(drops_what_the_edge_computes)
    with pytest.raises(RunError, match="only work of the device can be dropped"):
        simulate(small_scenario(protocol={"name": "wrong"}, workload={"max_new_tokens": 8}))


def test_an_error_in_own_code_is_told_with_its_line(registered, tmp_path):
    path = tmp_path / "own_wrong.py"
    path.write_text("def own(request):\n    yield from ()\n    raise KeyError('draft')\n")
    namespace: dict = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    registered(namespace["own"])
    models = table_models()
    with pytest.raises(RunError, match=r"failed at .*own_wrong\.py:3: KeyError: 'draft'"):
        decode("wrong", models["draft"], models["target"], [1, 2], max_new_tokens=8)


@pytest.mark.parametrize(
    "name", ["tslt", "dsd", "dssd", "gumbel", "match", "residual", "asym", "specedge", "hsd", "colocated"]
)
def test_acceptance_is_counted_to_the_end_of_the_text(name):
    """Draft and target agree on everything; the text ends in the middle of a draft."""
    models = table_models()
    target = models["target"]
    other = {"middle": target} if name == "hsd" else {}
    settings = {"blocks": [4, 6]} if name == "hsd" else {"draft_length": 12}

    def text(max_new_tokens=40):
        return decode(
            name, target, target, [1, 2], max_new_tokens=max_new_tokens, temperature=0.0, models=other, **settings
        )

    target.eos_ids = frozenset()
    whole = list(text().tokens)
    end = next(token for place, token in enumerate(whole) if token not in whole[:place] and place >= 2)
    target.eos_ids = frozenset({end})
    done = text()
    assert list(done.tokens) == whole[: whole.index(end) + 1]
    accepted = sum(round_.accepted for round_ in done.rounds)
    tested = sum(round_.tested for round_ in done.rounds)
    assert accepted <= tested <= len(done.tokens)
    cut = text(3)
    assert sum(round_.accepted for round_ in cut.rounds) <= 3
