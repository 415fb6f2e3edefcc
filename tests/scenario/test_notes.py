"""What is noted of a scenario before it runs: keys that do less than their names may promise."""

from __future__ import annotations

import pytest

from sim.cli import _main
from sim.scenario.notes import scenario_notes
from tests.worlds import small_scenario


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({"slo": {"e2e_s": 5, "deadline_s": 1}}, "slo.e2e_s (5) lies beyond slo.deadline_s (1)"),
        ({"slo": {"ttft_s": 2, "deadline_s": 1}}, "slo.ttft_s (2) lies beyond slo.deadline_s (1)"),
        ({"slo": {"e2e_s": 1, "deadline_s": 1}}, None),
        ({"slo": {"e2e_s": 1}}, None),
        ({"link": {"kind": "nr", "speed_kmh": 120}}, "link.mobility is fixed: devices stay where they are"),
        ({"link": {"kind": "nr", "speed_kmh": [3, 120]}, "devices": {"count": 2}}, "link.speed_kmh (120) moves"),
        ({"link": {"kind": "nr", "speed_kmh": 120, "mobility": "linear"}}, None),
        ({"link": {"kind": "nr"}}, None),
        ({"link": {"kind": "nr", "tilt_deg": 102}}, "link.tilt_deg changes nothing with link.column_elements 1"),
        ({"link": {"kind": "nr", "tilt_deg": 102, "column_elements": 10}}, None),
    ],
)
def test_a_key_that_does_less_than_its_name_is_noted(keys, note):
    notes = scenario_notes([small_scenario(**keys)] * 2)
    assert len(notes) == (note is not None) and all(note in one for one in notes)


def test_validate_notes_what_changes_bring(capsys):
    assert _main(["validate", "quickstart", "--vary", "slo.deadline_s=1,9", "--set", "slo.e2e_s=5"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "quickstart: valid\n"
    assert captured.err.count("slo.e2e_s (5) lies beyond slo.deadline_s (1)") == 1 and "(9)" not in captured.err


def test_an_option_is_blamed_with_the_scenario_that_it_does_not_fit(capsys):
    assert _main(["validate", "quickstart", "mobility", "--set", "link.bandwidth_mhz=70"]) == 0
    assert _main(["validate", "quickstart", "mobility", "--set", "link.scs_khz=15", "--set", "link.numerology=7"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": --set ")[0] for line in lines] == ["specran: quickstart", "specran: mobility"]


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("link.ut_height_m=25", "link.ut_height_m: got 25; valid in umi: above 1 to 22.5"),
        ("link.special_symbols=[2,11,1]", "link.special_symbols: got [2, 11, 1]: DMRS fills 1 symbol of PDSCH"),
    ],
)
def test_what_no_model_covers_is_refused_in_a_line(command, change, message, capsys):
    assert _main([command, "quickstart", "--set", change]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"specran: --set {message}" in line.replace("quickstart: ", "")
