"""Compiled traces: runs of private forward passes in one step, the rest as recorded, a bounded cache."""

from __future__ import annotations

from sim.compute.fixed import FixedCompute, FixedSettings
from sim.decoding.core.steps import Hop, Location, Round
from sim.decoding.drivers.protocol_run import ComputeRecord, EmitRecord, Record, TogetherRecord, TransmitRecord
from sim.nodes.compiled_trace import DraftSegment, Parallel, TraceCompiler

PRICERS = {
    "draft": FixedCompute(FixedSettings(per_forward_s=0.001, per_token_s=0.001, power_w=2.0)),
    "target": FixedCompute(FixedSettings(per_forward_s=0.1, power_w=1.0)),
}
HERE = [ComputeRecord(Location.DEVICE, "draft", tokens, 9, 1) for tokens in (1, 2, 1)]
SENT = TransmitRecord(Hop.UPLINK, "draft", 100, 100, 4)
ENDED = EmitRecord(Round((1, 2)))


def test_forwards_between_two_visible_things_are_one_step():
    at_edge = ComputeRecord(Location.EDGE, "draft", 1, 9, 1)
    other = ComputeRecord(Location.DEVICE, "target", 1, 9, 1)
    records: list[Record] = [*HERE, SENT, at_edge, HERE[0], ENDED, HERE[0], other]
    first, sent, served, second, ended, third, last = TraceCompiler(PRICERS).of(records)
    assert (sent, served, ended) == (SENT, at_edge, ENDED)
    assert first == DraftSegment(
        "draft", 7_000_000, ((2_000_000, 0.004, 1), (3_000_000, 0.006, 2), (2_000_000, 0.004, 1))
    )
    assert second == third == DraftSegment("draft", 2_000_000, ((2_000_000, 0.004, 1),))
    assert last == DraftSegment("target", 100_000_000, ((100_000_000, 0.1, 1),))


def test_branches_have_plans_of_their_own():
    plans = TraceCompiler(PRICERS)
    (step,) = plans.of([TogetherRecord((tuple(HERE), (SENT,)))])
    assert step == Parallel((plans.of(HERE), plans.of([SENT])))


def test_the_oldest_plans_are_let_go():
    plans = TraceCompiler(PRICERS, max_steps=4)
    for key in ("a", "b", "c"):
        plans.keep(key, plans.of([SENT, ENDED]))
    assert plans.get("a") is None
    assert plans.get("b") == plans.get("c") == (SENT, ENDED)
