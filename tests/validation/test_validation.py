"""The fast subset of the validation table, and that the table itself can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.validation import registry
from tests.validation.__main__ import JSON, main
from tests.validation.registry import SECTIONS, Row, between, makers, missing, near, same, section, within_factor
from tests.validation.report import counts, page, value_text, write_json

FAST = [maker for maker in makers() if maker.is_fast]


@pytest.mark.parametrize("maker", FAST, ids=lambda maker: maker.make.__name__)
def test_fast_rows_say_what_they_should(maker: registry.Maker) -> None:
    rows = list(maker.make())
    assert rows
    wrong = [
        f"{row.what}: expected {row.expected}, got {row.got} ({row.tolerance})" for row in rows if not row.is_as_stated
    ]
    assert not wrong
    for row in rows:
        assert row.source
        assert row.note or not row.deviates
        assert row.note or row.ok is not None


def test_every_section_has_rows_in_the_fast_subset_or_beyond() -> None:
    assert {maker.section for maker in makers()} == set(SECTIONS)
    assert len({maker.section for maker in FAST}) >= 6


def test_rows_can_fail() -> None:
    assert near("x", "s", 1.0, 1.2, abs=0.1).ok is False
    assert near("x", "s", [1.0, 2.0], [1.0, 2.3], rel=0.1).ok is False
    assert near("x", "s", [1.0, 2.0], [1.0, 2.1], rel=0.1).ok is True
    assert same("x", "s", [1, 2], (1, 3)).ok is False
    assert between("x", "s", 0.0, 1.0, 2.0).ok is False
    assert between("x", "s", 0.0, 1.0, float("nan")).ok is False
    assert within_factor("x", "s", 1.0, 0.4, 2.0).ok is False
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        near("x", "s", [1.0, 2.0], [1.0], abs=1)


def test_a_known_deviation_must_be_one() -> None:
    assert near("x", "s", 1.0, 2.0, abs=0.1, note="why", deviates=True).is_as_stated
    agreeing = near("x", "s", 1.0, 1.0, abs=0.1, note="why", deviates=True)
    assert not agreeing.is_as_stated
    assert "AGREES" in agreeing.verdict
    assert missing("x", "s", "all of it").is_as_stated


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(ValueError, match="valid: decoding laws, closed forms"):
        section("astrology")


def test_command_line_fails_with_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = registry.Maker("closed forms", lambda: [near("pi", "Indiana, 1897", 3.2, 3.14159, abs=0.01)], True)
    monkeypatch.setattr(registry, "MAKERS", [wrong])
    path = tmp_path / "rows.json"
    assert main(["--json", str(path)]) == 1
    assert "DISAGREES: closed forms: pi" in capsys.readouterr().err
    (row,) = json.loads(path.read_text(encoding="utf-8"))
    assert {"section", "what", "source", "expected", "got", "tolerance", "ok"} <= set(row)
    assert (row["section"], row["ok"]) == ("closed forms", False)
    monkeypatch.setattr(registry, "MAKERS", [registry.Maker("closed forms", lambda: [same("one", "s", 1, 1)], True)])
    assert main(["--fast"]) == 0


def test_page_and_json_hold_every_row(tmp_path: Path) -> None:
    rows = [
        Row("a | b", "s", [1.0] * 9, 2, "± 1", True, section="energy"),
        Row("c", "s", None, None, "", None, "inputs", section="queueing"),
    ]
    write_json(rows, tmp_path / "rows.json")
    text = page(json.loads((tmp_path / "rows.json").read_text(encoding="utf-8")))
    assert "a \\| b" in text
    assert "… (3 more)" in text
    assert "not comparable" in text
    assert text.index("## Queueing") < text.index("## Energy")
    assert counts(rows) == "2 rows: 1 agree, 0 deviate as explained, 1 not comparable, 0 disagree"
    assert value_text(1_277_992) == "1\u2009277\u2009992"


def test_sources_are_links_with_the_names_of_papers() -> None:
    rows = [
        Row("a", source, 1, 1, "", True, section="energy")
        for source in ("arXiv 2606.20591, cost", "microsoft/vidur, x")
    ]
    text = page([row.to_json() for row in rows])
    assert "[arXiv 2606.20591](https://arxiv.org/abs/2606.20591) (UCB-SpecStop), cost" in text
    assert "[microsoft/vidur](https://github.com/microsoft/vidur), x" in text


def test_the_committed_table_is_whole() -> None:
    """``make validate`` wrote it: every function's section is there, 120 rows or more, and none disagrees."""
    rows = json.loads(JSON.read_text(encoding="utf-8"))
    assert len(rows) >= 120
    assert {row["section"] for row in rows} == set(SECTIONS)
    assert [row["what"] for row in rows if row["verdict"] not in ("agrees", "deviates", "not comparable")] == []
