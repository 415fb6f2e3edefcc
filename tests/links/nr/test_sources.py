"""Sources of background traffic without a cell, and what is counted of their packets."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.links.nr.traffic.flow_meter import FlowMeter
from sim.links.nr.traffic.settings import VoipFlow
from sim.links.nr.traffic.sources import voip

SPEECH_S = 0.02


class Port:
    """Counts packets by size."""

    def __init__(self) -> None:
        self.env = simpy.Environment()
        self.sizes: list[int] = []

    @property
    def now_s(self) -> float:
        return self.env.now

    def wait(self, duration_s: float) -> simpy.Event:
        return self.env.timeout(duration_s)

    def send(self, num_bytes: int) -> simpy.Event:
        self.sizes.append(num_bytes)
        return self.env.timeout(0)


@pytest.mark.parametrize("activity", [0.25, 0.5])
def test_speech_takes_its_share_of_the_time(activity):
    """Talk of 2 s in the mean, silence in proportion: an alternating renewal process over ``seconds``.

    Both lengths are exponential, so the share of talk has a standard error of activity (1 - activity) sqrt(2 / n)
    over n cycles, and false alarms at six of them are below 1e-8.
    """
    port, seconds = Port(), 4000.0
    port.env.process(voip(VoipFlow(kind="voip", activity=activity), port, np.random.default_rng(3)))
    port.env.run(seconds)
    talk = port.sizes.count(max(port.sizes)) * SPEECH_S / seconds
    cycles = seconds / (2 / activity)
    assert talk == pytest.approx(activity, abs=6 * activity * (1 - activity) * np.sqrt(2 / cycles))


def test_packets_are_in_time_up_to_their_budget_and_never_if_given_up():
    meter = FlowMeter(budget_ns=1000)
    for delay_ns in (10, 1000, 1001):
        meter.sent(800)
        meter.delivered(delay_ns)
    meter.sent(800)
    meter.failed()
    figures = meter.figures(1.0)
    assert figures["within_budget_share"] == 2 / 4
    assert figures["packets"] == 3
    assert figures["delay_mean_s"] == pytest.approx(2011e-9 / 3)
    assert figures["offered_bps"] == 3200
