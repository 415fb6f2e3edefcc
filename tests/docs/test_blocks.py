"""Every command and every Python block of the README and of the documentation runs, with small settings.

Blocks of one page share a folder and a namespace, in order. A block that opens with ``# NAME.py`` or ``# NAME.yaml`` is
a file of that name; other Python blocks are executed. Commands are run in this process. A comment before a block says
what keeps it small: ``<!-- test: --set devices.count=1 -->`` is added to its runs, sweeps and recordings. Scenarios
that name no models run with the embedded ones, the quickstart only where such a comment stands.
``<!-- test: parse -->`` marks commands that need what a test cannot have (a network, a cluster, minutes): of those the
command line itself is parsed, and scenarios and keys that it names are checked.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sim.cli.registries import REGISTRIES
from sim.core import user_code
from sim.scenario.loading import bundled_scenarios

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:<!-- test:(?P<note>[^\n]*?)-->\n)?^```(?P<kind>python|yaml|sh)\n(?P<text>.*?)^```$", re.M | re.S
)
_FILE = re.compile(r"# ([\w.-]+\.(?:py|yaml))\n")
_SIMULATING = ("run", "sweep", "tape record", "tape export")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        kind: ``python``, ``yaml`` or ``sh``.
        text: What is in it.
        note: What the comment before it says.
    """

    kind: str
    text: str
    note: str


def pages() -> list[Path]:
    """The README and all written pages that are no notebooks; those are executed when the documentation is built."""
    written = [path for path in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "generated"} & set(path.parts)]
    return [ROOT / "README.md", *(path for path in written if blocks_of(path))]


def blocks_of(path: Path) -> list[Block]:
    """Blocks in order."""
    text = path.read_text(encoding="utf-8")
    return [Block(m["kind"], m["text"], (m["note"] or "").strip()) for m in _BLOCK.finditer(text)]


def commands_in(block: Block) -> Iterator[list[str]]:
    """Words of each command; lines that end in a backslash go on, what follows a ``#`` is for the reader."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run a page in, which own files can be imported from, and which is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    with ExitStack() as stack:
        stack.enter_context(user_code.user_code_forgotten())
        for part in REGISTRIES.values():
            stack.enter_context(part.registry.restored_afterwards())
        yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_run(page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "specran tape" in page.read_text(encoding="utf-8"):  # it is about a tape of its own, not about the user's
        monkeypatch.setenv("SPECRAN_CACHE", str(workplace / "cache"))
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of(page):
        named = _FILE.match(block.text)
        if named:
            Path(named[1]).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            exec(compile(block.text, str(page), "exec"), names)
        elif block.kind == "yaml":
            check_excerpt(block.text)
        else:
            for words in commands_in(block):
                if block.note == "parse" or words[0] == "make":
                    check_command(words)
                else:
                    run_command(words, shlex.split(block.note))


def check_excerpt(text: str) -> None:
    """An excerpt of a scenario is one that the schema takes."""
    import yaml

    from sim import Scenario

    keys = yaml.safe_load(text)
    Scenario.from_dict({"link": "fixed", **keys} if isinstance(keys, dict) else keys)


def run_command(words: list[str], more: list[str]) -> None:
    """Run ``specran`` with small settings."""
    from sim.cli import _main

    assert words[0] == "specran", f"only specran can be run here, not {words[0]!r}"
    arguments = [match for word in words[1:] for match in expanded(word)]
    if " ".join(words[1:3]) in _SIMULATING or words[1] in _SIMULATING:
        arguments += more
    if names_no_models(words) and (more or "quickstart" not in words):
        arguments += ["--set", "models=embedded"]
    assert _main(arguments) == 0, " ".join(arguments)


def names_no_models(words: list[str]) -> bool:
    """Whether a command decodes, and neither it nor a scenario of the page says with which models."""
    if words[1] not in (*_SIMULATING, "tape", "capacity") or "models" in " ".join(words):
        return False
    files = [Path(word) for word in words if word.endswith(".yaml") and Path(word).is_file()]
    return not bundled_scenarios().keys().isdisjoint(words) or any(
        "models:" not in path.read_text(encoding="utf-8") for path in files
    )


def expanded(word: str) -> list[str]:
    """What a shell makes of a word with a wildcard."""
    return (sorted(glob.glob(word)) or [word]) if "*" in word and not word.startswith("-") else [word]


def check_command(words: list[str]) -> None:
    """A command that is not run: its target exists, its line can be parsed, and what it names is there."""
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in words[1:]:
            assert re.search(rf"^{target}:", makefile, re.M), f"no target {target!r}"
        return
    assert words[0] == "specran", f"only specran and make are expected here, not {words[0]!r}"
    parse(words[1:])
    scenario = next((word for word in words[2:] if not word.startswith("-")), "")
    changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    if words[1] in ("run", "sweep") and os.path.sep not in scenario and not scenario.endswith(".yaml"):
        from sim.scenario.loading import load_scenario
        from sim.scenario.overrides import changes_of

        load_scenario(scenario, changes_of([text for text in changes if ".json" not in text], None))


def parse(arguments: list[str]) -> None:
    """Parse a command line as ``specran`` does, without running it."""
    import typer

    from sim.cli.app import build

    command: Any = typer.main.get_command(build())
    context = command.context_class(command, info_name="specran")
    while hasattr(command, "commands"):
        name, *arguments = arguments
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    command.make_context(f"specran {name}", arguments, parent=context)


def test_every_kind_of_block_is_found() -> None:
    kinds = {block.kind for page in pages() for block in blocks_of(page)}
    assert kinds == {"python", "yaml", "sh"}
    assert len(pages()) > 12


def test_wrong_commands_are_caught() -> None:
    with pytest.raises(AssertionError, match="no command"):
        parse(["rum", "quickstart"])
    with pytest.raises(Exception, match="--sett"):
        parse(["run", "quickstart", "--sett", "a=1"])
    with pytest.raises(AssertionError, match="no target 'foo'"):
        check_command(["make", "foo"])
