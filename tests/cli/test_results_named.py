"""How results and their sides are named to ``specran plot`` and ``specran compare``."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from sim.cli.plot import PlotRequest, compare_command, plot_command
from sim.core.errors import InputError
from tests.figures.tables import UPLINK, requests_table, sweep_table

POLICY = "edge.sites.handover"


def _write(folder: Path, table: pd.DataFrame, name: str = "sweep") -> Path:
    folder.mkdir(parents=True)
    table.to_parquet(folder / f"{name}.parquet")
    return folder


def _policies() -> pd.DataFrame:
    """A sweep over a key with names, without variants."""
    table = sweep_table()
    table[POLICY] = table["variant"].map({"full rows": "anchor", "top-8": "re_prefill", "edge only": "move_kv"})
    return table.assign(variant="")


@pytest.mark.parametrize("variant", ["", None])
def test_a_side_of_a_sweep_without_variants_is_named_by_column(tmp_path: Path, variant: str | None) -> None:
    sweep = _write(tmp_path / "sweep", _policies().assign(variant=variant))
    with pytest.raises(InputError) as raised:
        compare_command(sweep, None, "e2e_mean_s", side_a="re_prefill", side_b="anchor")
    assert str(raised.value) == (
        f"--a re_prefill: there are no variants here; name rows by COLUMN=VALUE, such as {POLICY}=re_prefill; "
        f"varied here: {UPLINK}=0.5, 2, 10, 100; {POLICY}=anchor, re_prefill, move_kv"
    )
    compare_command(sweep, None, "e2e_mean_s", side_a=f"{POLICY}=re_prefill", side_b=f"{POLICY}=anchor")


def test_a_side_that_is_no_variant_is_refused_with_both_kinds_of_names(tmp_path: Path) -> None:
    sweep = _write(tmp_path / "sweep", sweep_table())
    with pytest.raises(
        InputError, match=r"--b: unknown variant 'top-9' .did you mean 'top-8'.*; or COLUMN=VALUE of link"
    ):
        compare_command(sweep, None, "e2e_mean_s", side_a="top-8", side_b="top-9")
    run = _write(tmp_path / "run", requests_table(), "requests")
    with pytest.raises(InputError, match="--a x: there are no variants here, and nothing was varied"):
        compare_command(run, None, "e2e_mean_s", side_a="x", side_b="y")


def test_a_sweep_beside_a_run_is_refused_as_such(tmp_path: Path) -> None:
    sweep = _write(tmp_path / "sweep", sweep_table())
    run = _write(tmp_path / "run", requests_table(), "requests")
    with pytest.raises(InputError, match=r"A is a sweep .a row per point., B is a run .a row per request."):
        compare_command(sweep, run, "e2e_mean_s")


def test_a_pattern_after_a_name_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write(Path("a/sweep-1"), sweep_table())
    _write(Path("b/sweep-[x]"), sweep_table())
    asked = PlotRequest(["A=a/sweep-*", "B=b/sweep-[x]"], UPLINK, by="variant", latex=Path("t.tex"))
    plot_command(asked)
    assert all(rf"\textit{{{name}}}" in Path("t.tex").read_text() for name in "AB")


def test_a_pattern_that_matches_none_or_several_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (1, 2, 3):
        os.utime(_write(Path(f"a/sweep-{place}"), sweep_table()), (place % 3, place % 3))
    with pytest.raises(InputError) as raised:
        plot_command(PlotRequest(["A=a/sweep-*"], UPLINK))
    assert str(raised.value) == (
        "A=a/sweep-*: 3 files or folders match; name one of them, newest first: a/sweep-2, a/sweep-1, a/sweep-3"
    )
    with pytest.raises(InputError, match=r"^A=a/none-\*: no file or folder matches$"):
        plot_command(PlotRequest(["A=a/none-*"], UPLINK))
