"""Latency above, the modem's energy below: what the curves hold, and nothing without modems."""

from __future__ import annotations

import pandas as pd
import pytest

from sim.figures.sleep import latency_and_modem_energy


def table():
    rows = [
        {
            "link.drx_cycle_s": cycle_s,
            "variant": variant,
            "replication": replication,
            "tokens": 100,
            "token_latency_s": latency_s + replication,
            "radio_transmit_energy_j": 1.0,
            "radio_receive_energy_j": 2.0,
            "radio_listen_energy_j": 4.0 / cycle_s,
            "radio_sleep_energy_j": 0.5,
        }
        for variant, latency_s in (("short", 1.0), ("long", 2.0))
        for cycle_s in (0.02, 0.04, 0.4)
        for replication in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_curves_hold_means_over_replications_and_energies_per_token():
    upper, lower = latency_and_modem_energy("link.drx_cycle_s")(table(), []).axes
    lines = {line.get_label(): line for line in upper.get_lines() if not line.get_label().startswith("_")}
    assert lines["short"].get_ydata() == pytest.approx([1.5] * 3)
    assert lines["long"].get_ydata() == pytest.approx([2.5] * 3)
    (below, *_) = [line for line in lower.get_lines() if line.get_label() == "short"]
    assert below.get_xdata() == pytest.approx([0.02, 0.04, 0.4])
    assert below.get_ydata() == pytest.approx([(3.5 + 4 / cycle_s) / 100 for cycle_s in (0.02, 0.04, 0.4)])
    assert lower.get_xscale() == "log"


def test_links_without_modems_have_no_figure():
    assert latency_and_modem_energy("link.drx_cycle_s")(table().drop(columns="radio_sleep_energy_j"), []) is None
