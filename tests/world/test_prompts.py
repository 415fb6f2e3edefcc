"""Prompts in the forms that datasets and tools of the field write, and what of them reaches requests and tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.core.errors import InputError
from sim.inputs import prompt_keys
from sim.inputs.prompts import SHIPPED, parse_prompt, read_prompt_file, read_prompts
from sim.inputs.requests import DrawnRequests
from sim.inputs.workload import cut_start, make_request
from sim.models.info import ModelInfo
from sim.tape.key import Addresses, describe, key_of
from tests.worlds import simulate_planned, small_scenario

MODELS = {
    "draft": ModelInfo("draft", 128, 128, frozenset({3}), 1, "d", 1),
    "target": ModelInfo("target", 128, 100, frozenset({3}), 1, "t", 1),
}
USER = ("user", "Why?")


def encode(content: Any) -> list[int]:
    """A letter per id; a chat begins each message with the id 0."""
    if isinstance(content, str):
        return [ord(letter) for letter in content]
    return [token for _, text in content for token in (0, *encode(text))]


def plan(tmp_path: Path, *entries: Any, name: str = "prompts.jsonl", **changes: Any):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(entry) for entry in entries), encoding="utf-8")
    workload = {"prompts": str(path), "max_new_tokens": 12, **changes.pop("workload", {})}
    return DrawnRequests(small_scenario(workload=workload, **changes), MODELS, encode).recordings()


@pytest.mark.parametrize(
    ("entry", "chat"),
    [
        ({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]},
         (("system", "Be brief."), USER)),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]}]},
         (USER,)),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"},
                            {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
         (("user", "Hi"), ("assistant", "Yes?"), USER)),
        ({"question_id": 81, "category": "writing", "turns": ["Why?", "And now?"]}, (USER,)),
        ({"task_id": "HumanEval/0", "prompt": "Why?", "canonical_solution": "  pass"}, (USER,)),
        ({"question": "Why?", "answer": "#### 3"}, (USER,)),
        ({"instruction": "Why?", "input": "", "output": "So."}, (USER,)),
        ({"instruction": "Sum up.", "input": "A text.", "output": "T."}, (("user", "Sum up.\n\nA text."),)),
        ({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions",
          "body": {"model": "m", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 9}}, (USER,)),
        ({"prompt": [{"role": "user", "content": "Why?"}]}, (USER,)),
    ],
)  # fmt: skip
def test_chats_as_the_field_writes_them(entry: dict[str, Any], chat: Any):
    prompt = parse_prompt(entry, "here:1")
    assert prompt.chat == chat
    assert prompt.category == entry.get("category", "")
    assert prompt.max_new_tokens == (9 if "body" in entry else None)


@pytest.mark.parametrize(
    ("form", "entry"),
    [
        (
            "prompt",
            {"task_id": "HumanEval/0", "prompt": "Why?", "canonical_solution": "x", "test": "y", "entry_point": "f"},
        ),
        (
            "text",
            {
                "task_id": 2,
                "text": "Why?",
                "code": "x",
                "test_list": [],
                "test_setup_code": "",
                "challenge_test_list": [],
            },
        ),
        ("question", {"question": "Why?", "answer": "#### 3"}),
        ("turns", {"question_id": 81, "category": "writing", "turns": ["Why?"], "reference": ["a"]}),
        ("turns", {"questionId": 81, "turns": ["Why?"]}),
        (
            "conversations",
            {"id": "a_0", "conversations": [{"from": "human", "value": "Why?"}], "turns": 1, "model": "m"},
        ),
        (
            "messages",
            {
                "prompt": "Why?",
                "prompt_id": "f",
                "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}],
            },
        ),
        (
            "instruction",
            {
                "instruction": "Why?",
                "input": "",
                "output": "So.",
                "text": "Below is an instruction.\n\n### Instruction:\nWhy?\n\n### Response:\nSo.",
            },
        ),
        ("instruction", {"instruction": "Why?", "context": "", "response": "So.", "category": "open_qa"}),
        (
            "prompt",
            {"prompt": "Why?", "text": None, "messages": None, "expected_output_len": 3, "min_tokens": 1, "seed": 3},
        ),
        (
            "messages",
            {
                "custom_id": "1",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {
                    "model": "m",
                    "messages": [{"role": "user", "content": "Why?"}],
                    "temperature": 0.5,
                    "top_p": 1,
                    "n": 1,
                    "user": "u",
                    "stop": None,
                    "stream": False,
                    "max_tokens": 9,
                    "min_tokens": 2,
                },
            },
        ),
        ("question", {"id": 1, "system_prompt": "", "question": "Why?", "response": "So."}),
        (
            "question",
            {"id": "q", "question": "Why?", "choices": ["a"], "subject": "s", "answerKey": "A", "device_id": "x"},
        ),
    ],
)
def test_other_keys_of_data_sets_are_passed_over(form: str, entry: dict[str, Any]):
    prompt = parse_prompt(entry, "here:1")
    assert (prompt.text, prompt.form) == ("Why?", form)


@pytest.mark.parametrize(
    ("entry", "key", "meant"),
    [
        ({"mesages": [{"role": "user", "content": "a"}]}, "mesages", "messages"),
        ({"conversation": []}, "conversation", "conversations"),
        ({"Prompt": "a"}, "Prompt", "prompt"),
        ({"txet": "a"}, "txet", "text"),
        ({"bdoy": {"prompt": "a"}}, "bdoy", "body"),
        ({"prompt": "a", "max_new_token": 5}, "max_new_token", "max_new_tokens"),
        ({"prompt": "a", "maxTokens": 5}, "maxTokens", "max_tokens"),
        ({"prompt": "a", "max-completion-tokens": 5}, "max-completion-tokens", "max_completion_tokens"),
        ({"prompt": "a", "output_token": 5}, "output_token", "output_tokens"),
        ({"text": "a", "catagory": "maths"}, "catagory", "category"),
        ({"text": "a", "devices": 1}, "devices", "device"),
        ({"instruction": "a", "imput": "b"}, "imput", "input"),
        ({"body": {"prompt": "a", "max_token": 3}}, "max_token", "max_tokens"),
        ({"custom_id": 1, "Category": "maths", "body": {"prompt": "a"}}, "Category", "category"),
        ({"body": {"mesages": []}}, "mesages", "messages"),
    ],
)
def test_misspelt_keys_say_what_is_meant(entry: dict[str, Any], key: str, meant: str, tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{{"text": "fine"}}\n{json.dumps(entry)}\n', encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_prompts(str(path))
    says = f"workload.prompts: {path}:2: broken prompt line; unknown key {key!r} (did you mean {meant!r}?)"
    assert str(error.value).startswith(says) and "\n" not in str(error.value)


def test_keys_are_compared_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch):
    """However many an entry has, and once for all entries that have the same."""
    calls: list[str] = []
    edits = prompt_keys.edits_between
    monkeypatch.setattr(prompt_keys, "edits_between", lambda one, other: calls.append(one) or edits(one, other))
    prompt_keys.names_near.cache_clear()
    entry = {**{f"max_token{i}": 1 for i in range(10_000)}, "max_tokens": 3, "text": "a"}
    for line in range(50):
        assert parse_prompt(entry, f"here:{line}").text == "a"
    assert 0 < len(calls) < 3_000


def test_a_limit_beside_a_request_counts_where_the_request_has_none():
    def limit(**body: int) -> int | None:
        entry = {"body": {"prompt": "a", **body}, "max_tokens": 4, "max_new_tokens": 3}
        return parse_prompt(entry, "here:1").max_new_tokens

    assert (limit(), limit(max_completion_tokens=5), limit(max_tokens=6)) == (3, 5, 6)


def test_tools_may_speak_last():
    messages = [{"role": role, "content": "a"} for role in ("system", "user", "assistant", "tool")]
    assert [role for role, _ in parse_prompt({"messages": messages}, "here:1").chat] == [m["role"] for m in messages]


def test_a_category_is_one_line():
    assert parse_prompt({"text": "a", "category": " two\n lines\t"}, "here:1").category == "two lines"


def test_a_category_of_null_is_none():
    assert parse_prompt({"text": "a", "category": None}, "here:1").category == ""


@pytest.mark.parametrize(
    ("entry", "one", "other"),
    [
        ({"text": "a", "instruction": "b"}, "text", "instruction"),
        ({"text": "a", "prompt": "a"}, "text", "prompt"),
        ({"text": "a", "ids": [3]}, "text", "ids"),
        ({"prompt": "a", "question": "b"}, "prompt", "question"),
        ({"messages": [{"role": "user", "content": "a"}], "prompt": "b"}, "messages", "prompt"),
        (
            {"messages": [{"role": role, "content": role} for role in ("system", "user")], "prompt": "system"},
            "messages",
            "prompt",
        ),
        ({"body": {"turns": ["a"], "prompt": "b"}}, "turns", "prompt"),
    ],
)
def test_forms_that_contradict_each_other(entry: dict[str, Any], one: str, other: str):
    with pytest.raises(InputError, match=f"here:1: {one} and {other} are given and are not the same prompt"):
        parse_prompt(entry, "here:1")


def _spoken(*speakers: str) -> list[dict[str, str]]:
    return [{"from": speaker, "value": f"{speaker} {place}"} for place, speaker in enumerate(speakers)]


NOBODY_ASKS = [[], _spoken("gpt"), _spoken("system", "gpt"), _spoken("system"), _spoken("chatgpt", "bing")]


@pytest.mark.parametrize("turns", NOBODY_ASKS)
@pytest.mark.parametrize("as_list", [True, False])
def test_conversations_without_a_human_are_left_out_with_a_note(turns: Any, as_list: bool, tmp_path: Path):
    asked = [{"conversations": _spoken("human", "gpt")}, {"conversations": _spoken("gpt", "human", "gpt")}]
    entries = [asked[0], {"id": "x", "conversations": turns}, asked[1], {"conversations": []}]
    path = tmp_path / ("shared.json" if as_list else "shared.jsonl")
    path.write_text(json.dumps(entries) if as_list else "\n".join(map(json.dumps, entries)))
    found = read_prompt_file(str(path))
    assert [prompt.chat for prompt in found.prompts] == [
        (("user", "human 0"),),
        (("assistant", "gpt 0"), ("user", "human 1")),
    ]
    assert read_prompts(str(path)) == found.prompts
    first = f"{path}, entry 2" if as_list else f"{path}:2"
    assert found.notes == (f"2 of 4 entries left out, conversations without a message of a user; the first is {first}",)
    path.write_text(json.dumps(asked) if as_list else "\n".join(map(json.dumps, asked)))
    assert read_prompt_file(str(path)).notes == ()


@pytest.mark.parametrize("turns", NOBODY_ASKS)
def test_a_file_of_such_conversations_alone_is_refused(turns: Any, tmp_path: Path):
    path = tmp_path / "shared.jsonl"
    path.write_text(2 * f"{json.dumps({'conversations': turns})}\n")
    with pytest.raises(InputError) as error:
        read_prompts(str(path))
    says = "broken prompt line; conversations: holds no message of a user"
    assert str(error.value) == f"workload.prompts: {path}:1: {says}"


def test_another_form_beside_such_a_conversation_is_the_prompt(tmp_path: Path):
    path = tmp_path / "shared.jsonl"
    path.write_text(json.dumps({"conversations": _spoken("system"), "question": "Why?"}))
    found = read_prompt_file(str(path))
    assert [prompt.chat for prompt in found.prompts] == [(USER,)] and not found.notes


@pytest.mark.parametrize("key", ["max_new_tokens", "max_completion_tokens", "max_tokens", "output_tokens"])
def test_a_prompt_may_have_a_length_limit_of_its_own(key: str, tmp_path: Path):
    short, plain = {"prompt": "ab", key: 5}, {"prompt": "cd"}
    planned = plan(tmp_path, short, plain, devices={"requests": 2})
    by_length = {one.max_new_tokens: one for one in planned}
    assert set(by_length) == {5, None}
    scenario = small_scenario(workload={"max_new_tokens": 12})
    assert make_request(by_length[5], scenario, MODELS).max_new_tokens == 5
    assert make_request(by_length[None], scenario, MODELS).max_new_tokens == 12
    same = plan(tmp_path, {**short, key: 12}, plain, devices={"requests": 2})
    assert {one.max_new_tokens for one in same} == {None}


def test_a_limit_of_its_own_is_part_of_what_a_recording_is_known_by(tmp_path: Path):
    (short,) = plan(tmp_path, {"text": "ab", "max_new_tokens": 5}, devices={"count": 1})
    (plain,) = plan(tmp_path, {"text": "ab"}, devices={"count": 1})
    scenario = small_scenario(workload={"max_new_tokens": 12})
    addresses = Addresses(scenario, MODELS)
    assert addresses.of(short) != addresses.of(plain)
    for one in (short, plain):
        assert addresses.of(one) == key_of(describe(one, scenario, MODELS))


def test_a_prompt_for_a_device_goes_to_no_other(tmp_path: Path):
    entries = [{"text": "a", "device": 1}, {"text": "b"}, {"text": "c"}]
    planned = plan(tmp_path, *entries, devices={"count": 3, "requests": 4})
    texts = {device: {one.prompt for one in planned if one.device == device} for device in range(3)}
    assert texts == {0: {(98,), (99,)}, 1: {(97,)}, 2: {(98,), (99,)}}
    with pytest.raises(InputError, match="holds no prompt for device 0"):
        plan(tmp_path, entries[0])


def test_the_template_is_for_chats_unless_the_workload_says_otherwise(tmp_path: Path):
    entries = [{"text": "a"}, {"question": "b"}]

    def prompts(**workload: Any) -> set[tuple[int, ...]]:
        return {one.prompt for one in plan(tmp_path, *entries, devices={"requests": 2}, workload=workload)}

    assert prompts() == {(97,), (0, 98)}
    assert prompts(chat_template="always") == {(0, 97), (0, 98)}
    assert prompts(chat_template="never") == {(97,), (98,)}


def test_lists_other_suffixes_and_byte_order_marks(tmp_path: Path):
    path = tmp_path / "alpaca.JSON"
    path.write_text(
        json.dumps([{"instruction": "a", "output": ""}, {"instruction": "b"}], indent=1), encoding="utf-8-sig"
    )
    assert [str(prompt) for prompt in read_prompts(str(path))] == ["a", "b"]
    lines = tmp_path / "lines.ndjson"
    lines.write_text('{"text": "a\\u2028b"}\r\n\n{"text": "c"}\r\n', encoding="utf-8-sig")
    assert [prompt.text for prompt in read_prompts(str(lines))] == ["a\u2028b", "c"]
    plain = tmp_path / "plain.txt"
    plain.write_text("one\u2028still one\r\ntwo\n", encoding="utf-8")
    assert [prompt.text for prompt in read_prompts(str(plain))] == ["one\u2028still one", "two"]


OBJECTS = ['{"prompt": "a"}', '{"id": 2, "conversations": []}']


@pytest.mark.parametrize("name", ["prompts.txt", "prompts", "prompts.jsonlines", "prompts.json.bak"])
@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (OBJECTS, "2 of its 2 lines are JSON objects"),
        (OBJECTS[:1], "1 of its 1 line is a JSON object"),
        (["", f"  {OBJECTS[0]}\r", "", OBJECTS[1], "cut off {"], "2 of its 3 lines are JSON objects"),
        ([f"[{', '.join(OBJECTS)}]"], "it is a JSON list of objects"),
        (json.dumps([json.loads(line) for line in OBJECTS], indent=1).split("\n"), "it is a JSON list of objects"),
    ],
)
def test_json_under_another_name_is_not_taken_for_text(name: str, lines: list[str], kind: str, tmp_path: Path):
    path = tmp_path / name
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    with pytest.raises(InputError) as error:
        read_prompts(str(path))
    suffix = ".json" if "list" in kind else ".jsonl or .ndjson"
    first = 2 if not lines[0] else 1
    assert str(error.value) == (
        f"workload.prompts: {path}:{first}: {kind}, but a file of this name is read as plain text, a prompt per line: "
        f"name it {suffix}"
    )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["Which keys has this?", OBJECTS[0]], 2),
        ([OBJECTS[0], "Which keys has this?"], 1),
        (["Which?", *OBJECTS], 2),
        (["{a: b}", "{", "}", "[1]", '["a"]', "3", '"a"', "[", "]"], None),
        (["[1, 2]"], None),
        (["[]"], None),
        ([100_000 * '{"a":' + "1" + 100_000 * "}"], None),
    ],
)
def test_a_line_of_text_may_look_like_json(lines: list[str], told: int | None, tmp_path: Path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(lines))
    found = read_prompt_file(str(path))
    assert [prompt.text for prompt in found.prompts] == lines
    assert bool(found.notes) is (told is not None)
    for note in found.notes:
        assert note.endswith(f"the first is {path}:{told}") and f"of {len(lines)} lines " in note


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"txt": "a"},
            "expected one of the keys text, ids, messages, conversations, turns, prompt, question, instruction",
        ),
        (["a"], "expected an object"),
        ({"text": 3}, "text: expected a text, got '3'"),
        ({"ids": [1, True]}, "ids: expected a list of token ids"),
        ({"messages": []}, "messages: holds no message of a user"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages: holds no message of a user"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "messages: holds no message of a user"),
        ({"messages": [{"role": "developer", "content": "Hi"}, {"role": "assistant", "content": "a"}]}, "of a user"),
        (
            {"messages": [{"role": "usr", "content": "a"}]},
            "messages: unknown role 'usr' (did you mean 'user'?); valid: ",
        ),
        ({"messages": [{"content": "a"}]}, "expected a role and a content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part that is no text"),
        ({"conversations": [{"from": "cat", "value": "a"}]}, "from is one of human, user, gpt"),
        ({"conversations": [{"from": ["cat"], "value": "a"}]}, "from is one of human, user, gpt"),
        ({"turns": []}, "turns: expected a list of turns"),
        ({"text": "a", "device": -1}, "device must be a whole number, 0 to 10000000, got -1"),
        ({"text": "a", "max_tokens": 0}, "max_tokens must be a whole number, 1 to 10000000, got 0"),
        ({"text": "a", "category": 3}, "category must be a text"),
        ({"text": "a", "category": "m\x1b[2J"}, "category must be a text, got 'm\\x1b[2J'"),
        ({"body": {"prompt": "a"}, "max_tokens": 0}, "max_tokens must be a whole number, 1 to 10000000, got 0"),
    ],
)
def test_broken_entries_say_where_and_what(entry: Any, message: str, tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{{"text": "fine"}}\n{json.dumps(entry)}\n', encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_prompts(str(path))
    assert str(error.value).startswith(f"workload.prompts: {path}:2: ")
    assert message in str(error.value)


def test_a_prompt_that_does_not_fit_its_own_limit_says_which(tmp_path: Path):
    with pytest.raises(InputError, match=r"prompts\.jsonl:1: max_new_tokens: 100 new tokens leave no room"):
        plan(tmp_path, {"text": "a", "max_new_tokens": 100})
    with pytest.raises(InputError, match=r"prompts\.jsonl:1 has 20 tokens and 90 new ones .* room for 10"):
        plan(tmp_path, {"text": "a" * 20, "max_new_tokens": 90})


def test_leading_special_tokens_stay_when_a_prompt_is_cut():
    """Models expect the token that begins a text."""
    model = ModelInfo("m", 32, 100, frozenset({2}), 1, "m", 1, special_ids=(0, 1, 2))
    ids = [1, *range(5, 17)]
    assert cut_start(ids, 4, model) == [1, 14, 15, 16]
    assert cut_start([1, 1, *ids], 4, model) == [1, 1, 1, 16]
    assert cut_start(ids[1:], 4, model) == [13, 14, 15, 16]
    assert cut_start(ids, 1, model) == [1]
    assert cut_start(ids, 99, model) == ids
    assert cut_start([1, 2, 0], 2, model) == [1, 2]
    unknown = ModelInfo("m", 32, 100, frozenset({2}), 1, "m", 1)
    assert cut_start(ids, 4, unknown) == [1, 14, 15, 16]


def test_categories_reach_requests_and_rounds(tmp_path: Path):
    planned = plan(tmp_path, {"ids": [1, 2], "category": "maths"}, {"ids": [3, 4]}, devices={"count": 2, "requests": 2})
    output = simulate_planned(small_scenario(devices={"count": 2, "requests": 2}), planned)
    for rows in (output.requests, output.rounds):
        assert {row["category"] for row in rows} == {"maths", ""}
    maths = {(one.device, one.index) for one in planned if one.category}
    assert {(row["device"], row["request"]) for row in output.rounds if row["category"] == "maths"} == maths


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_prompts_can_be_read(name: str):
    assert len(read_prompts(name)) >= 90


def test_the_chats_are_of_eight_kinds_and_none_is_there_twice():
    prompts = read_prompts("chat")
    kinds: dict[str, list[str]] = {}
    for prompt in prompts:
        assert prompt.chat is not None
        kinds.setdefault(prompt.category, []).append(prompt.text)
    expected = {"writing", "reasoning", "code", "summary", "extraction", "translation", "question answering", "maths"}
    assert set(kinds) == expected
    assert all(len(texts) >= 12 for texts in kinds.values())
    assert len({prompt.text for prompt in prompts}) == len(prompts)
