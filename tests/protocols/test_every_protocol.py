"""What every registered protocol owes: progress, limits, greedy equality where it is lossless, an honest label."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.core.rows import Sampling
from sim.decoding.drivers.protocol_run import ComputeRecord, branches_of
from sim.decoding.protocols.registry import PROTOCOLS, sites_of
from sim.decoding.verification.split import ScalarDraftLayout

NAMES = PROTOCOLS.names()
LOSSLESS = [name for name in NAMES if PROTOCOLS.find(name).traits["lossless"]]


@pytest.fixture(scope="module")
def trio(tables):
    """Draft, middle and target over 24 tokens, of which one ends a text."""
    target = tables.model.random(1, 24, concentration=0.3)
    draft, middle = (
        tables.model.random(seed, 24, concentration=0.3, near=target, nearness=nearness)
        for seed, nearness in ((2, 0.5), (3, 0.8))
    )
    return draft, middle, target


def run(tables, trio, name, **settings):
    draft, middle, target = trio
    return tables.run(name, draft, target, models={"middle": middle}, **settings)


@pytest.mark.parametrize("name", NAMES)
def test_every_round_emits_and_the_length_limit_holds(tables, trio, name):
    for max_new_tokens in (1, 2, 33):
        done = run(tables, trio, name, max_new_tokens=max_new_tokens)
        assert len(done.tokens) == max_new_tokens
        assert all(round_.tokens for round_ in done.rounds)
        assert sum(len(round_.tokens) for round_ in done.rounds) == max_new_tokens
        assert all(round_.accepted <= round_.tested <= round_.drafted for round_ in done.rounds)
        stats = [dict(round_.stats) for round_ in done.rounds if round_.tested and "overlap" in dict(round_.stats)]
        assert all(0.0 <= figures["overlap"] <= 1.0 + 1e-9 and figures["tail_mass"] >= 0.0 for figures in stats)


def test_a_round_counts_all_that_was_drafted_and_what_was_tested_of_it(tables, trio):
    """Draft length 4: a round that can still use four tokens drafts four, also where the first is rejected."""
    rounds = run(tables, trio, "dsd", max_new_tokens=60, draft_length=4).rounds
    # The last four tokens leave room for fewer.
    full = [round_ for round_ in rounds[:-4] if round_.tested < 4]
    assert [round_.drafted for round_ in full] == [4] * len(full)
    assert {round_.tested for round_ in full} == {1, 2, 3}


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(top_k=1)])
def test_lossless_means_greedy_equality(tables, trio, name, sampling):
    """At temperature 0 there is one text that follows the target, whatever is drawn."""
    alone = run(tables, trio, "edge_only", max_new_tokens=33, sampling=sampling)
    assert run(tables, trio, name, max_new_tokens=33, sampling=sampling).tokens == alone.tokens


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LOSSLESS])
def test_lossy_protocols_say_so_in_one_line(name):
    assert "lossy" in PROTOCOLS.find(name).summary.lower()


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_protocols_never_call_themselves_lossy(name):
    assert "lossy" not in PROTOCOLS.find(name).summary.lower()


@pytest.mark.parametrize("name", NAMES)
def test_texts_end_at_an_end_of_text_token(tables, trio, name):
    ending = [tables.model(model.row, 24, eos_ids=frozenset({5, 6, 7}), name="ending") for model in trio]
    ends = 0
    for seed in range(3):
        done = tables.run(name, ending[0], ending[2], models={"middle": ending[1]}, max_new_tokens=60, seed=seed)
        body, last = done.tokens[:-1], done.tokens[-1]
        assert not {5, 6, 7} & set(body)
        ends += last in {5, 6, 7}
    assert ends


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_the_same_whenever_it_is_told(tables, trio, name):
    first, again = (run(tables, trio, name, max_new_tokens=20, seed=4) for _ in range(2))
    assert first.tokens == again.tokens
    assert repr(first.steps) == repr(again.steps)


def places(records):
    """Which model ran where, branches that ran together included."""
    found = set()
    for record in records:
        found |= {place for branch in branches_of(record) for place in places(branch)}
        if isinstance(record, ComputeRecord):
            found.add((record.model, record.site))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_models_run_where_the_protocol_says(tables, trio, name):
    entry = PROTOCOLS.find(name)
    assert places(run(tables, trio, name, max_new_tokens=40).steps) == set(sites_of(entry, entry.settings()).items())


def test_scalars_that_are_rounded_after_drawing_are_caught(tables, monkeypatch):
    """The negative control of every split scheme: q(x) in half precision while the device drew from single."""
    read = ScalarDraftLayout.read

    def rounded(self, reader):
        draft = read(self, reader)
        draft.probs[:] = [float(np.float16(prob)) for prob in draft.probs]
        return draft

    settings = {"length": 2, "draft_length": 1, "values": "fp32"}
    pair = tables.pair(1, odd=False)
    assert tables.distance("dssd", *pair, **settings) < tables.tolerance
    monkeypatch.setattr(ScalarDraftLayout, "read", rounded)
    assert tables.distance("dssd", *pair, **settings) > 1e-6
