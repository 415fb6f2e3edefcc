"""The table of what overlap is worth: a panel per round trip, a cell per scheme and rate, the best in bold."""

from __future__ import annotations

import pandas as pd
import pytest

from sim.figures.overlap import costs, overlap


def test_cells_hold_milliseconds_and_the_best_of_a_column_is_bold() -> None:
    seconds = {"A": (0.030, 0.0200), "B": (0.0305, 0.040)}
    rows = [
        {
            "variant": name,
            "link.one_way_delay_s": delay,
            "link.uplink_mbps": rate,
            "replication": 0,
            "token_latency_s": value + delay,
        }
        for name, values in seconds.items()
        for rate, value in zip((1, 10), values, strict=True)
        for delay in (0.0, 0.25)
    ]
    figure = overlap(pd.DataFrame(rows), ["link.uplink_mbps", "link.one_way_delay_s"])
    first, second = figure.axes
    assert [text.get_text() for text in first.texts] == ["30", "20", "30.5", "40"]
    assert [text.get_fontweight() for text in first.texts] == ["bold", "bold", "bold", "normal"]
    assert second.get_title() == "round trip 500 ms"
    assert [label.get_text() for label in first.get_yticklabels()] == ["A", "B"]


def test_costs_are_per_accepted_token_at_the_middle_of_the_axes() -> None:
    """Two tokens of three accepted: figures per token times 1.5; the target alone accepts none and is left out."""
    rows = [
        {
            "variant": name,
            "link.one_way_delay_s": delay,
            "link.uplink_mbps": rate,
            "replication": 0,
            "uplink_bits_per_token": bits * rate,
            "downlink_bits_per_token": 10.0,
            "uplink_bits_per_accepted_token": 1.5 * bits * rate,
            "device_energy_per_token_j": 0.02,
            "edge_energy_per_token_j": 2.0,
        }
        for name, bits in (("target alone", float("nan")), ("A", 100.0), ("B", 400.0))
        for rate in (1, 10, 100)
        for delay in (0.0025, 0.025, 0.25)
    ]
    figure = costs(pd.DataFrame(rows), ["link.uplink_mbps", "link.one_way_delay_s"])
    bits, joules = figure.axes
    up, down = (list(line.get_xdata()) for line in bits.lines)
    assert up == [1500.0, 6000.0]
    assert down == [15.0, 15.0]
    assert [bar.get_width() for bar in joules.patches] == [0.03, 0.03, 3.0, 3.0]
    assert [label.get_text() for label in bits.get_yticklabels()] == ["A", "B"]


def test_a_bar_far_beyond_the_others_is_cut_and_its_length_said() -> None:
    rows = [
        {
            "variant": name,
            "link.one_way_delay_s": 0.0025,
            "link.uplink_mbps": 1,
            "replication": 0,
            "uplink_bits_per_token": 100.0,
            "downlink_bits_per_token": 10.0,
            "uplink_bits_per_accepted_token": 150.0,
            "device_energy_per_token_j": 0.0,
            "edge_energy_per_token_j": joules,
        }
        for name, joules in (("A", 2.0), ("B", 2.2), ("C", 20.0))
    ]
    _, joules = costs(pd.DataFrame(rows), ["link.uplink_mbps", "link.one_way_delay_s"]).axes
    assert [text.get_text().strip() for text in joules.texts] == ["30"]
    assert joules.get_xlim()[1] == pytest.approx(2 * 3.3)
