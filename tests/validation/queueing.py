"""Queues: links and the edge under random load, against the closed forms of queueing theory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import simpy

from sim.links.base import Direction, Packet
from sim.links.fixed import FixedLink, FixedLinkSettings
from sim.links.shannon import ShannonLink, ShannonLinkSettings
from tests.validation.registry import Row, near, section

QUEUES = "queueing"
UP = Direction.UPLINK
_MEAN_BITS = 10_000


def _sojourns_s(make: Callable[[simpy.Environment], Any], load: float, exponential: bool, count: int, seed: int) -> Any:
    """Times in system of messages that arrive at random [s]; a message of mean size takes 10 ms alone."""
    env = simpy.Environment()
    link = make(env)
    rng = np.random.Generator(np.random.Philox(key=seed))
    gaps = rng.exponential(0.01 / load, count)
    sizes = rng.exponential(_MEAN_BITS, count).astype(int) if exponential else np.full(count, _MEAN_BITS)
    found: list[float] = []

    def source() -> Any:
        for number, (gap_s, bits) in enumerate(zip(gaps, sizes, strict=True)):
            yield env.timeout(int(gap_s * 1e9))
            event = link.send(Packet(number % link.num_devices, UP, int(bits)))
            event.callbacks.append(lambda event: found.append(event.value.total_ns / 1e9))

    env.process(source())
    env.run()
    return np.array(found)


def _fifo(env: simpy.Environment) -> FixedLink:
    return FixedLink(env, 1, 1, FixedLinkSettings(uplink_mbps=1.0, one_way_delay_s=0.0, header_bits=0))


def _shared(env: simpy.Environment) -> ShannonLink:
    # log2(1 + 1) bit/s/Hz over 1 MHz: 1 Mbit/s for a lone device.
    keys = {"uplink_bandwidth_mhz": 1.0, "snr_db": 0.0, "efficiency": 1.0, "fading": "none"}
    return ShannonLink(env, 400, 1, ShannonLinkSettings(one_way_delay_s=0.0, header_bits=0, **keys))


@section(QUEUES)
def first_come_first_served() -> Iterable[Row]:
    """The fixed link as M/M/1 and M/D/1."""
    for load in (0.5, 0.7, 0.8):
        got = _sojourns_s(_fifo, load, True, 60_000, 3) / 0.01
        # Standard error of a mean of autocorrelated M/M/1 sojourns: sqrt(2 rho (5 - 4 rho + rho^2) / n) / (1 - rho)^2.
        error = 4 * math.sqrt(2 * load * (5 - 4 * load + load**2) / 60_000) / (1 - load) ** 2
        what = f"mean time in system of M/M/1 at load {load} [service times]"
        yield near(
            what, "1 / (1 - rho)", 1 / (1 - load), float(got.mean()), abs=round(error, 3), note="four standard errors"
        )
        quantile = float(np.quantile(got, 0.95))
        yield near(
            f"95th percentile of M/M/1 at load {load} [service times]",
            "-ln(0.05) / (1 - rho)",
            -math.log(0.05) / (1 - load),
            quantile,
            rel=0.08,
        )
    for load, expected in ((0.5, 1.5), (0.7, 2.1667), (0.8, 3.0)):
        got = float(_sojourns_s(_fifo, load, False, 40_000, 4).mean()) / 0.01
        yield near(
            f"mean time in system of M/D/1 at load {load} [service times]",
            "Pollaczek and Khinchine",
            expected,
            got,
            rel=0.05,
        )


@section(QUEUES, fast=False)
def processor_sharing() -> Iterable[Row]:
    """The Shannon link shares its band: M/G/1 processor sharing, whose mean does not depend on the law of the sizes."""
    for load in (0.5, 0.7):
        for exponential, name in ((False, "equal"), (True, "exponential")):
            got = float(_sojourns_s(_shared, load, exponential, 20_000, 5).mean()) / 0.01
            what = f"mean time in system under processor sharing, load {load}, {name} sizes [service times]"
            yield near(what, "Kleinrock: 1 / (1 - rho) for any sizes", 1 / (1 - load), got, rel=0.08)


@section(QUEUES)
def closed_loop() -> Iterable[Row]:
    """Five devices that think and send in turn, against mean value analysis."""
    think_s, count, rounds = 0.02, 5, 6000
    env = simpy.Environment()
    link = FixedLink(env, count, 1, FixedLinkSettings(uplink_mbps=1.0, one_way_delay_s=0.0, header_bits=0))
    spent: list[float] = []

    def device(index: int) -> Any:
        rng = np.random.Generator(np.random.Philox(key=[9, index]))
        for _ in range(rounds):
            yield env.timeout(int(rng.exponential(think_s) * 1e9))
            delivery = yield link.send(Packet(index, UP, int(rng.exponential(_MEAN_BITS))))
            spent.append(delivery.total_ns / 1e9)

    for index in range(count):
        env.process(device(index))
    env.run()
    response, waiting = 0.0, 0.0
    for customers in range(1, count + 1):
        response = 0.01 * (1 + waiting)
        waiting = customers * response / (response + think_s)
    yield near(
        "response time of a closed loop of five [ms]",
        "mean value analysis",
        1e3 * response,
        1e3 * float(np.mean(spent)),
        rel=0.03,
    )
    throughput = len(spent) / (int(env.now) / 1e9)
    yield near("its throughput [1/s]", "mean value analysis", count / (response + think_s), throughput, rel=0.03)


def _edge_run(load: float, count: int, service_s: float, max_batch: int = 1) -> Any:
    """Requests of one token that arrive at random at an edge whose every forward pass takes ``service_s``."""
    from tests.worlds import simulate, small_scenario

    rng = np.random.Generator(np.random.Philox(key=11))
    times = np.cumsum(rng.exponential(service_s / load, count))
    devices = 400
    with TemporaryDirectory() as folder:
        path = Path(folder) / "arrivals.csv"
        path.write_text("time_s\n" + "\n".join(f"{time:.9f}" for time in times) + "\n", encoding="utf-8")
        fixed = {"kind": "fixed", "per_forward_s": service_s, "per_token_s": 0.0}
        scenario = small_scenario(
            devices={"count": devices, "requests": count // devices, "arrivals": str(path)},
            workload={"max_new_tokens": 1},
            protocol={"name": "edge_only"},
            link={"kind": "fixed", "uplink_mbps": 1e6, "downlink_mbps": 1e6, "one_way_delay_s": 0.0},
            edge={"max_batch": max_batch},
            compute=dict.fromkeys(("device", "edge", "cloud"), fixed),
        )
        return simulate(scenario)


@section(QUEUES, fast=False)
def edge_server() -> Iterable[Row]:
    """A whole run, from arrivals to tables: the edge as an M/D/1 server."""
    for load in (0.5, 0.7):
        output = _edge_run(load, 12_000, 0.1)
        waits = np.array([row["edge_queue_s"] for row in output.requests])
        expected = 0.1 * load / (2 * (1 - load))
        yield near(
            f"mean queue at the edge, load {load} [s]",
            "M/D/1: rho / (2 (1 - rho)) service times",
            expected,
            float(waits.mean()),
            rel=0.08,
        )
        yield near(
            f"utilisation of the edge, load {load}",
            "arrival rate times service time",
            load,
            output.figures["edge_utilisation"],
            rel=0.03,
        )
        e2e = np.array([row["e2e_s"] for row in output.requests])
        yield near(
            f"mean end-to-end time, load {load} [s]",
            "M/D/1: service time and queue",
            expected + 0.1,
            float(e2e.mean()),
            rel=0.04,
        )
