"""Tables for people, at the widths that terminals have."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sim.cli import output


def shown(width: int, monkeypatch: pytest.MonkeyPatch, title: str, columns: list[str], rows: list[list[object]]) -> str:
    """What a terminal of a width shows of a table."""
    screen = io.StringIO()
    monkeypatch.setattr(output, "error_console", Console(file=screen, width=width, highlight=False))
    output.print_table(title, columns, rows)
    return screen.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_title_wider_than_its_table_stays_on_one_line(width: int, monkeypatch: pytest.MonkeyPatch):
    title = "Where the time of a mean request goes"
    rows = [["edge queue", 0.1021, "4.6%"], ["transport", 1.5, "95.4%"]]
    lines = shown(width, monkeypatch, title, ["part", "seconds", "share"], rows).splitlines()
    assert title in [line.rstrip() for line in lines]
    assert lines[-2].split() == ["edge", "queue", "0.102", "4.6%"]
    # Numbers and shares stand flush right.
    assert lines[-1].endswith(" 95.4%") and lines[-2].endswith("  4.6%")


@pytest.mark.parametrize("width", [80, 120])
def test_long_names_are_broken_at_their_joints_if_at_all(width: int, monkeypatch: pytest.MonkeyPatch):
    columns = ["link.bandwidth_mhz", "variant", "e2e_mean_s", "ttft_mean_s", "tpot_mean_s", "acceptance_rate"]
    columns += ["uplink_bits_per_token", "tokens_per_s"]
    rows: list[list[object]] = [[10, "full rows", 7.42, 0.721, 0.216, 0.649, 203141.0, 30.8]]
    lines = shown(width, monkeypatch, "quickstart: 1 runs", columns, rows).splitlines()
    assert max(map(len, lines)) <= width
    words = {word for line in lines[2:-2] for word in line.split()}
    joints = {part for name in columns for part in name.replace("_", "_ ").replace(".", ". ").split()}
    assert words <= joints | set(columns)
    assert lines[-1].split() == ["10", "full", "rows", "7.42", "0.721", "0.216", "0.649", "203,141", "30.8"]


def test_a_comparison_is_one_table_with_a_row_per_condition(tmp_path, monkeypatch: pytest.MonkeyPatch):
    import pandas as pd

    from sim.cli.looking import compare_command

    screen = io.StringIO()
    monkeypatch.setattr(output, "error_console", Console(file=screen, width=120, highlight=False))
    for name, factor in (("a", 1.0), ("b", 1.5)):
        rows = [
            {"link.uplink_mbps": rate, "variant": "base", "seed": seed, "e2e_mean_s": factor * (rate + seed / 10)}
            for rate in (1, 2)
            for seed in (1, 2, 3)
        ]
        (tmp_path / name).mkdir()
        pd.DataFrame(rows).to_parquet(tmp_path / name / "sweep.parquet")
    compare_command(tmp_path / "a", tmp_path / "b", "e2e_mean_s")
    lines = [line.split() for line in screen.getvalue().splitlines()]
    assert [line[0] for line in lines if line and "to" in line] == ["all", "link.uplink_mbps=1", "link.uplink_mbps=2"]
    assert [line[6 + 2] for line in lines if line and line[0].startswith("link.uplink")] == ["1.5", "1.5"]


def test_an_overview_names_all_keys_that_were_varied_together():
    import pandas as pd

    from sim.sweep.run import SweepResult

    table = pd.DataFrame({"a": [1, 1, 2], "b": [8, 8, 9], "variant": "base", "e2e_mean_s": [1.0, 3.0, 5.0]})
    columns, rows = SweepResult(table, None, ["a"], [], ["b"]).overview()
    assert columns == ["a", "b", "e2e_mean_s"]
    assert rows == [[1, 8, 2.0], [2, 9, 5.0]]
