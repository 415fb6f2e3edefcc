"""The generated pages: every key, column, command and protocol is on them, with what the code says of it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from docs.generators import pages, readme
from docs.generators.schema import parts, yaml_value
from docs.generators.sequence import one_round, to_svg
from docs.generators.signatures import with_step_named
from sim.core.settings import field_docstrings
from sim.decoding.core.steps import Step
from sim.scenario.schema import Scenario

KEYS = {key.path: key for part in parts(version="9.9.9") for key in part.keys}


def test_every_key_has_type_meaning_and_version() -> None:
    for path, key in KEYS.items():
        assert key.kind, path
        assert key.meaning, path
        assert key.since in ("0.1.0", "9.9.9"), path


def test_keys_are_those_that_a_scenario_dumps() -> None:
    """What the schema says against what the loader fills in."""
    from sim import load_scenario

    dumped = load_scenario("quickstart").dump()
    for part in ("devices", "workload", "models", "edge", "cloud"):
        for name in dumped[part]:
            assert f"{part}.{name}" in KEYS
    for name in set(dumped["link"]) - {"kind"}:
        assert f"link.nr.{name}" in KEYS
    for name in set(dumped["protocol"]) - {"name"}:
        assert f"protocol.tslt.{name}" in KEYS


def test_defaults_bounds_and_units_are_the_codes() -> None:
    key = KEYS["link.fixed.one_way_delay_s"]
    assert (key.kind, key.unit, key.bounds) == ("number", "s", "≥ 0, ≤ 1000")
    assert key.default == "0.005"
    assert KEYS["link.nr.scs_khz"].bounds == "`15`, `30`, `60`, `120`"
    assert KEYS["compute.roofline.hardware"].default == ""


@pytest.mark.parametrize(
    ("value", "text"), [(None, "none"), (True, "true"), (0.25, "0.25"), ([1, 2], "[1, 2]"), ({"a": None}, "{a: none}")]
)
def test_values_are_written_as_in_yaml(value: object, text: str) -> None:
    assert yaml_value(value) == text


def test_signatures_name_the_union_of_steps() -> None:
    union = " | ".join(f"~{step.__module__}.{step.__name__}" for step in get_args(Step))
    text = f"(prologue: ~collections.abc.Generator[{union}, ~typing.Any, None] | None = None)"
    assert with_step_named(text) == "(prologue: ~collections.abc.Generator[Step, ~typing.Any, None] | None = None)"
    assert with_step_named("~sim.decoding.core.steps.Compute | None") == "~sim.decoding.core.steps.Compute | None"
    assert with_step_named(None) is None


def test_parts_of_a_scenario_are_described_without_a_colon() -> None:
    """What stands before a colon in the first line of an attribute's docstring is shown as its type."""
    first = {name: text.strip().split("\n")[0] for name, text in field_docstrings(Scenario).items()}
    assert len(first) > 10
    assert not [name for name, line in first.items() if ":" in re.sub("`[^`]*`", "", line)]


def test_what_authors_of_protocols_meet_has_an_entry() -> None:
    page = (Path(pages.__file__).parents[1] / "reference" / "python.md").read_text(encoding="utf-8")
    for name in ("VerdictBody", "Verdict", "DraftTree"):
        assert page.count(f".. autoclass:: sim.decoding.{name}\n") == 1
        assert "Attributes:" in getattr(import_module("sim.decoding"), name).__doc__


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    pages.write_all(folder)
    return folder


def test_all_pages_are_written(written: Path) -> None:
    assert {path.stem for path in written.glob("*.md")} == set(pages.PAGES)
    for path in written.glob("*.md"):
        assert path.read_text(encoding="utf-8").startswith("# "), path.name


def test_commands_are_those_of_the_help(written: Path) -> None:
    import typer

    from sim.cli.app import build

    text = (written / "commands.md").read_text(encoding="utf-8")
    for name, command in pages.commands("specran", typer.main.get_command(build())):
        assert f"## {name}\n" in text
        for parameter in command.params:
            if parameter.name != "help":
                assert parameter.opts[0] in text, (name, parameter.name)


def test_protocols_and_their_diagrams(written: Path) -> None:
    from sim.decoding.protocols.registry import PROTOCOLS

    text = (written / "protocols.md").read_text(encoding="utf-8")
    for entry in PROTOCOLS:
        assert f"## {entry.name}\n" in text
        assert (written / "protocols" / f"{entry.name}.svg").exists()
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (written / target).exists()


def test_a_diagram_shows_what_a_round_did() -> None:
    events = one_round("dssd")
    ways = [(event.source, event.target) for event in events if event.source != event.target]
    assert ways[0] == ("device", "edge")
    assert ("edge", "device") in ways
    svg = to_svg(events, "a < b")
    assert "a &lt; b" in svg
    assert svg.count("<text") == len(events) + 2


def test_gallery_has_every_bundled_scenario(written: Path) -> None:
    from sim.scenario.loading import bundled_scenarios

    text = (written / "gallery.md").read_text(encoding="utf-8")
    for name in bundled_scenarios():
        assert f"## {name}\n" in text
    assert len(list((written / "gallery").glob("*.png"))) >= 15


def test_the_readmes_protocols_are_those_of_the_code() -> None:
    """If this fails: ``python -m docs.generators.readme``."""
    text = readme.README.read_text(encoding="utf-8")
    assert readme.with_protocols(text) == text


def test_every_public_name_of_python_is_in_the_reference() -> None:
    import sim
    import sim.decoding
    import sim.links.nr
    import sim.models
    import sim.plotting

    text = (pages.ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    public = [f"sim.{name}" for name in sim.__all__ if name != "sweep"] + ["sim.sweep.run.sweep"]
    public += [f"sim.decoding.{name}" for name in sim.decoding.__all__]
    public += [f"sim.models.{name}" for name in sim.models._HOMES]
    public += [f"sim.links.nr.{name}" for name in sim.links.nr.__all__ if not name.startswith("Nr")]
    # Links and scenarios are described key by key; of sim.plotting the page takes all.
    missing = [name for name in public if not re.search(rf":: {re.escape(name)}(\(\*\*keys\))?$", text, re.M)]
    assert missing == []
    assert ".. automodule:: sim.plotting\n   :imported-members:" in text


def test_bounds_beyond_meaning_are_left_out() -> None:
    assert not [path for path, key in KEYS.items() if "e+12" in key.bounds]
    assert KEYS["protocol.tslt.top_k"].bounds == "≥ 1"


def test_the_drawing_names_every_part() -> None:
    from docs.generators.breakdown import breakdown_svg
    from sim.results.columns import BREAKDOWN_COLUMNS

    svg = breakdown_svg()
    parts_drawn = {part.removesuffix("_s") for part in BREAKDOWN_COLUMNS} - {"downlink_retransmission", "other"}
    assert [part for part in parts_drawn if f">{part}</text>" not in svg] == []
