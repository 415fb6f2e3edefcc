"""What every controller owes: it runs in a world, fits or is refused, sees no future, and costs what the wire says."""

from __future__ import annotations

from typing import Any

import pytest

from sim.core.errors import InputError
from sim.decoding import decode
from sim.decoding.controllers.confidence import Confidence, ConfidenceSettings
from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import CONTROL_NAMES, Controller, Controls
from sim.decoding.core.messages import DraftLayout
from sim.decoding.core.random_source import KeyedRandom, RandomSource
from sim.decoding.core.rows import Row
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.row_codec import RowCodec, RowFormat
from sim.decoding.drivers.protocol_run import TransmitRecord
from sim.decoding.protocols.registry import PROTOCOLS, controls_of
from sim.models.tabular import TabularModel
from sim.runs.prepare import must_be_live
from tests.worlds import controlled_scenario, simulate, small_scenario, table_models

NAMES = CONTROLLERS.names()
TURNING = [name for name in NAMES if name != "fixed"]


@pytest.mark.parametrize("name", NAMES)
def test_runs_in_a_world_the_same_every_time(name):
    scenario = controlled_scenario(name)
    first, again = simulate(scenario), simulate(scenario)
    assert first.requests == again.requests
    assert len(first.requests) == 6
    assert all(row["tokens"] == 12 for row in first.requests)


@pytest.mark.parametrize("name", TURNING)
def test_makes_a_difference(name):
    turned = controlled_scenario(name, workload={"max_new_tokens": 30})
    drafted, fixed = (
        [row["drafted_tokens"] for row in simulate(s).rounds] for s in (turned, turned.replace("controller", "fixed"))
    )
    assert drafted != fixed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", PROTOCOLS.names())
def test_fits_or_is_refused_at_the_door(protocol, name):
    keys = {"name": protocol, **({"draft_length": 3} if protocol == "tk_slt" else {})}
    entry = PROTOCOLS.find(protocol)
    settings = {key: value for key, value in keys.items() if key != "name"}
    has = controls_of(entry, entry.settings(**settings))
    assert set(has) <= set(CONTROL_NAMES)
    adjusts = CONTROLLERS.find(name).make(CONTROLLERS.find(name).settings()).adjusts
    assert set(adjusts) <= set(CONTROL_NAMES)
    if set(adjusts) <= set(has):
        controlled_scenario(name, protocol=keys)
    else:
        with pytest.raises(InputError, match=f"controller.name: controller '{name}' adjusts "):
            controlled_scenario(name, protocol=keys)


def test_refusals_name_the_knob():
    bandit = {"name": "ucb_specstop", "candidates": [1, 2], "top_k": [4, 8]}
    small_scenario(controller=bandit)
    message = "adjusts top_k, candidates, but protocol 'dssd' under its settings has only draft_length, speculation"
    with pytest.raises(InputError, match=message):
        small_scenario(protocol="dssd", controller=bandit)
    with pytest.raises(InputError, match=r"adjusts top_k, but protocol 'tslt'"):
        small_scenario(protocol={"name": "tslt", "top_p": 0.9}, controller=bandit)
    with pytest.raises(InputError, match="'tk_slt' under its settings has none to adjust"):
        small_scenario(protocol="tk_slt", controller="odld")
    model = TabularModel.random(1, 6)
    with pytest.raises(InputError, match="'edge_only' under its settings has none to adjust"):
        decode("edge_only", None, model, [0], controller="odld")
    with pytest.raises(InputError, match="threshold"):
        decode("tslt", model, model, [0], controller={"name": "confidence", "threshold": 2})
    with pytest.raises(InputError, match="unknown controller"):
        decode("tslt", model, model, [0], controller="confident")


def test_only_what_looks_at_the_draft_alone_can_be_replayed():
    live = {name: must_be_live(controlled_scenario(name)) for name in NAMES}
    assert {name for name in NAMES if not live[name]} == {"fixed", "confidence"}


class Rewritten(RandomSource):
    """A random source whose numbers are others from a position on, whatever is drawn."""

    def __init__(self, position: int, before: RandomSource, after: RandomSource) -> None:
        self.position, self.before, self.after = position, before, after

    def at(self, purpose: str, *address: int) -> RandomSource:
        return (self.after if address[0] >= self.position else self.before).at(purpose, *address)

    def bernoulli(self, probability: float) -> bool:
        raise AssertionError("draws are made at an address")

    def categorical(self, row: Row) -> int:
        raise AssertionError("draws are made at an address")


@pytest.mark.parametrize("name", TURNING)
def test_sees_no_future(bench, name):
    """What happens from position 40 on is another story; up to the first draft that reaches it, nothing differs."""
    stories = []
    for seed in (1, 2):
        plans: list[tuple[int, Any]] = []
        controller = bench.make(name)
        decide = controller.decide

        def noted(request, controls, decide=decide, plans=plans):
            chosen = yield from decide(request, controls)
            plans.append((request.position, chosen))
            return chosen

        controller.decide = noted
        clock = bench.Clock(uplink_bps=lambda now_s: 1e5 * (1 + int(now_s * 5) % 3))
        rng = Rewritten(40, KeyedRandom(7), KeyedRandom(seed))
        request, _ = bench.drive("tslt", table_models(), controller, rng, clock, 80, top_k=6, draft_length=4)
        stories.append((plans, clock.looks, request.tokens))
    shared = next(
        index for index, (position, controls) in enumerate(stories[0][0]) if position + controls.draft_length >= 40
    )
    assert shared >= 3
    assert stories[0][0][: shared + 1] == stories[1][0][: shared + 1]
    if stories[0][1]:
        assert stories[0][1][: shared + 1] == stories[1][1][: shared + 1]
    assert stories[0][2][:40] != stories[0][2][40:]
    assert stories[0][2] != stories[1][2]


def test_fixed_leaves_payloads_as_they_were():
    """Bits of a draft under no controller and under ``fixed``: the closed form without a field for the row's size."""
    draft, target = (table_models()[role] for role in ("draft", "target"))
    sent = []
    for controller in (None, "fixed"):
        done = decode("tslt", draft, target, [0], draft_length=3, top_k=6, max_new_tokens=30, controller=controller)
        sent.append([step.payload_bits for step in done.steps if isinstance(step, TransmitRecord)])
    assert sent[0] == sent[1]
    codec = RowCodec(16, RowFormat(top_k=6))
    full = 2 + 3 * (codec.row_bits(6) + 3)
    assert codec.row_bits(6) == 6 * 16 + 13  # C(16, 6) = 8008 subsets
    assert max(sent[0]) == -(-full // 8) * 8


@pytest.mark.parametrize("k", [1, 3, 16])
def test_rows_whose_size_varies_say_it(k):
    model = table_models()["draft"]
    codec = RowCodec(16, RowFormat(top_k=6), varying_k=True)
    coded = codec.cut_to(k).code(Row.dense_row(model.row([0])))
    assert len(coded.ids) == k
    writer = BitWriter()
    codec.write(writer, coded)
    assert writer.num_bits == codec.row_bits(k)
    fixed_bits = RowCodec(16, RowFormat(top_k=k)).row_bits(k)
    assert codec.row_bits(k) == fixed_bits + 4
    assert (codec.read(BitReader(writer.to_bytes())).row.dense() == coded.row.dense()).all()
    with pytest.raises(ValueError, match="6 entries at both ends"):
        RowCodec(16, RowFormat(top_k=6)).cut_to(k)


class Watched(Confidence):
    """Notes what it was shown, and what it answered."""

    def __init__(self, settings: ConfidenceSettings) -> None:
        super().__init__(settings)
        self.shown: list[tuple[list[float], bool]] = []

    def keep_drafting(self, rows, tokens):
        goes_on = super().keep_drafting(rows, tokens)
        probs = [row.prob(token) for row, token in zip(rows, tokens, strict=True)]
        self.shown.append((probs, goes_on))
        return goes_on


def test_confidence_stops_after_the_first_unsure_token():
    controller = Watched(ConfidenceSettings(threshold=0.12, max_draft_length=6))
    models = table_models()
    done = decode("tslt", models["draft"], models["target"], [0], top_k=8, max_new_tokens=200, controller=controller)
    lengths = [round_.drafted for round_ in done.rounds[:-3]]
    assert len(set(lengths)) > 3
    assert max(lengths) == 6
    for probs, goes_on in controller.shown:
        assert all(prob >= 0.12 for prob in probs[:-1])
        assert goes_on == (probs[-1] >= 0.12)


def test_trees_are_drafted_whole():
    """A token tree has no single last token: only chains are asked whether to go on."""
    models = table_models()
    controller = Watched(ConfidenceSettings(threshold=0.99, max_draft_length=3))
    decode(
        "match",
        models["draft"],
        models["target"],
        [0],
        candidates=[2, 2, 1],
        draft_length=3,
        max_new_tokens=20,
        controller=controller,
    )
    assert not controller.shown


def test_messages_are_sized_for_the_most_that_may_be_chosen():
    """Draft lengths above the scenario's fit into the message's depth field."""
    most = CONTROLLERS.find("flexspec").make(CONTROLLERS.find("flexspec").settings()).upper_bound(Controls.chain(3, 6))
    assert most == Controls.chain(16, 6)
    layout = DraftLayout(RowCodec(16, RowFormat(top_k=6)), most.branching)
    assert len(layout.branching) == 16
    assert Controls((4, 2, 2)).with_draft_length(5).branching == (4, 2, 2, 1, 1)
    assert Controls((4, 2, 2)).with_draft_length(1).branching == (4,)
    assert Controls((4, 2, 2)).num_nodes == 28
    assert Controls.chain(3).with_candidates(4).branching == (4, 1, 1)
    assert Controller(None).upper_bound(Controls.chain(3)) == Controls.chain(3)
