"""What the command line tells of files that it read, and how it goes on where a question was the wrong one."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest

from sim.cli import _main
from sim.cli.named_files import _FORMATS, prompt_lines
from sim.core.errors import InputError
from sim.figures.compare import compare
from sim.inputs import prompts
from sim.scenario.loading import load_scenario
from sim.scenario.overrides import changes_of
from sim.scenario.points import expand
from sim.scenario.schema import Scenario


def _prompts(path: Path, *entries: dict) -> Scenario:
    path.write_text("\n".join(json.dumps(entry) for entry in entries))
    return Scenario.from_dict({"workload": {"prompts": str(path)}})


def test_the_format_and_number_of_prompts_are_told(tmp_path: Path):
    alpaca = _prompts(tmp_path / "a.jsonl", {"instruction": "Add.", "input": "1 2"}, {"instruction": "Go."})
    assert prompt_lines([alpaca, alpaca]) == [f"2 of {tmp_path / 'a.jsonl'}, read as instructions of Alpaca"]
    human = {"conversations": [{"from": "human", "value": "Hi"}]}
    mixed = _prompts(tmp_path / "b.jsonl", {"text": "def f"}, human, {"body": {"text": "x"}})
    assert prompt_lines([mixed])[0].endswith("b.jsonl, read as plain texts and chats of ShareGPT")
    (tmp_path / "c.txt").write_text("one\n\ntwo\n")
    lines = Scenario.from_dict({"workload": {"prompts": str(tmp_path / "c.txt")}})
    assert prompt_lines([lines])[0].startswith("2 of ") and prompt_lines([lines])[0].endswith("plain texts, one a line")
    (tmp_path / "d.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.1,10,3\n2024-05-10 00:00:01.1,12,4\n"
    )
    trace = Scenario.from_dict({"workload": {"prompts": str(tmp_path / "d.csv")}})
    assert prompt_lines([trace])[0].startswith("2 requests of ") and "read as a trace: " in prompt_lines([trace])[0]
    assert not prompt_lines([Scenario.from_dict({})])


def test_every_key_that_prompts_are_known_by_has_its_format():
    assert list(_FORMATS) == list(prompts._READERS)


def test_a_sweep_cannot_be_explained_and_its_first_point_can(tmp_path: Path, capsys):
    scenario = load_scenario("quickstart")
    (tmp_path / "points").mkdir()
    (tmp_path / "scenario.yaml").write_text(scenario.to_yaml())
    assert _main(["explain", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "is a sweep; explain one of its points, such as the first: specran explain " in told
    words = shlex.split(told.partition("the first: ")[2])
    assert words[:3] == ["specran", "explain", str(tmp_path / "scenario.yaml")] and "--set" in words
    again = load_scenario(words[2], changes_of([word for word in words[3:] if word != "--set"], None))
    first = expand(scenario)[0].scenario.dump()
    assert {**again.dump(), "sweep": None} == {**first, "sweep": None}


def test_sweeps_of_different_keys_are_told_so_first():
    rows = [{"link.uplink_mbps": rate, "variant": "", "seed": 1, "e2e_mean_s": rate} for rate in (1.0, 2.0)]
    a, b = pd.DataFrame(rows), pd.DataFrame(rows).rename(columns={"link.uplink_mbps": "protocol.top_k"})
    with pytest.raises(InputError) as caught:
        compare(a, b, "e2e_mean_s")
    assert caught.value.message.startswith(
        "A and B vary different keys (link.uplink_mbps in A alone; protocol.top_k in B alone); rows of A are not "
    )


def test_the_way_out_is_said_where_think_times_meet_arrivals(capsys):
    assert _main(["validate", "quickstart", "--set", "devices.arrivals=nofile.csv"]) == 2
    assert "take it out (--set devices.think_time_s=0)" in capsys.readouterr().err
    changes = ["--set", "devices.arrivals=nofile.csv", "--set", "devices.think_time_s=0"]
    assert _main(["validate", "quickstart", *changes]) == 2
    assert "got 'nofile.csv' (no such file)" in capsys.readouterr().err
