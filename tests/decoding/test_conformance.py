"""Protocols that are wrong say so: no table of dashes, no tokens that no verdict covers, no endless round."""

from __future__ import annotations

import pytest

from sim.core.errors import RunError
from sim.decoding import ChainSettings, decode, protocol
from sim.decoding.analysis.proof import prove
from sim.decoding.core.steps import Compute, Drop, Emit, Join, Location, Observe, Round, Start, Together
from sim.decoding.drivers import conformance
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.interface import ForwardPass
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


def emits_from_the_draft_alone(request):
    while not request.finished:
        logits = yield request.forward(Location.DEVICE, "draft")
        yield request.emit([int(logits[0].argmax())], drafted=1, tested=1, accepted=1)


def emits_one_more_than_verified(request):
    """The target reads two drafted tokens and gives three rows; a third drafted token and a bonus are emitted, too."""
    while not request.finished:
        rows = yield request.forward(Location.EDGE, "target", [1, 2])
        yield request.emit([1, 2, 3, int(rows[2].argmax())], drafted=3, tested=3, accepted=3)


def emits_what_the_target_was_not_asked_about(request):
    """Other tokens than those whose rows were asked for."""
    while not request.finished:
        yield request.forward(Location.EDGE, "target", [1, 2])
        yield request.emit([1, 3, 2], drafted=2, tested=2, accepted=2)


def asks_for_the_last_row_only(request):
    while not request.finished:
        yield request.forward(Location.EDGE, "target", [1, 2], first_row=2)
        yield request.emit([1, 2, 3], drafted=2, tested=2, accepted=2)


def takes_a_path_that_is_no_path_of_the_tree(request):
    """Two candidates at each of two depths: the second pair hangs under the first candidate."""
    while not request.finished:
        yield request.forward(Location.EDGE, "target", [1, 2, 3, 4], parents=(-1, -1, 0, 0))
        yield request.emit([2, 3, 0], drafted=4, tested=2, accepted=2)


def repeats_a_verdict(request):
    """Emits what one verification gave again and again."""
    yield request.forward(Location.EDGE, "target", [1, 2])
    while not request.finished:
        yield request.emit([1, 2, 1], drafted=2, tested=2, accepted=2)


def verifies_another_text(request):
    while not request.finished:
        yield request.supposing([5]).forward(Location.EDGE, "target", [1])
        yield request.emit([1, 2], drafted=1, tested=1, accepted=1)


def verifies_after_another_prompt(request):
    """A text of the same length, but not of the same words."""
    while not request.finished:
        work = ForwardPass((request.id, "edge", "target"), [9] * len(request.text), (1,))
        yield Compute(Location.EDGE, "target", work)
        yield request.emit([1, 2], drafted=1, tested=1, accepted=1)


def asks_in_a_branch_about_another_round(request):
    """The branch runs beside the round, but after other tokens."""
    while not request.finished:
        started = yield Start(a_forward_pass(request.supposing([7])))
        yield request.emit([1], drafted=1, tested=1, accepted=1)
        yield Join(started)


CHEATS = [
    (emits_from_the_draft_alone, r"token 1 of the 1 of a round \(token 1 of the text\)"),
    (emits_one_more_than_verified, r"token 4 of the 4 of a round \(token 4 of the text\)"),
    (emits_what_the_target_was_not_asked_about, r"token 3 of the 3 of a round \(token 3 of the text\)"),
    (asks_for_the_last_row_only, r"token 1 of the 3 of a round \(token 1 of the text\)"),
    (takes_a_path_that_is_no_path_of_the_tree, r"token 3 of the 3 of a round \(token 3 of the text\)"),
    (repeats_a_verdict, r"token 1 of the 3 of a round \(token 4 of the text\)"),
    (verifies_another_text, r"token 1 of the 2 of a round \(token 1 of the text\)"),
    (verifies_after_another_prompt, r"token 1 of the 2 of a round \(token 1 of the text\)"),
    (asks_in_a_branch_about_another_round, r"token 1 of the 1 of a round \(token 1 of the text\)"),
]


def decodes_ahead(request):
    """Right, though rows are asked for a round before: the next text is verified while this round is emitted."""
    rows = yield request.forward(Location.EDGE, "target", [1])
    while not request.finished:
        bonus = int(rows[1].argmax())
        started = yield Start(a_block_after(request.supposing([1, bonus])))
        yield request.emit([1, bonus], drafted=1, tested=1, accepted=1)
        rows = yield Join(started)


def a_block_after(request):
    return (yield request.forward(Location.EDGE, "target", [1]))


def reads_the_prompt_along_with_the_draft(request):
    """Right: the context ends within the prompt, and the block begins with what is left of it."""
    while not request.finished:
        *before, last = request.text
        work = ForwardPass((request.id, "edge", "target"), before, (last, 1), first_row=1)
        rows = yield Compute(Location.EDGE, "target", work)
        yield request.emit([1, int(rows[1].argmax())], drafted=1, tested=1, accepted=1)


def follows_the_draft(request):
    while not request.finished:
        logits = yield request.forward(Location.DEVICE, "draft")
        yield request.emit([int(logits[0].argmax())])


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    """Registers a coroutine under the name ``wrong``."""
    monkeypatch.setattr(conformance, "MAX_STEPS_PER_ROUND", 500)
    monkeypatch.setattr(conformance, "MAX_TARGET_FORWARDS_PER_ROUND", 12)

    def register(coroutine, lossless=False, models=("draft", "target")):
        def wrong(request, settings, rng):
            return coroutine(request)

        wrong.__name__ = coroutine.__name__
        protocol("wrong", ChainSettings, lossless=lossless, models=models)(wrong)

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


@pytest.mark.parametrize(("coroutine", "where"), CHEATS, ids=lambda value: getattr(value, "__name__", ""))
def test_tokens_that_no_row_of_the_target_covers_are_errors(registered, coroutine, where):
    """Whether the protocol says that it is lossless or a round says that positions were tested."""
    models = table_models()
    for lossless, claim in ((True, "its text follows the target"), (False, r"\d positions were tested")):
        registered(coroutine, lossless)
        with pytest.raises(RunError, match=f"'{coroutine.__name__}' says that {claim}, but no row of .* {where}: each"):
            decode("wrong", models["draft"], models["target"], [1, 2], max_new_tokens=8)


def test_they_are_errors_in_a_simulation_and_on_the_way_to_the_tape(registered):
    from tests.worlds import recorded_inputs, simulate, small_scenario

    registered(repeats_a_verdict, lossless=True)
    scenario = small_scenario(protocol={"name": "wrong"}, workload={"max_new_tokens": 8})
    for decoding in (simulate, recorded_inputs):
        with pytest.raises(RunError, match=r"says that its text follows the target, but no row of .* \(token 4 of the"):
            decoding(scenario)


def test_a_proof_of_such_a_protocol_ends_with_the_same_message(registered):
    registered(emits_from_the_draft_alone, lossless=True)
    with pytest.raises(RunError, match="but no row of the target was asked for at token 1"):
        prove("wrong", pairs=1)


@pytest.mark.parametrize("coroutine", [decodes_ahead, reads_the_prompt_along_with_the_draft])
def test_rows_count_whenever_and_however_they_were_asked_for(registered, coroutine):
    registered(coroutine, lossless=True)
    models = table_models()
    assert len(decode("wrong", models["draft"], models["target"], [1, 2], max_new_tokens=9).tokens) == 9


def test_what_claims_nothing_needs_no_rows_of_the_target_and_a_text_of_the_draft_may_follow_it(registered):
    models = table_models()
    registered(follows_the_draft)
    assert len(decode("wrong", models["draft"], models["target"], [1, 2], max_new_tokens=5).tokens) == 5
    registered(follows_the_draft, lossless=True, models=("draft",))
    assert len(decode("wrong", models["draft"], None, [1, 2], max_new_tokens=5).tokens) == 5
    registered(follows_the_draft, lossless=True)
    with pytest.raises(RunError, match="its text follows the target"):
        decode("wrong", models["draft"], models["target"], [1, 2], max_new_tokens=5)


def test_a_lossy_protocol_may_verify_by_another_model_than_the_target(registered):
    def verified_by_the_middle(request):
        while not request.finished:
            yield request.forward(Location.EDGE, "middle", [1])
            yield request.emit([1, 2], drafted=1, tested=1, accepted=1)

    models = table_models()
    for lossless in (False, True):
        registered(verified_by_the_middle, lossless, models=("draft", "middle", "target"))
        keys = {"models": {"middle": models["middle"]}, "max_new_tokens": 8}
        if not lossless:
            assert len(decode("wrong", models["draft"], models["target"], [1, 2], **keys).tokens) == 8
            continue
        with pytest.raises(RunError, match="but no row of the target was asked for at token 1 of the 2"):
            decode("wrong", models["draft"], models["target"], [1, 2], **keys)


@pytest.mark.parametrize("name", PROTOCOLS.names())
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_built_in_protocols_ask_for_all_that_they_emit(name, temperature):
    models = table_models()
    pair, keys = (models["draft"], models["target"]), {"models": {"middle": models["middle"]}}
    for limit in (1, 2, 33):
        done = decode(name, *pair, [1, 2, 3], max_new_tokens=limit, temperature=temperature, **keys)
        assert len(done.tokens) == limit


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
