"""The committed reference figures: each line makes its files, and every caption is one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sim import reference
from sim.core.errors import InputError
from sim.scenario.loading import bundled_scenarios
from tests.figures.tables import UPLINK, sweep_table


def test_names_are_unique_captions_single_sentences_and_scenarios_exist() -> None:
    lines = [*reference.REFERENCES, *reference.PICTURES]
    names = [line.name for line in lines]
    assert len(set(names)) == len(names)
    for line in lines:
        assert line.caption.endswith(".")
        assert line.caption.count(". ") == 0
        assert line.scenario in bundled_scenarios()


def test_make_writes_figures_tables_and_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "swept_tables", lambda name, results: ({"sweep": sweep_table()}, [UPLINK]))
    monkeypatch.setattr(reference, "REFERENCES", reference.REFERENCES[:1])
    monkeypatch.setattr(reference, "PICTURES", ())
    written = reference.make(folder=tmp_path)
    name = reference.REFERENCES[0].name
    assert [path.name for path in written] == [f"{name}.png", f"{name}.pdf"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "quickstart.csv"), sweep_table(), check_exact=False)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"![{reference.REFERENCES[0].caption}]({name}.png)" in readme


def test_unknown_scenario_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'quickstart'"):
        reference.make(["quikstart"], folder=tmp_path, results=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_picture_of_a_run_is_made_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of two devices stands for the one that is committed; the README says the command with its changes."""
    small = {"devices.count": 2, "workload.max_new_tokens": 2, "link.record_slots": True}
    picture = replace(reference.PICTURES[0], changes=small)
    monkeypatch.setattr(reference, "PICTURES", (picture,))
    assert [path.name for path in reference.make(["cell"], folder=tmp_path)] == ["cell.png", "cell.pdf"]
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "specran run quickstart --set devices.count=2" in readme
    assert "--set link.record_slots=true" in readme
