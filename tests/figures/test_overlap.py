"""The table of what overlap is worth: a panel per round trip, a cell per scheme and rate, the best in bold."""

from __future__ import annotations

import pandas as pd

from sim.figures.overlap import overlap


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
