"""When queues are said to grow: false alarms of stable queues and what overload is noticed, window by window."""

from __future__ import annotations

import numpy as np
import pytest

from sim.report.warnings import overload_warnings
from sim.runs.backlog import NUM_PARTS, Backlog

WINDOWS = 500
# False alarms that the docs state, and three standard errors of counting them over so many windows.
FALSE_ALARMS = 0.02
ROOM = 3 * (FALSE_ALARMS * (1 - FALSE_ALARMS) / WINDOWS) ** 0.5


def found(load: float, service: str, came: int, warm_up: float = 0.0) -> float:
    """Share of windows of a single server that are told to be overloaded.

    Args:
        load: Of the server; arrivals are Poisson.
        service: ``constant`` or ``exponential``.
        came: Mean number of arrivals in a window.
        warm_up: Arrivals before it, as a share of these; the server is empty at first.
    """
    rng = np.random.Generator(np.random.Philox(key=[came, int(100 * load)]))
    begins, length = warm_up * came / load, came / load
    marks = begins + length * np.arange(NUM_PARTS + 1) / NUM_PARTS
    count = int((1 + warm_up) * came + 8 * came**0.5 + 20)
    told = 0
    for _ in range(WINDOWS):
        arrivals = np.cumsum(rng.exponential(1 / load, count))
        services = np.ones(count) if service == "constant" else rng.exponential(1.0, count)
        work = np.cumsum(services)
        departures = work + np.maximum.accumulate(arrivals - (work - services))
        inside = np.searchsorted(arrivals, marks) - np.searchsorted(departures, marks)
        issued = int(((begins <= arrivals) & (arrivals < begins + length)).sum())
        told += Backlog(inside.tolist()).grows(issued)
    return told / WINDOWS


@pytest.mark.parametrize("warm_up", [0.0, 0.33])
@pytest.mark.parametrize("service", ["constant", "exponential"])
def test_a_stable_queue_is_not_called_overloaded(service: str, warm_up: float) -> None:
    """M/D/1 and M/M/1 from an empty server on, at load .95 with queues of dozens, at most 2 of 100 windows."""
    for load in (0.3, 0.8):
        assert all(found(load, service, came, warm_up) <= 0.005 for came in (40, 300))
    for came in (40, 75, 300, 1000, 3000):
        assert found(0.95, service, came, warm_up) <= FALSE_ALARMS + ROOM


@pytest.mark.parametrize("service", ["constant", "exponential"])
@pytest.mark.parametrize(("load", "came"), [(2.0, 100), (1.2, 1000), (1.05, 15_000)])
def test_overload_is_noticed(service: str, load: float, came: int) -> None:
    """In nine windows of ten, of as many requests as the docs state."""
    assert found(load, service, came) >= 0.9


def test_one_more_or_less_is_no_growth() -> None:
    assert not Backlog([0, *[1] * NUM_PARTS]).grows(1000)
    assert not Backlog(list(range(0, 2 * NUM_PARTS + 1, 2))).grows(100_000)
    assert Backlog(list(range(0, 2 * NUM_PARTS + 1, 2))).grows(100)
    assert not Backlog(list(range(2 * NUM_PARTS, -1, -2))).grows(100)


def test_a_window_too_short_to_tell_is_told() -> None:
    figures = {"offered_rps": 0.5, "completed_rps": 0.33, "in_flight_end": 48, "window_s": 150.0, "overload": 0.0}
    grown = {**figures, "backlog_growth": 20, "backlog_growth_chance": 0.02}
    (text,) = overload_warnings(grown)
    assert text.startswith("queues grew: 75 requests came in the window, and 48 were under way at its end, 20 more")
    assert not overload_warnings({**grown, "backlog_growth_chance": 0.2})
    assert not overload_warnings({**grown, "backlog_growth": 6})
    assert overload_warnings({**grown, "overload": 1.0})[0].startswith(
        "overload: offered 0.5 requests/s, capacity 0.33"
    )
    assert not overload_warnings({})
