"""The committed reference figures: each line makes its files, and every caption is one sentence."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sim.errors import InputError
from sim.figures import reference
from sim.scenario.loading import bundled_scenarios
from tests.figures.tables import UPLINK, sweep_table


def test_names_are_unique_captions_single_sentences_and_scenarios_exist() -> None:
    names = [line.name for line in reference.REFERENCES]
    assert len(set(names)) == len(names)
    for line in reference.REFERENCES:
        assert line.caption.endswith(".")
        assert line.caption.count(". ") == 0
        assert line.scenario in bundled_scenarios()


def test_make_writes_figures_tables_and_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "_swept", lambda name, results: (sweep_table(), [UPLINK]))
    monkeypatch.setattr(reference, "REFERENCES", reference.REFERENCES[:1])
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
