"""Published workload files: each format as it is published, and what is not understood is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.core.errors import InputError
from sim.inputs.workload_files import Entry, read_workload_file

_AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
AZURE_2023 = _AZURE + "2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.2299600,110,27\n"
AZURE_2024 = _AZURE + "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01.509930+00:00,2399,6\n"
BURST_HEAD = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURST = (
    f"{BURST_HEAD}5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,230,1317,Conversation log\n"
    "118,GPT-4,417,0,417,API log\n"
)
MOONCAKE = (
    '{"timestamp": 0, "input_length": 600, "output_length": 500, "hash_ids": [0, 1]}\n'
    '{"timestamp": 3000, "input_length": 512, "output_length": 2, "hash_ids": [0]}\n'
)
SHARE_GPT = [
    {
        "id": "a",
        "conversations": [
            {"from": "human", "value": "Hello"},
            {"from": "gpt", "value": "Hi there"},
            {"from": "human", "value": "And now?"},
        ],
    },
    {"id": "b", "conversations": [{"from": "gpt", "value": "only me"}]},
]


def read(folder: Path, name: str, text: str) -> tuple[str, tuple[Entry, ...], dict[str, int]]:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    found = read_workload_file(path, "workload.prompts")
    return found.format, found.entries, dict(found.left_out)


@pytest.mark.parametrize(("text", "second_s"), [(AZURE_2023, 0.25), (AZURE_2024, 1.5)])
def test_azure(tmp_path: Path, text: str, second_s: float) -> None:
    format_, entries, left_out = read(tmp_path, "azure.csv", text)
    assert format_ == "Azure LLM inference trace" and not left_out
    assert entries[0].time_s == 0 and entries[1].time_s == pytest.approx(second_s)
    lengths = [(entry.prompt_tokens, entry.output_tokens) for entry in entries]
    assert lengths in ([(4808, 10), (110, 27)], [(2162, 5), (2399, 6)])


def test_burst_gpt_leaves_failures_out_and_says_so(tmp_path: Path) -> None:
    _, entries, left_out = read(tmp_path, "BurstGPT.csv", BURST)
    assert [(e.time_s, e.prompt_tokens, e.output_tokens) for e in entries] == [(0, 472, 18), (40, 1087, 230)]
    assert left_out == {"failed: no response tokens": 1}


def test_mooncake(tmp_path: Path) -> None:
    _, entries, _ = read(tmp_path, "mooncake.jsonl", MOONCAKE)
    assert [(e.time_s, e.prompt_tokens, e.blocks) for e in entries] == [(0, 600, (0, 1)), (3, 512, (0,))]


def test_share_gpt(tmp_path: Path) -> None:
    _, entries, left_out = read(tmp_path, "share.json", json.dumps(SHARE_GPT, indent=1))
    assert entries == (Entry(2, ("Hello", "And now?"), answer="Hi there", session="a"),)
    assert left_out == {"no turn of a user": 1}


@pytest.mark.parametrize(
    ("row", "turns", "output"),
    [
        ({"prompt": "Tell", "output_tokens": 7}, ("Tell",), 7),
        ({"task_id": "HumanEval/0", "prompt": "def f():", "canonical_solution": "x"}, ("def f():",), None),
        ({"question": "How many?", "answer": "Two"}, ("How many?",), None),
        ({"question_id": 81, "category": "writing", "turns": ["One", "Two"]}, ("One", "Two"), None),
        ({"instruction": "Add", "input": "1 2", "output": "3"}, ("Add\n1 2",), None),
        ({"instruction": "Add", "input": "", "output": "3"}, ("Add",), None),
        ({"text": "line\u2028separator"}, ("line\u2028separator",), None),
        (
            {
                "custom_id": "1",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9},
            },
            ("Hi",),
            9,
        ),
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_texts(
    tmp_path: Path, row: dict[str, object], turns: tuple[str, ...], output: int | None, as_list: bool, mark: str
) -> None:
    text = (
        json.dumps([row, row], ensure_ascii=False) if as_list else "\n".join([json.dumps(row, ensure_ascii=False)] * 2)
    )
    _, entries, _ = read(tmp_path, "some.NDJSON", mark + text)
    assert [entry.turns for entry in entries] == [turns, turns] and entries[0].output_tokens == output


def test_plain_text_is_split_at_line_ends_only(tmp_path: Path) -> None:
    _, entries, _ = read(tmp_path, "prompts.txt", "\ufefffirst\u2028still first\r\n\nsecond\n")
    assert [(entry.line, entry.turns) for entry in entries] == [(1, ("first\u2028still first",)), (3, ("second",))]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "x.csv",
            "when,what\n1,2\n",
            r"x\.csv:1: a file of when, what is not understood; valid: CSV with the columns of",
        ),
        ("x.jsonl", '{"query": "a"}\n', r"x\.jsonl:1: a file of query is not understood; .*ShareGPT \(conversations\)"),
        ("x.jsonl", '{"text": "a"}\n{"ids": [1]}\n', r"x\.jsonl:2: prompts as text needs text"),
        ("x.jsonl", '{"text": "a"}\n{"text": 3}\n', r"x\.jsonl:2: text: expected text, got 3"),
        ("x.jsonl", '{"text": "\\ud800"}\n', r"x\.jsonl:1: text: holds half of a surrogate pair"),
        ("x.jsonl", '{"text": "a"\n', r"x\.jsonl:1: broken line, not JSON"),
        ("x.jsonl", "5\n", r"x\.jsonl:1: expected an object with keys, got '5'"),
        ("x.json", '[\n{"text": "a"},\n{"text": }]', r"x\.json:3: broken list, not JSON"),
        ("x.json", '[{"text": "a"},\n{"text": 1}]', r"x\.json:2: text: expected text, got 1"),
        ("x.csv", AZURE_2023.replace("4808", "many"), r"x\.csv:2: ContextTokens: expected a whole number"),
        ("x.csv", AZURE_2023.replace("2023-11-16 18:17:04", "noon"), r"x\.csv:3: TIMESTAMP: expected date and time"),
        ("x.csv", "time_s\nnan\n", r"x\.csv:2: time_s: expected a finite number of seconds, not negative, got 'nan'"),
        ("x.csv", "time_s,device\n1\n", r"x\.csv:2: expected 2 columns"),
        ("x.txt", AZURE_2023, r"x\.txt:1: these are the columns of Azure LLM inference trace"),
        ("x.jsonl", "\n", r"workload\.prompts: .*x\.jsonl' holds no request"),
        ("x.csv", BURST_HEAD + "9,G,5,0,5,API log\n", r"holds no request \(1 left out: failed"),
        ("m.jsonl", MOONCAKE.replace("[0]", '["a"]'), r"m\.jsonl:2: hash_ids: expected a list of numbers"),
        ("m.jsonl", MOONCAKE.replace("600", "1600"), r"m\.jsonl:1: hash_ids: 2 blocks of 512 tokens for 1600 tokens"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, name, text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"^workload\.prompts: .*cannot be read"):
        read_workload_file(path, "workload.prompts")
    with pytest.raises(InputError, match=r"^workload\.prompts: .*No such file"):
        read_workload_file(tmp_path / "none.txt", "workload.prompts")
