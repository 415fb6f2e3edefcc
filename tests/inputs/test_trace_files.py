"""Traces of real services: each format as it is published, and what is not understood is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.core.errors import InputError
from sim.inputs.trace_files import Trace, name_of_csv_trace, read_trace

_AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
AZURE_2023 = _AZURE + "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.2299600,110,27\n"
AZURE_2024 = _AZURE + "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01.509930+00:00,2399,6\n"
BURST_HEAD = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURST = (
    f"{BURST_HEAD}5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,230,1317,Conversation log\n"
    "118,GPT-4,417,0,417,API log\n"
)
MOONCAKE = (
    '{"timestamp": 3000, "input_length": 512, "output_length": 2, "hash_ids": [0]}\n'
    '{"timestamp": 0, "input_length": 600, "output_length": 500, "hash_ids": [0, 1]}\n'
)


def read(folder: Path, name: str, text: str) -> Trace:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return read_trace(path, "workload.prompts")


@pytest.mark.parametrize(
    ("text", "second_s", "lengths"),
    [(AZURE_2023, 0.25, [(4808, 10), (110, 27)]), ("\ufeff" + AZURE_2024, 1.5, [(2162, 5), (2399, 6)])],
)
def test_azure(tmp_path: Path, text: str, second_s: float, lengths: list[tuple[int, int]]) -> None:
    trace = read(tmp_path, "azure.CSV", text)
    assert trace.format == "Azure LLM inference trace" and not trace.notes
    assert [entry.time_s for entry in trace.entries] == pytest.approx([0, second_s], abs=1e-6)
    assert [(entry.prompt_tokens, entry.output_tokens) for entry in trace.entries] == lengths


def test_burst_gpt_leaves_failures_out_and_says_so(tmp_path: Path) -> None:
    trace = read(tmp_path, "BurstGPT.csv", BURST)
    assert [(e.time_s, e.prompt_tokens, e.output_tokens) for e in trace.entries] == [(0, 472, 18), (40, 1087, 230)]
    assert trace.notes == ["1 row left out: failed requests, without response tokens"]


def test_mooncake_is_put_in_order(tmp_path: Path) -> None:
    trace = read(tmp_path, "mooncake.jsonl", MOONCAKE)
    assert [(e.time_s, e.prompt_tokens, e.blocks) for e in trace.entries] == [(0, 600, (0, 1)), (3, 512, (0,))]
    assert trace.entries[0].where.endswith("mooncake.jsonl:2")


def test_times_keep_their_origin_and_name_devices(tmp_path: Path) -> None:
    trace = read(tmp_path, "times.csv", "time_s,device\n7,1\n2.5,\n")
    assert [(entry.time_s, entry.device) for entry in trace.entries] == [(2.5, None), (7, 1)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "when,what\n1,2\n", r"x\.csv:1: columns 'when, what' are of no known trace; valid: Azure LLM"),
        ("x.jsonl", '{"query": "a"}\n', r"x\.jsonl:1: a line of a Mooncake trace has timestamp, input_length"),
        (
            "x.jsonl",
            MOONCAKE + '{"timestamp": 9}\n',
            r"x\.jsonl:3: a line of a Mooncake trace has input_length, output",
        ),
        ("x.jsonl", '{"timestamp": 1\n', r"x\.jsonl:1: not JSON"),
        ("x.jsonl", "5\n", r"x\.jsonl:1: expected an object of keys and values, got 5"),
        ("x.csv", AZURE_2023.replace("4808", "many"), r"x\.csv:2: ContextTokens must be a whole number, 0 to 1"),
        ("x.csv", AZURE_2023.replace("4808", "1e400"), r"x\.csv:2: ContextTokens must be a whole number, 0 to 1"),
        ("x.csv", AZURE_2023.replace("2023-11-16 18:17:04", "noon"), r"x\.csv:3: TIMESTAMP must be a date and a time"),
        ("x.csv", "time_s\nnan\n", r"x\.csv:2: time_s must be a finite number, 0 to 1e\+12, got 'nan'"),
        ("x.csv", "time_s\n1e300\n", r"x\.csv:2: time_s must be a finite number, 0 to 1e\+12, got '1e300'"),
        ("x.csv", "time_s\n\u0661\n", r"x\.csv:2: time_s must be a finite number, 0 to 1e\+12, got '\u0661'"),
        ("x.csv", "time_s\n2e6\n", r"x\.csv: the last request comes after 2e\+06 s"),
        ("x.csv", "time_s,device\n1,-2\n", r"x\.csv:2: device must be a whole number, 0 to 1e9, got '-2'"),
        ("x.csv", "time_s,devise\n1,2\n", r"x\.csv:1: unknown column 'devise' \(did you mean 'device'\?\)"),
        ("x.csv", "time_s,device\n1\n", r"x\.csv:2: got 1 cells; valid: 2"),
        ("x.csv", "time_s,time_s\n1,2\n", r"x\.csv:1: expected the columns time_s"),
        ("x.csv", "TIME\rSTAMP,ContextTokens\n", r"x\.csv:1: not a line of comma-separated values: new-line character"),
        ("x.csv", "time_s,device\n1,\r2\n", r"x\.csv:2: not a line of comma-separated values"),
        ("x.csv", "", r"workload\.prompts: .*x\.csv:1: columns '' are of no known trace"),
        ("x.csv", BURST_HEAD + "9,G,5,0,5,API log\n", r"holds no request; 1 row left out: failed"),
        ("m.jsonl", MOONCAKE.replace("[0]", '["a"]'), r"m\.jsonl:1: hash_ids must be a list of whole numbers"),
        ("m.jsonl", MOONCAKE.replace("600", "1600"), r"m\.jsonl:2: hash_ids names 2 blocks of 512 tokens for 1600"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, name, text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"^devices\.arrivals: .*cannot be read"):
        read_trace(path, "devices.arrivals")
    with pytest.raises(InputError, match=r"^devices\.arrivals: .*No such file"):
        read_trace(tmp_path / "none.csv", "devices.arrivals")


def test_a_trace_under_another_name_is_known_by_its_columns() -> None:
    assert name_of_csv_trace(_AZURE.strip()) == "Azure LLM inference trace"
    assert name_of_csv_trace("time_s flies, like an arrow") is None
