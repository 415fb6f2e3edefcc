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
