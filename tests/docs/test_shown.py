"""What the manual shows of forms and outputs is what the program takes and prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sim.cli import _main
from sim.inputs.prompts import _READERS, parse_prompt

HOW_TO = Path(__file__).parents[2] / "docs" / "how_to"
_FORM = re.compile(r"^\| `(\w+)` \| `(\{.*?\})` \|", re.M)
_CHECK = re.compile(r"^specran (models check .*)\n```\n\n```text\n(.*?)```", re.M | re.S)


def test_the_table_of_prompts_names_every_form_in_the_order_in_which_they_count() -> None:
    forms = _FORM.findall((HOW_TO / "own_prompts.md").read_text(encoding="utf-8"))
    assert [form for form, _ in forms] == [*_READERS, "body"]
    for form, example in forms:
        prompt = parse_prompt(json.loads(example), "here:1")
        assert prompt.form == (form if form != "body" else "messages")
        assert (prompt.chat is None) == (form in ("text", "ids"))


def test_what_models_check_is_said_to_print_is_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    found = _CHECK.search((HOW_TO / "own_models.md").read_text(encoding="utf-8"))
    assert found is not None
    assert _main(found[1].split()) == 0
    printed = re.sub(r"(?m)^(  files +).*(/sim/models/)", r"\1...\2", capsys.readouterr().out)
    assert printed == found[2]
