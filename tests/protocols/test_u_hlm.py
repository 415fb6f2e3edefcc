"""Uncertainty-gated inference: lossy, by how much, and why; the bytes of the two published payloads."""

from __future__ import annotations

import numpy as np
import pytest

from sim.core.errors import InputError
from sim.decoding.analysis.gate_distance import gate_distance
from sim.decoding.analysis.payloads import cu_hlm_bits_per_token
from sim.decoding.core.rows import Row, Sampling, overlap
from sim.decoding.core.wire.bits import BitReader, BitWriter
from sim.decoding.core.wire.refilled import ClosestCutCodec, RefilledRowLayout, refill_deviations
from sim.decoding.protocols import u_hlm
from sim.decoding.protocols.cu_hlm import CuHlmSettings
from sim.decoding.protocols.registry import PROTOCOLS
from sim.decoding.protocols.u_hlm import GateSettings
from sim.inputs.prompts import read_prompts
from sim.models.importance import importance
from sim.models.interface import ForwardPass, LanguageModel
from sim.models.loading import load_pair, load_tokenizer


@pytest.mark.parametrize("name", ["u_hlm", "cu_hlm"])
def test_the_gate_is_lossy_and_says_so(tables, name):
    """The distance grows with the threshold, up to that of the draft alone when nobody is asked."""
    assert PROTOCOLS.find(name).traits["lossless"] is False
    assert "lossy" in PROTOCOLS.find(name).summary
    draft, target = tables.pair(1, odd=False)

    def measured(threshold: float) -> float:
        return tables.distance(name, draft, target, length=1, samples=2, threshold=threshold)

    alone = tables.distance("device_only", draft, target, length=1)
    never, rarely, often = measured(1.0), measured(0.5), measured(0.0)
    assert never == pytest.approx(alone, abs=1e-3)  # half precision
    assert 1e-3 < often < rarely < never


def test_asking_always_is_exact_with_rows_rounded_before_drawing(tables, monkeypatch):
    """The gate alone makes U-HLM lossy; CU-HLM stays lossy without it, within its deviation per token."""
    monkeypatch.setattr(u_hlm, "uncertainty", lambda *_: 2.0)
    for seed in range(3):
        draft, target = tables.pair(seed, vocab_size=4)
        assert tables.distance("u_hlm", draft, target, length=2) < tables.tolerance
    draft, target = tables.pair(1, vocab_size=4, odd=False)
    cut = tables.distance("cu_hlm", draft, target, length=2, max_deviation=0.2)
    assert 1e-3 < cut < 2 * (0.2 + 0.05)  # eighths of an octave round values by up to 4.4 %


def test_important_tokens_alone_are_asked_about(tables):
    """At 0 it is U-HLM; the more that must matter, the further it is off, up to the draft alone."""
    assert PROTOCOLS.find("u_hlm_importance").traits["lossless"] is False
    draft, target = tables.pair(1, odd=False)

    def measured(name: str, **keys: float) -> float:
        return tables.distance(name, draft, target, length=2, samples=2, threshold=0.0, **keys)

    plain = measured("u_hlm")
    all_matter, some, none = (measured("u_hlm_importance", min_importance=least) for least in (0.0, 1.0, 1000.0))
    assert all_matter == plain
    alone = tables.distance("device_only", draft, target, length=2)
    assert plain < some < none == pytest.approx(alone, abs=1e-3)


def test_a_token_that_is_read_early_is_not_read_again(tables):
    """The device's passes: one per token, and one for each row after a correction, which nobody has read."""
    draft, target = tables.pair(2, vocab_size=8, odd=False)
    keys = {"max_new_tokens": 40, "threshold": 0.0, "samples": 4, "min_importance": 1.0}
    done = tables.run("u_hlm_importance", draft, target, **keys)
    reads = sum(getattr(step, "model", "") == "draft" for step in done.steps)
    figures = [dict(round_.stats) for round_ in done.rounds]
    told = [row["importance"] for row in figures if "importance" in row]
    # What is recorded is rounded, but never over the bound.
    recorded = [(row["importance"], row["asked"]) for row in figures if "importance" in row]
    assert all(weight >= 1.0 if asked else weight <= 1.0 for weight, asked in recorded)
    read_early = [
        place
        for place, (row, round_) in enumerate(zip(figures, done.rounds, strict=True))
        if "importance" in row and (not row["asked"] or round_.accepted)
    ]
    assert reads == len(told) + 40 - sum(place + 1 < 40 for place in read_early)
    assert 0 < sum(row["asked"] for row in figures) < len(told)


def test_importance_is_the_weight_over_the_mean_without_the_first():
    weights = np.array([0.6, 0.1, 0.1, 0.2])
    assert importance(weights) == pytest.approx(0.2 / ((0.1 + 0.1 + 0.2) / 3))
    assert importance(np.array([1.0])) == 1.0 and importance(np.array([1.0, 0.0])) == 1.0
    with pytest.raises(InputError, match="does not tell its attention"):
        LanguageModel.attention(load_pair("embedded/draft", "embedded/target")[0], [1, 2])


def test_uncertainty_tells_flat_rows_from_peaked_ones(tables):
    """A one-hot row never disagrees with its own token; a flat one of V tokens disagrees in all but 1/V of samples."""
    target = tables.model.from_table({}, default=np.full(16, 1 / 16))
    sure = tables.model.from_table({}, default=np.eye(16)[3])
    for drafter, doubt, spread in ((sure, 0.0, 0.0), (target, 15 / 16, 0.02)):
        done = tables.run("u_hlm", drafter, target, max_new_tokens=100)
        seen = [dict(round_.stats)["uncertainty"] for round_ in done.rounds]
        assert np.mean(seen) == pytest.approx(doubt, abs=spread)


def test_payload_is_its_closed_form(tables):
    """Count of kept tokens 5 bits, 3 bits an id, 8 half-precision values; kept tokens are sent with the next row."""
    draft, target = tables.pair(2, vocab_size=8, odd=False)
    done = tables.run("u_hlm", draft, target, max_new_tokens=30, threshold=0.5)
    ups = iter(tables.sent(done.steps, "draft"))
    kept = 0
    for round_ in done.rounds:
        if dict(round_.stats)["asked"]:
            assert next(ups).payload_bits == tables.padded(5 + 3 * (kept + 1) + 8 * 16)
            kept = 0
        else:
            kept += 1
    assert next(ups, None) is None
    assert 0 < sum(dict(round_.stats)["asked"] for round_ in done.rounds) < 30


def test_published_payloads():
    """V = 32000: 92 kB for all, 86.25 bytes for 30 entries; on the air the set's size and tail add 15 + 8 bits."""
    assert cu_hlm_bits_per_token(32000, 32000) == 92_000 * 8
    assert cu_hlm_bits_per_token(32000, 30) == 86.25 * 8
    codec = ClosestCutCodec(32000, 0.1)
    assert RefilledRowLayout(codec).bits(30) == cu_hlm_bits_per_token(32000, 30) + 15 + 8


def test_the_smallest_cut_within_the_deviation():
    """Against the definition, cut by cut."""
    row = np.random.default_rng(3).dirichlet(np.full(40, 0.3))
    order = np.argsort(-row)
    expected = []
    for k in range(1, 41):
        refilled = row.copy()
        if k < 40:
            refilled[order[k:]] = row[order[k:]].mean()
        expected.append(0.5 * np.abs(row - refilled).sum())
    assert refill_deviations(row) == pytest.approx(expected, abs=1e-14)
    codec = ClosestCutCodec(40, 0.05)
    k = len(codec.code(Row.dense_row(row)).ids)
    assert expected[k - 1] <= 0.05 < expected[k - 2]


def test_refilled_rows_arrive_close(tables):
    row = np.random.default_rng(3).dirichlet(np.full(200, 0.1))
    codec = ClosestCutCodec(200, 0.1)
    layout = RefilledRowLayout(codec)
    writer = BitWriter()
    coded = codec.code(Row.dense_row(row))
    layout.write(writer, coded)
    assert writer.num_bits == layout.bits(len(coded.ids))
    rebuilt = layout.read(BitReader(writer.to_bytes())).dense()
    assert rebuilt.sum() == pytest.approx(1.0, abs=1e-12)
    assert 0.5 * np.abs(rebuilt - row).sum() < 0.1 + 0.05


# ---- the distance, worked out without drawing -----------------------------------------------------------------------

GATES = [
    ("u_hlm", GateSettings, {"threshold": 0.5, "samples": 3}),
    ("u_hlm", GateSettings, {"threshold": 0.0, "samples": 2}),
    ("cu_hlm", CuHlmSettings, {"threshold": 0.3, "samples": 3, "max_deviation": 0.2}),
]


@pytest.mark.parametrize(("name", "keys", "settings"), GATES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_distance_is_that_of_enumeration(tables, name, keys, settings, temperature):
    """One token after the same text: every path of random draws against the gate's law in closed form."""
    for seed in range(3):
        draft, target = tables.pair(seed, vocab_size=4)
        sampling = Sampling(temperature)
        found = gate_distance(draft, target, [[0, 0]], keys(**settings), sampling)
        expected = tables.distance(name, draft, target, length=1, sampling=sampling, **settings)
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_distance_on_real_rows_grows_with_the_threshold():
    """The embedded pair at temperature 0.7: risk-averse, risk-prone, and never asking, which is 1 - alpha."""
    draft, target = load_pair("embedded/draft", "embedded/target")
    encode = load_tokenizer("embedded/target").encode
    texts = [encode(str(text))[:40] for text in read_prompts("embedded")[:3]]
    sampling = Sampling(0.7)
    averse, prone, never = (
        gate_distance(draft, target, texts, GateSettings(threshold=threshold), sampling)
        for threshold in (0.073, 0.43, 1)
    )
    assert 0 < averse < prone < never
    cut = gate_distance(draft, target, texts, CuHlmSettings(threshold=0.43), sampling)
    assert prone < cut < never
    rows = []
    for number, text in enumerate(texts):
        forward = ForwardPass(("alpha", number), text[:1], tuple(text[1:-1]))
        (p,), (q,) = target.forward([forward]), draft.forward([forward])
        rows += [overlap(sampling.row(a), sampling.row(b)) for a, b in zip(p, q, strict=True)]
    assert never == pytest.approx(1 - np.mean(rows), abs=1e-3)  # rows in half precision
