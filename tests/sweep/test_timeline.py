"""The timeline is a Chrome trace: events well formed, spans inside their window, arrows from drafts to verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.cli import _main
from sim.core.errors import InputError
from sim.runs.timeline import Timeline, parse_window
from sim.runs.world import World
from tests.worlds import inputs, small_scenario

# Process numbers of the trace.
CELL, SITES = 2, 3
# Every third block is lost, so that rounds need retransmissions.
NR = {"kind": "nr", "bandwidth_mhz": 5, "channel": "ideal", "mcs": 0, "block_error_rate": 0.3}

NEEDED = {
    "X": {"pid", "tid", "name", "ts", "dur", "args"},
    "C": {"pid", "tid", "name", "ts", "args"},
    "M": {"pid", "tid", "name", "args"},
    "s": {"pid", "tid", "name", "ts", "id", "cat"},
    "t": {"pid", "tid", "name", "ts", "id", "cat"},
    "f": {"pid", "tid", "name", "ts", "id", "cat", "bp"},
}


def trace_of(timeline: Timeline, **changes) -> dict:
    """The trace of a small world."""
    scenario = timeline.with_slots(small_scenario(**changes))
    world = World(scenario, inputs(scenario))
    timeline.watch(world)
    world.run()
    return json.loads(json.dumps(timeline.trace(), allow_nan=False))


def check_schema(trace: dict) -> None:
    """What the trace event format asks for."""
    assert trace["displayTimeUnit"] in ("ms", "ns")
    for event in trace["traceEvents"]:
        assert NEEDED[event["ph"]] <= set(event)
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and isinstance(event["name"], str)
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0


def test_every_event_is_well_formed_and_named():
    trace = trace_of(Timeline(0, 100))
    check_schema(trace)
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    titles = {(e["pid"], e["tid"]) for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in spans} == titles
    kinds = {event["name"] for event in spans}
    assert {"draft forward", "uplink draft", "downlink verdict", "target batch"} <= kinds


def test_arrows_lead_from_a_draft_to_its_verdict():
    trace = trace_of(Timeline(0, 100))
    flows: dict[int, list[tuple[str, float]]] = {}
    for event in trace["traceEvents"]:
        if event["ph"] in "stf":
            flows.setdefault(event["id"], []).append((event["ph"], event["ts"]))
    answered = [steps for steps in flows.values() if len(steps) > 1]
    verdicts = [e for e in trace["traceEvents"] if e["name"] == "downlink verdict"]
    assert len(answered) == len(verdicts)
    for steps in answered:
        # Draft, batch, verdict.
        assert [phase for phase, _ in steps] == ["s", "t", "t", "f"]
        assert [at for _, at in steps] == sorted(at for _, at in steps)


@pytest.mark.parametrize("link", [{"kind": "fixed", "uplink_mbps": 0.2, "downlink_mbps": 1}, NR])
def test_every_arrow_meets_the_span_that_was_begun_before_it_on_its_track(link: dict):
    """Viewers bind an arrow to the span that is open on its track when they read it."""
    open_spans: dict[tuple[int, int], dict] = {}
    arrows = 0
    for event in trace_of(Timeline(0, 100), link=link)["traceEvents"]:
        track = (event["pid"], event["tid"])
        if event["ph"] == "X":
            open_spans[track] = event
        elif event["ph"] in "stf":
            span = open_spans[track]
            assert span["ts"] <= event["ts"] < span["ts"] + span["dur"]
            arrows += 1
    assert arrows > 100


def test_arrows_pass_through_the_blocks_that_carried_the_round():
    """Every block with bytes of an answered draft or its verdict, retransmissions included, and nobody else's."""
    trace = trace_of(Timeline(0, 100), link=NR)
    check_schema(trace)
    events = trace["traceEvents"]
    blocks = {(e["tid"], e["ts"]): e for e in events if e["ph"] == "X" and e["pid"] == CELL}
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name" and e["pid"] == CELL}
    rounds: dict[int, list[dict]] = {}
    for event in events:
        if event["ph"] in "stf":
            rounds.setdefault(event["id"], []).append(event)
    answered = [steps for steps in rounds.values() if steps[-1]["ph"] == "f"]
    assert len(answered) == len([e for e in events if e["name"] == "downlink verdict"]) > 10
    repeated = 0
    for steps in answered:
        device = steps[0]["tid"] // 2
        passed = [(tracks[s["tid"]], blocks[s["tid"], s["ts"]]) for s in steps if s["pid"] == CELL]
        assert {track for track, _ in passed} == {f"device {device} uplink", f"device {device} downlink"}
        assert [s["pid"] for s in steps].count(SITES) == 1
        for track, block in passed:
            kind = "draft" if track.endswith("uplink") else "verdict"
            assert any(text.startswith(kind) for text in block["args"]["carries"])
            repeated += " again " in block["name"]
        # The last block of each direction was received: all bytes have arrived by then.
        assert passed[-1][1]["args"]["received"]
    assert repeated > 0


def test_a_cell_counts_its_prbs_in_every_slot():
    """The counter is the sum over all blocks on air, at any time, and nought where there is none."""
    trace = trace_of(Timeline(0, 100), link=NR)
    for direction in ("uplink", "downlink"):
        steps = [(e["ts"], e["args"]["PRBs"]) for e in trace["traceEvents"] if e["name"] == f"{direction} PRBs"]
        assert len({at for at, _ in steps}) == len(steps)
        used: dict[float, int] = {}
        for event in trace["traceEvents"]:
            if event["ph"] == "X" and event["name"].startswith(f"{direction} MCS"):
                used[event["ts"]] = used.get(event["ts"], 0) + event["args"]["prbs"]
        assert {at: count for at, count in steps if count} == used
        assert steps[-1][1] == 0
        assert max(used.values()) <= 11  # 5 MHz at 30 kHz, TS 38.101-1 table 5.3.2-1


def test_tracks_are_in_the_order_of_their_numbers_and_empty_processes_are_left_out():
    devices = {"count": 12, "requests": 1}
    trace = trace_of(Timeline(0, 100), link=NR, devices=devices)
    names = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name" and e["pid"] == CELL]
    assert names == [f"device {device} {way}" for device in range(12) for way in ("downlink", "uplink")]
    plain = trace_of(Timeline(0, 100))
    assert {e["args"]["name"] for e in plain["traceEvents"] if e["name"] == "process_name"} == {"devices", "sites"}


def test_a_window_bounds_the_trace():
    whole, part = trace_of(Timeline(0, 100)), trace_of(Timeline(0.1, 0.3))
    spans = [event for event in part["traceEvents"] if event["ph"] == "X"]
    assert 0 < len(spans) < len([event for event in whole["traceEvents"] if event["ph"] == "X"])
    assert all(0.1e6 <= event["ts"] < 0.3e6 for event in spans)
    few = trace_of(Timeline(0, 100, max_events=10))
    assert len([event for event in few["traceEvents"] if event["ph"] != "M"]) == 10
    assert few["otherData"]["events_dropped"] > 0


def test_watching_changes_no_result():
    scenario = small_scenario()
    world = World(scenario, inputs(scenario))
    Timeline().watch(world)
    watched = world.run()
    assert watched.requests == World(scenario, inputs(scenario)).run().requests


@pytest.mark.parametrize("text", ["", "3", "2:1", "a:b", "-1:2"])
def test_a_wrong_window_is_refused(text: str):
    with pytest.raises(InputError, match="FROM:TO"):
        parse_window(text)


@pytest.mark.parametrize("end", ["1e300", "1e9", "1000001"])
def test_a_window_beyond_any_simulation_is_refused(end: str):
    with pytest.raises(InputError, match=rf"--window 0:{end}: the end must be at most 1e\+06 s"):
        parse_window(f"0:{end}")


@pytest.mark.usefixtures("no_pictures")
def test_the_command_line_writes_it(tiny_keys: dict, cache: Path, tmp_path: Path):
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(tiny_keys))
    assert _main(["run", str(path), "--timeline", "--window", "0:0.5", "--out", str(tmp_path / "out")]) == 0
    (written,) = (tmp_path / "out").rglob("timeline.json")
    check_schema(json.loads(written.read_text()))


def test_the_slots_of_a_window_are_kept_whatever_comes_after_it():
    def slots(window: tuple[int, int] | None) -> list[dict]:
        most = 1000 if window is None else 20
        scenario = small_scenario(link={**NR, "record_slots": True, "max_records": most})
        world = World(scenario, inputs(scenario))
        if window is not None:
            world.link.record_only(*window)
        world.run()
        return world.link.slots()

    everything = slots(None)
    assert len(everything) > 40
    at_s = [row["time_s"] for row in everything]
    window_s = at_s[10], at_s[20]
    inside = [row for row in everything if window_s[0] <= row["time_s"] < window_s[1]]
    assert 0 < len(inside) < 20
    assert slots((round(window_s[0] * 1e9), round(window_s[1] * 1e9))) == inside
    assert slots((0, round(at_s[-1] * 1e9))) == everything[:20]


def test_a_window_in_which_nothing_begins_is_told(tmp_path: Path, capsys):
    arguments = ["run", "quickstart", "--set", "devices.count=1", "--set", "devices.requests=1", "--timeline"]
    short = ["--set", "workload.max_new_tokens=4", "--set", "models=embedded", "--window", "500:600"]
    short += ["--out", str(tmp_path)]
    assert _main([*arguments, *short]) == 0
    assert "nothing begins in its window; the run ended at" in capsys.readouterr().err


def test_an_endless_window_is_refused():
    with pytest.raises(InputError, match="FROM:TO"):
        parse_window("0:inf")


def test_slots_that_the_scenario_asks_for_are_not_cut_to_the_window():
    asked = small_scenario(link={**NR, "record_slots": True})

    def slots(timeline: Timeline | None) -> list[dict]:
        scenario = asked if timeline is None else timeline.with_slots(asked)
        world = World(scenario, inputs(scenario))
        if timeline is not None:
            timeline.watch(world)
        world.run()
        return world.link.slots()

    assert slots(Timeline(0, 0.01)) == slots(None)
