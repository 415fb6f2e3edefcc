"""What ``specran prove`` tells the author of a protocol beside the distance."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sim.cli import _main, prove
from sim.cli.reached_lines import ReachedLines, in_words
from sim.core import user_code
from sim.decoding.protocols.registry import PROTOCOLS
from sim.sweep.tasks import InProcess, Task

_OWN = '''from sim.decoding import (
    ChainSettings, DraftLayout, Hop, RowCodec, RowFormat, Transmit, VerdictLayout,
    draft_chain, find_rule, finish_round, protocol, send_prompt, target_rows, verify,
)


@protocol("own", ChainSettings, lossless=True)
def own(request, settings, rng):
    """Chains whose length is meant to depend on the last round."""
    codec = RowCodec(request.vocab_size, RowFormat(top_k=2))
    reply = VerdictLayout(request.vocab_size, 1)
    yield from send_prompt(request)
    while not request.finished:
        draft = yield from draft_chain(request, 1, codec, rng)
        received = yield Transmit(Hop.UPLINK, DraftLayout(codec, [1])(draft))
        rows = yield from target_rows(request, received)
        verdict = yield from verify(rows, received, find_rule("single", "iid", 1), request.position, rng)
        answer = yield Transmit(Hop.DOWNLINK, reply(verdict.wire))
        if hasattr(answer, "last_node"):
            codec = narrowed(
                request)
        yield finish_round(request, draft, answer, verdict)


def narrowed(request):
    return RowCodec(request.vocab_size, RowFormat(top_k=1))
'''
_SMALL = ["--tokens", "2", "--vocab-size", "2", "--pairs", "1"]


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with a protocol of one's own, forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(_OWN)
    with ExitStack() as stack:
        stack.enter_context(user_code.user_code_forgotten())
        stack.enter_context(PROTOCOLS.restored_afterwards())
        yield tmp_path
    sys.modules.pop("mine", None)


def test_lines_that_no_path_reached_are_named(capsys):
    assert _main(["prove", "mine:own", *_SMALL]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("not run: line 20 of mine.py: no path came there, and nothing is proved of it")
    assert _main(["prove", "mine:own", *_SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines_not_reached"] == [20]


def test_nothing_is_said_where_all_lines_ran(capsys):
    Path("mine.py").write_text(_OWN.replace('"last_node"', '"last_accepted"'))
    assert _main(["prove", "mine:own", *_SMALL]) == 0
    assert "not run:" not in capsys.readouterr().err


def test_a_watched_function_is_as_it_was_afterwards():
    entry = PROTOCOLS.find("mine:own")
    before = entry.make.__code__
    with ReachedLines(entry.make).watching():
        assert entry.make.__code__ is not before
        assert entry.make.__code__.co_filename == before.co_filename
    assert entry.make.__code__ is before
    assert not [name for name in vars(sys.modules["mine"]) if "reached" in name]


def test_marks_stand_before_statements_of_all_kinds(tmp_path, monkeypatch):
    Path("kinds.py").write_text(
        "def kinds(n):\n    'What it does.'\n    try:\n        if n == 1:\n            return [i for i in range(3)]\n"
        "        elif n == 2:\n            raise ValueError\n        else:\n            n = 0\n    except ValueError:\n"
        "        n = 5\n    finally:\n        n += 1\n    for _ in ():\n        n = 9\n    def inner():\n"
        "        return n\n    with open('kinds.py'):\n        return inner()\n\ndef other():\n    return 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    kinds = importlib.import_module("kinds")

    reached = ReachedLines(kinds.kinds)
    assert reached.missed == []
    with reached.watching():
        assert kinds.kinds(1) == [0, 1, 2] and kinds.kinds(2) == 6
    assert reached.missed == [9, 15]
    assert in_words([3, 7, 8, 9, 12]) == "lines 3, 7 to 9, 12" and in_words([4]) == "line 4"
    del sys.modules["kinds"]


@pytest.mark.parametrize("name", ["mine", "mine.py"])
def test_a_file_named_in_place_of_its_protocol(capsys, name: str):
    assert _main(["prove", name]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"specran: unknown protocol '{name}'") and told.count("\n") == 1
    assert told.endswith("There is mine.py here: name its protocol mine:own\n")


def test_how_long_it_may_take_is_said_early(capsys, monkeypatch):
    monkeypatch.setattr(prove, "PROGRESS_S", 0.0)
    assert _main(["prove", "mine:own", *_SMALL]) == 0
    told = capsys.readouterr().err.splitlines()[0]
    assert told.startswith("running: pair 1 of 1, 1 outcomes followed in 0 s (")
    assert " a second); at most 20,000, which would take " in told


@pytest.mark.parametrize(
    "command",
    [
        ["prove", "mine:own", *_SMALL],
        ["run", "case.yaml"],
        ["sweep", "case.yaml", "--vary", "link.uplink_mbps=1,2", "--jobs", "1"],
    ],
)
def test_own_code_that_ends_the_program_has_failed(capsys, monkeypatch, work, command: list[str]):
    monkeypatch.setenv("SPECRAN_CACHE", str(work / "cache"))
    Path("mine.py").write_text(_OWN.replace("    codec", "    __import__('sys').exit(0)\n    codec", 1))
    Path("case.yaml").write_text(
        "devices: {count: 1, requests: 1}\nmodels: embedded\nprotocol: {name: 'mine:own'}\n"
        "compute: {device: {kind: fixed}, edge: {kind: fixed}}\nlink: {kind: fixed}\n"
    )
    assert _main(command) == 1
    captured = capsys.readouterr()
    assert not captured.out
    assert f"{work / 'mine.py'}:10: own code ends the program by sys.exit(0)" in captured.err
    assert not Path("results").exists()


def test_a_point_whose_own_code_ends_the_program_is_a_failed_one():
    def leave(task: object) -> None:
        sys.exit(0)

    ((number, result, failure),) = InProcess().run([Task(leave, None)])
    assert (number, result) == (0, None)
    assert "own code ends the program by sys.exit(0)" in failure
