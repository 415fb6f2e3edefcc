"""The server as M/D/1 and M/M/c: equal to an independent recursion event by event, and that one to the closed forms.

At loads near 1 the mean wait of a run that a test can afford is far from its limit; so the server is held against a
recursion over the same arrivals to the nanosecond, and the recursion over a million arrivals against the formulas.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt
import pytest
import simpy

from sim.compute.fixed import FixedCompute, FixedSettings
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.nodes.model_server import ModelServer
from sim.serving.base import Engine, EngineMemory, RequestInfo
from sim.serving.continuous import ContinuousSettings, make_continuous
from sim.serving.fcfs import FcfsEngine, FcfsSettings

Ints = npt.NDArray[np.int64]
LOADS = (0.3, 0.8, 0.95)
STEP_NS = 10_000_000


def arrivals_ns(mean_gap_ns: float, count: int, key: int) -> Ints:
    """Moments of a Poisson process."""
    gaps = np.random.Generator(np.random.Philox(key=key)).exponential(mean_gap_ns, count)
    return np.cumsum(gaps).astype(np.int64)


def served_waits_ns(engine: Engine, arrivals: Ints, tokens: Ints) -> Ints:
    """Waits before the first token's step of requests that decode some tokens one after the other at a server."""
    env = simpy.Environment()
    server = ModelServer(env, engine, {"target": FixedCompute(FixedSettings(per_forward_s=STEP_NS / 1e9))}, {})
    waits = np.zeros(len(arrivals), dtype=np.int64)

    def one(number: int):
        yield env.timeout(int(arrivals[number]))
        info = RequestInfo(number, (0,))
        for index in range(int(tokens[number])):
            served = yield server.submit(ComputeRecord(Location.EDGE, "target", 1, 1 + index, 1), None, info)
            if index == 0:
                waits[number] = served.queue_ns
        server.release(info, None)

    for number in range(len(arrivals)):
        env.process(one(number))
    env.run()
    return waits


def lindley_ns(arrivals: Ints, service_ns: int) -> Ints:
    """Waits in a queue of one server with constant service: W' = max(0, W + S - gap) (D. Lindley, 1952)."""
    drift = np.concatenate([[0], service_ns - np.diff(arrivals)]).cumsum()
    return drift - np.minimum.accumulate(np.minimum(drift, 0))


def slotted_waits_ns(arrivals: Ints, tokens: Ints, servers: int) -> Ints:
    """Waits of a queue whose servers go in step: at each step's beginning those that wait take the free places."""
    waits = np.zeros(len(arrivals), dtype=np.int64)
    waiting: deque[int] = deque()
    running: list[int] = []
    left = tokens.tolist()
    moments = arrivals.tolist()
    now, coming, count = 0, 0, len(moments)
    while coming < count or waiting or running:
        if not waiting and not running and coming < count:
            now = max(now, moments[coming])
        while coming < count and moments[coming] <= now:
            waiting.append(coming)
            coming += 1
        while waiting and len(running) < servers:
            number = waiting.popleft()
            waits[number] = now - moments[number]
            running.append(number)
        now += STEP_NS
        for number in running:
            left[number] -= 1
        running = [number for number in running if left[number]]
    return waits


def erlang_c(servers: int, load: float) -> tuple[float, float]:
    """Mean wait of M/M/c in mean service times, C(c, a) / (c (1 - rho)), and the probability that nobody is there."""
    offered = servers * load
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) / (1 - load)
    total = sum(terms) + last
    return last / total / (servers * (1 - load)), 1 / total


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("engine", ["fcfs", "continuous"])
def test_a_server_of_one_place_is_m_d_1(engine: str, load: float) -> None:
    made: Engine = (
        FcfsEngine(FcfsSettings(max_batch=1))
        if engine == "fcfs"
        else make_continuous(ContinuousSettings(max_num_seqs=1), EngineMemory())
    )
    arrivals = arrivals_ns(STEP_NS / load, 1_500, 1)
    waits = served_waits_ns(made, arrivals, np.ones(len(arrivals), dtype=np.int64))
    np.testing.assert_array_equal(waits, lindley_ns(arrivals, STEP_NS))


@pytest.mark.parametrize("load", LOADS)
def test_the_recursion_is_m_d_1(load: float) -> None:
    """Wq = rho / (2 (1 - rho)) service times."""
    waits = lindley_ns(arrivals_ns(STEP_NS / load, 4_000_000, 2), STEP_NS)
    assert waits.mean() / STEP_NS == pytest.approx(load / (2 * (1 - load)), rel=0.03)


def geometric(count: int, mean: float, key: int) -> Ints:
    """Numbers of tokens of which each is the last with the same probability."""
    return np.random.Generator(np.random.Philox(key=key)).geometric(1 / mean, count)


@pytest.mark.parametrize("load", LOADS)
def test_a_running_set_is_a_queue_of_many_servers_in_step(load: float) -> None:
    servers, mean, count = 4, 6, 500
    arrivals = arrivals_ns(mean * STEP_NS / (servers * load), count, 3)
    tokens = geometric(count, mean, 4)
    engine = make_continuous(ContinuousSettings(max_num_seqs=servers), EngineMemory())
    np.testing.assert_array_equal(
        served_waits_ns(engine, arrivals, tokens), slotted_waits_ns(arrivals, tokens, servers)
    )


@pytest.mark.parametrize("load", LOADS)
def test_servers_in_step_are_m_m_c(load: float) -> None:
    """Wq of Erlang's C formula, but for half a step that who comes while others are served waits for the next one."""
    servers, mean, count = 4, 25, 60_000
    arrivals = arrivals_ns(mean * STEP_NS / (servers * load), count, 5)
    waits = slotted_waits_ns(arrivals, geometric(count, mean, 6), servers)
    expected, empty = erlang_c(servers, load)
    in_services = (waits.mean() - STEP_NS / 2 * (1 - empty)) / (mean * STEP_NS)
    assert in_services == pytest.approx(expected, rel=0.1, abs=0.003)


def test_erlang_c_of_one_server_is_m_m_1() -> None:
    assert erlang_c(1, 0.8) == pytest.approx((0.8 / 0.2, 0.2))
