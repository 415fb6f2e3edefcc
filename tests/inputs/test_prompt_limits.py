"""Prompts that no device or model of a scenario takes: ``validate`` says of them what ``run`` says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.cli import _main
from sim.core.wording import counted
from sim.inputs.prompt_keys import unused_keys
from sim.inputs.prompts import read_prompt_file
from sim.models.quick_limits import quick_context, quick_vocab_size

_SCENARIO = """devices: {count: 2, requests: 1}
protocol: {name: edge_only}
models: embedded
workload:
  prompts: mine.jsonl
  max_new_tokens: 8
"""
_TEXT = {"text": "def main("}


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("case.yaml").write_text(_SCENARIO)
    return tmp_path


def write(*entries: dict[str, Any]) -> None:
    Path("mine.jsonl").write_text("\n".join(json.dumps(entry) for entry in entries))


def said(capsys: pytest.CaptureFixture[str], command: str, *changes: str) -> str:
    """The message with which a command refuses the scenario."""
    assert _main([command, "case.yaml", *(part for change in changes for part in ("--set", change))]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert not [line for line in lines if "Traceback" in line]
    return lines[-1]


@pytest.mark.parametrize(
    ("entries", "changes", "says"),
    [
        (
            [_TEXT, {"ids": [8191]}, {"ids": [1, 8192]}],
            [],
            "case.yaml:5: workload.prompts: MINE:3 holds token id 8192; the vocabulary of embedded/target has 8192, "
            "0 to 8191",
        ),
        (
            [{**_TEXT, "device": 0}, {**_TEXT, "device": 7}],
            [],
            "case.yaml:5: workload.prompts: 'MINE' holds no prompt for device 1: all are for other devices "
            "(device: 0, 7); valid: 0 to 1, or no device for all of them",
        ),
        (
            [_TEXT, {"ids": [5] * 1017}],
            [],
            "case.yaml:5: workload.prompts: MINE:2 has 1017 tokens and 8 new ones are asked for, but the models' "
            "context leaves room for 1016; set workload.max_prompt_tokens",
        ),
        (
            [{"ids": [5] * 1016}],
            ["workload.system_prompt_tokens=1"],
            "MINE:1 has 1017 tokens and 8 new ones are asked for",
        ),
        ([_TEXT, {**_TEXT, "max_new_tokens": 1024}], [], "MINE:2: max_new_tokens: 1024 new tokens leave no room"),
        ([_TEXT], ["workload.max_new_tokens=1024"], "--set workload.max_new_tokens: 1024 new tokens leave no room"),
    ],
)
def test_a_run_and_validate_refuse_the_same(work, capsys, entries, changes, says: str):
    write(*entries)
    message = said(capsys, "validate", *changes)
    assert says.replace("MINE", str(work / "mine.jsonl")) in message
    assert said(capsys, "run", *changes) == message


@pytest.mark.parametrize(
    ("entries", "changes"),
    [
        ([{"ids": [5] * 1016}], []),
        ([{"ids": [5] * 2000}], ["workload.max_prompt_tokens=1016"]),
        ([{"ids": [5] * 2000}], ["workload.decoded_prompt_tokens=1016"]),
        ([{"ids": [5] * 2000}], ["workload.output_tokens={mean: 3}"]),
        ([{"ids": [9000]}, _TEXT], ["workload.prompt_tokens={mean: 3}"]),
        ([_TEXT, {"ids": [9000], "device": 7}], []),
        ([{"ids": [9000]}, {**_TEXT, "device": 0}, {**_TEXT, "device": 1}], []),
        ([{**_TEXT, "device": 0}], ["workload.distinct_requests=1"]),
        ([{"ids": [9000]}], ["models.target=nosuch/thing"]),
    ],
)
def test_what_a_run_takes_is_valid(work, capsys, entries, changes):
    write(*entries)
    assert _main(["validate", "case.yaml", *(part for change in changes for part in ("--set", change))]) == 0


def test_no_library_of_models_is_imported_for_token_ids(work):
    write({"ids": [8192]})
    code = "import sys; from sim.cli import _main; rc = _main(sys.argv[1:])\n"
    code += "print([name for name in ('torch', 'transformers', 'tokenizers') if name in sys.modules], rc)"
    done = subprocess.run([sys.executable, "-c", code, "validate", "case.yaml"], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[] 2"], done.stderr


def folder_with(work: Path, config: dict[str, Any], settings: dict[str, Any], vocab: Any, added: Any = ()) -> str:
    """A model's folder without weights; returns its name."""
    (work / "config.json").write_text(json.dumps(config))
    (work / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = {"model": {"vocab": vocab}, "added_tokens": list(added)}
    (work / "tokenizer.json").write_text(json.dumps(tokenizer))
    return str(work)


@pytest.mark.parametrize(
    ("width", "settings", "vocab", "added", "known"),
    [
        (9, {}, {"a": 0, "b": 1}, [], 2),
        (9, {}, [["a", -1.0], ["b", -2.0], ["c", -3.0]], [], 3),
        (9, {}, {"a": 0}, [{"id": 4, "content": "<s>"}], 5),
        (9, {"added_tokens_decoder": {"6": {"content": "<t>"}}}, {"a": 0}, [], 7),
        (3, {}, {"a": 0, "b": 1, "c": 2, "d": 3}, [], 3),
        (9, {"pad_token": {"content": "<pad>"}}, {"a": 0}, [], None),
        (9, {"extra_special_tokens": ["<x>"]}, {"a": 0}, [], None),
        (9, {"pad_token": "a"}, {"a": 0}, [], 1),
    ],
)
def test_a_vocabulary_is_what_head_and_tokenizer_have(work, monkeypatch, width, settings, vocab, added, known):
    monkeypatch.setattr("sim.models.sources.check_folder", lambda folder, name: None)
    config = {"model_type": "mistral", "vocab_size": width, "max_position_embeddings": 64}
    name = folder_with(work, config, settings, vocab, added)
    assert quick_vocab_size(name) == known
    assert quick_context(name) is None  # What it omits, such as a window, has a default.


@pytest.mark.parametrize("name", ["embedded/draft", "embedded/target"])
def test_what_is_read_of_a_model_is_what_it_has(name: str):
    from sim.models.loading import load_model

    model = load_model(name, device="cpu")
    assert (quick_vocab_size(name), quick_context(name)) == (model.vocab_size, model.max_context)
    assert quick_context(f"{name}#layers=1") == model.max_context


def test_settings_of_requests_that_do_not_count_are_told_once_for_each_set(work, capsys):
    body = {"messages": [{"role": "user", "content": "Why?"}], "max_completion_tokens": 3, "n": 1, "stop": None}
    sampled = {**body, "temperature": 0, "top_p": 0.9}
    write({"body": sampled}, {"body": {**body, "seed": 3}}, {"body": {**sampled, "top_p": 1}}, {"body": body})
    scenario_notes = [
        "workload.prompts: temperature, top_p of 2 entries not used: sampling and ends of answers are those of the "
        "scenario (workload, seed)",
        "workload.prompts: seed of 1 entry not used: sampling and ends of answers are those of the scenario "
        "(workload, seed)",
    ]
    assert _main(["validate", "case.yaml"]) == 0
    assert capsys.readouterr().err.splitlines() == [f"note:    {note}" for note in scenario_notes]
    assert [prompt.max_new_tokens for prompt in read_prompt_file("mine.jsonl").prompts] == [3] * 4


def test_a_data_sets_own_keys_are_no_settings(work):
    write({"prompt": "Why?", "temperature": 0.5})
    assert not read_prompt_file("mine.jsonl").notes
    assert unused_keys({"prompt": "Why?", "model": "m", "stream": True, "tools": [], "stop": ["x"]}) == ("stop",)


def test_prompts_for_devices_that_are_not_there_are_told(work, capsys):
    write(_TEXT, {**_TEXT, "device": 2}, {**_TEXT, "device": 1})
    assert _main(["validate", "case.yaml"]) == 0
    note = "1 prompt for devices that the scenario does not have; the first is for device 2, valid: 0 to 1"
    assert capsys.readouterr().err == f"note:    workload.prompts: {note}\n"
    # Another kind of devices has them.
    kinds = "[{name: a, count: 2, requests: 1}, {name: b, count: 1, requests: 1}]"
    assert _main(["validate", "case.yaml", "--set", f"devices={kinds}"]) == 0
    note = "1 prompt without a device is not asked by device 2, which has own ones"
    assert capsys.readouterr().err == f"note:    workload.prompts: {note}\n"


def test_cut_requests_are_told_with_the_kind_of_devices(work):
    from sim.inputs.tokenised_requests import request_source
    from sim.scenario.schema import Scenario

    write(_TEXT)
    lengths = {"prompt_tokens": {"mean": 9}, "max_prompt_tokens": 2, "prompts": "mine.jsonl"}
    kinds = [{"name": "a", "count": 2, "requests": 1}, {"name": "b", "count": 1, "requests": 1, "workload": lengths}]
    scenario = Scenario.from_dict({"devices": kinds, "models": "embedded", "protocol": {"name": "edge_only"}})
    source = request_source(scenario.by_kind()[1])
    source.recordings()
    assert source.notes == ["1 request of b: prompts cut to workload.max_prompt_tokens"]


def test_one_of_a_kind_is_not_several():
    assert [counted(1, "prompt"), counted(0, "prompt"), counted(2, "entry", "entries")] == [
        "1 prompt",
        "0 prompts",
        "2 entries",
    ]
