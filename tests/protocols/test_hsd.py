"""Hierarchical speculative decoding: exact for chains of two and three models over any sites."""

from __future__ import annotations

import pytest

from sim.core.errors import InputError
from sim.decoding.analysis.exact import output_distribution, sequence_distribution
from sim.decoding.drivers.protocol_run import ComputeRecord, TransmitRecord

DEVICE_EDGE_CLOUD = ["device", "edge", "cloud"]


@pytest.fixture
def middles(tables):
    """A model between a pair: it knows the target better than the draft does."""

    def middle(target, vocab_size, odd=True):
        share = 0.2 if odd else 0.0
        return {"middle": tables.model.random(5, vocab_size, zeros=share, ties=share, near=target, nearness=0.7)}

    return middle


@pytest.mark.parametrize(
    ("vocab_size", "length", "settings"),
    [
        (3, 3, {"blocks": [1, 2], "values": "lattice", "lattice_levels": 7}),
        (3, 3, {"blocks": [1, 2], "top_k": 2, "sites": DEVICE_EDGE_CLOUD}),
        (2, 4, {"blocks": [2, 3], "values": "fp32", "sites": ["device", "device", "edge"]}),
        (2, 4, {"chain": ["draft", "target"], "sites": ["device", "cloud"], "blocks": [3]}),
    ],
)
def test_exact(tables, middles, vocab_size, length, settings):
    for seed in range(2 if length == 3 else 1):
        draft, target = tables.pair(seed, vocab_size)
        error = tables.distance("hsd", draft, target, length, models=middles(target, vocab_size), **settings)
        assert error < tables.tolerance


def test_the_middle_level_follows_its_own_rounded_rows(tables, middles):
    """With a target equal to the middle model and rows that arrive exactly, the top accepts everything."""
    draft, target = tables.pair(2, 4, odd=False)
    target = tables.model.from_table({}, default=[0.5, 0.25, 0.125, 0.125])
    done = tables.run(
        "hsd",
        draft,
        target,
        models={"middle": target},
        max_new_tokens=50,
        blocks=[2, 5],
        values="lattice",
        lattice_levels=8,
    )
    assert all(round_.accepted == round_.drafted for round_ in done.rounds)
    inner = [dict(round_.stats) for round_ in done.rounds]
    assert 0 < sum(s["inner_accepted"] for s in inner) < sum(s["inner_tested"] for s in inner)


def test_verifying_against_unrounded_rows_would_be_caught(tables, middles, monkeypatch):
    """The negative control: the middle level follows its rows, but sends them rounded."""
    from sim.decoding.protocols import hsd
    from sim.decoding.verification.round import TargetRows

    monkeypatch.setattr(hsd.RoundedRows, "after", TargetRows.after)
    draft, target = tables.pair(1, odd=False)
    settings = {"blocks": [1, 2], "values": "lattice", "lattice_levels": 30}
    assert tables.distance("hsd", draft, target, models=middles(target, 3, odd=False), **settings) > 1e-4


def test_messages_cross_the_hops_between_the_sites(tables, middles):
    draft, target = tables.pair(2, 8)
    runs = {}
    for name, sites in {"edge": ["device", "edge", "edge"], "cloud": DEVICE_EDGE_CLOUD}.items():
        runs[name] = tables.run("hsd", draft, target, models=middles(target, 8), max_new_tokens=30, sites=sites)
    assert runs["edge"].tokens == runs["cloud"].tokens

    def hops(done) -> dict[str, int]:
        names = [step.hop.value for step in done.steps if isinstance(step, TransmitRecord)]
        return {name: names.count(name) for name in sorted(set(names))}

    edge, cloud = hops(runs["edge"]), hops(runs["cloud"])
    assert set(edge) == {"uplink", "downlink"}
    rounds, blocks = len(runs["cloud"].rounds), sum(round_.drafted > 0 for round_ in runs["cloud"].rounds)
    assert cloud == {**edge, "backhaul_up": 1 + blocks, "backhaul_down": rounds}
    where = {(step.model, step.site.value) for step in runs["cloud"].steps if isinstance(step, ComputeRecord)}
    assert where == {("draft", "device"), ("middle", "edge"), ("target", "cloud")}


def test_block_payload_is_its_closed_form(tables, middles):
    """Uplink drafts of at most 2 rows: count 2 bits, 8 half-precision values and a 3-bit place each."""
    draft, target = tables.pair(2, 8)
    done = tables.run("hsd", draft, target, models=middles(target, 8), max_new_tokens=30, sites=DEVICE_EDGE_CLOUD)
    ups = tables.sent(done.steps, "draft")
    one, two = tables.padded(2 + 131), tables.padded(2 + 2 * 131)
    assert {up.payload_bits for up in ups if up.hop == "uplink"} <= {one, two}
    blocks = [up.payload_bits for up in ups if up.hop == "backhaul_up"]
    assert blocks == [tables.padded(3 + round_.drafted * 131) for round_ in done.rounds if round_.drafted]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chain": ["target", "draft"], "sites": ["device", "edge"], "blocks": [2]}, "end with target"),
        ({"blocks": [2]}, "needs 3 sites and 2 blocks"),
        ({"sites": ["edge", "device", "edge"]}, "lead away"),
        ({"blocks": [0, 2]}, "between 1 and 64"),
    ],
)
def test_settings_are_checked(tables, middles, settings, message):
    draft, target = tables.pair(0)
    with pytest.raises(InputError, match=message):
        tables.run("hsd", draft, target, models=middles(target, 3), **settings)


def test_end_of_text_in_the_middle_of_a_block(tables):
    """Gathering stops at an end-of-text token; the law of texts of at most three tokens stays the target's."""
    target = tables.model(lambda text: [0.5, 0.3, 0.2], 3, eos_ids=frozenset({2}))
    near = tables.model(lambda text: [0.2, 0.5, 0.3], 3)
    draft = tables.model(lambda text: [0.1, 0.3, 0.6], 3)

    def once(rng) -> tuple[int, ...]:
        settings = {"models": {"middle": near}, "blocks": [1, 2], "max_new_tokens": 3}
        return tuple(tables.run("hsd", draft, target, rng=rng, **settings).tokens)

    expected: dict[tuple[int, ...], float] = {}
    for text, weight in sequence_distribution(lambda text: [0.5, 0.3, 0.2], 3).items():
        cut = text[: text.index(2) + 1] if 2 in text else text
        expected[cut] = expected.get(cut, 0.0) + weight
    got = output_distribution(once)
    assert max(abs(got.get(text, 0.0) - weight) for text, weight in expected.items()) < tables.tolerance
