"""Explanations: counterfactual runs save exactly what a case of which the answer is known must save."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sim.cli import _main
from sim.core.errors import InputError
from sim.runs.counterfactual import parts_of
from sim.runs.explain import Explanation, WhatIf, explain, parse_request
from sim.scenario.schema import Scenario

DELAY_S = 0.004
SLOW, FAST = {"kind": "fixed", "per_forward_s": 0.05}, {"kind": "fixed", "per_forward_s": 0.0005}


def scenario(uplink_mbps: float, edge: dict[str, Any], **changes: Any) -> Scenario:
    """One device whose steps follow each other, so that nothing overlaps."""
    keys = {
        "name": "explained",
        "models": "embedded",
        "devices": {"count": 1, "requests": 1},
        "workload": {"max_new_tokens": 6, "stop_at_eos": False},
        "protocol": {"name": "tslt", "draft_length": 2, "top_k": 16},
        "link": {"kind": "fixed", "uplink_mbps": uplink_mbps, "downlink_mbps": 10, "one_way_delay_s": DELAY_S},
        "edge": {"engine": "fcfs", "max_batch": 1},
        "compute": {"device": {"kind": "fixed", "per_forward_s": 0.001}, "edge": edge},
    }
    return Scenario.from_dict({**keys, **changes})


def of(found: Explanation, part: str) -> WhatIf:
    return next(one for one in found.what_ifs if one.part == part)


def test_uplink_bound_is_told_and_saves_what_its_messages_took():
    found = explain(scenario(0.01, FAST))
    assert found.what_ifs[0].part == "uplink" and "helped most is uplink" in " ".join(found.sentences)
    uplink = of(found, "uplink")
    # A prompt and a draft a round go up; each of these messages also loses its fixed delay.
    messages = 1 + found.rounds
    assert uplink.saved_s == pytest.approx(uplink.booked_s + messages * DELAY_S, abs=1e-9)
    assert uplink.booked_s > 0.8 * found.e2e_s
    assert sum(found.waits_s.values()) == pytest.approx(found.e2e_s, abs=1e-9)


def test_compute_bound_is_told_and_saves_what_the_servers_took():
    found = explain(scenario(100, SLOW))
    assert found.what_ifs[0].part == "edge_compute" and "helped most is edge compute" in " ".join(found.sentences)
    edge = of(found, "edge_compute")
    assert edge.saved_s == pytest.approx(edge.booked_s, abs=1e-9) and edge.booked_s >= found.rounds * 0.05
    assert of(found, "draft").saved_s == pytest.approx(of(found, "draft").booked_s, abs=1e-9)
    assert of(found, "downlink").saved_s == pytest.approx(
        of(found, "downlink").booked_s + found.rounds * DELAY_S, abs=1e-9
    )


def test_acceptance_made_free_has_every_draft_accepted_at_the_drafts_price():
    # With shared noise the target draws what it has drafted itself: 6 tokens are two rounds of two drafts and one more.
    found = explain(scenario(100, SLOW, protocol={"name": "gumbel", "draft_length": 2}))
    free = of(found, "acceptance")
    assert free.acceptance_rate == 1 and math.isnan(free.booked_s)
    rounds_less = found.rounds - 2
    assert rounds_less > 0 and free.saved_s > 0.05 * rounds_less
    told = " ".join(found.sentences)
    assert "instead of" in told and "comes from the protocol" not in told
    cut = explain(scenario(100, SLOW))  # rows of 16 entries reject some of what the target itself would draw
    assert of(cut, "acceptance").acceptance_rate < 0.99 and "comes from the protocol" in " ".join(cut.sentences)


def test_a_queue_of_many_devices_goes_with_the_compute_that_made_it():
    crowd = scenario(100, SLOW, devices={"count": 4, "requests": 1, "think_time_s": 0})
    found = explain(crowd)
    assert found.waits_s["edge_queue"] > found.waits_s["verify_compute"]
    assert found.what_ifs[0].part == "edge_compute" and found.requests == 4
    one = explain(crowd, (2, 0))
    assert one.requests == 1 and one.subject == "request 0 of device 2"


def test_parts_are_those_that_the_protocol_has():
    names = [part.name for part in parts_of(scenario(1, FAST, protocol={"name": "edge_only"}))]
    assert names == ["uplink", "downlink", "edge_compute"]
    hierarchy = scenario(1, FAST, protocol={"name": "hsd"}, cloud={}, compute=dict.fromkeys(("device", "edge"), FAST))
    assert "draft" in [part.name for part in parts_of(hierarchy)]


@pytest.mark.parametrize("text", ["1", "a/b", "1/", "-1/0", "1/0/2"])
def test_a_request_that_is_none_is_refused(text: str):
    with pytest.raises(InputError, match="--request expected DEVICE/REQUEST"):
        parse_request(text)


def test_unknown_requests_and_measured_prices_are_refused():
    with pytest.raises(InputError, match=r"no request 0/7; devices: 0 to 0, requests of device 0: 0 to 0"):
        explain(scenario(1, FAST), (0, 7))
    with pytest.raises(InputError, match="differ from run to run"):
        explain(scenario(1, {"kind": "measured"}))


def test_the_command_explains_a_run_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "one.yaml"
    file.write_text(scenario(0.01, FAST).to_yaml(), encoding="utf-8")
    assert _main(["run", str(file), "--out", str(tmp_path / "out"), "--json"]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["folder"])
    before = sorted(path.name for path in folder.iterdir())
    assert _main(["explain", str(folder), "--request", "0/0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["what_ifs"][0]["part"] == "uplink" and told["sentences"][0].startswith("Request 0 of device 0 took")
    assert _main(["explain", str(folder)]) == 0
    assert "one part made free" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == before
    # Another run's scenario in its place is noticed.
    (folder / "scenario.yaml").write_text(scenario(0.02, FAST).to_yaml(), encoding="utf-8")
    assert _main(["explain", str(folder)]) == 2
    assert "cannot be repeated here" in capsys.readouterr().err
    assert _main(["explain", str(tmp_path)]) == 2
    assert "no run here" in capsys.readouterr().err
