"""The queueing parts of the world against closed forms: the edge as an M/D/1 server, and its batching."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import simpy

from sim.compute.fixed import FixedCompute, FixedSettings
from sim.core.clock import NS_PER_S, to_ns
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.nodes.device import RequestOutcome
from sim.nodes.model_server import Batch, ForwardResult, ModelServer
from sim.runs.world import World
from sim.serving.base import RequestInfo
from sim.serving.fcfs import FcfsEngine, FcfsSettings
from tests.worlds import inputs, small_scenario

_NUMBERS = count()


def edge(env: simpy.Environment, max_batch: int = 1, window_s: float = 0.0, tokens: int = 4096) -> ModelServer:
    """An edge whose every forward takes 1 s and 0.1 s per token beyond."""
    cost_models = {role: FixedCompute(FixedSettings(per_forward_s=1.0)) for role in ("target", "draft")}
    settings = FcfsSettings(max_batch=max_batch, max_batch_tokens=tokens, batch_window_s=window_s)
    return ModelServer(env, FcfsEngine(settings), cost_models, {})


def submit(site: ModelServer, record: ComputeRecord) -> simpy.Event:
    """Submit a forward of a request of its own."""
    return site.submit(record, None, RequestInfo(next(_NUMBERS), (0,)))


def forward(model: str = "target", new_tokens: int = 1) -> ComputeRecord:
    """One forward at the edge."""
    return ComputeRecord(Location.EDGE, model, new_tokens, new_tokens, 1)


def test_mean_wait_is_that_of_m_d_1():
    """Wq = rho / (2 (1 - rho)) service times; 40,000 arrivals put the standard error near 2 % at rho = 0.7."""
    rho, arrivals = 0.7, 40_000
    env = simpy.Environment()
    site = edge(env)
    waits: list[int] = []
    times = np.cumsum(np.random.Generator(np.random.Philox(key=3)).exponential(1 / rho, arrivals))

    def one(at_ns: int):
        yield env.timeout(at_ns)
        served: ForwardResult = yield submit(site, forward())
        waits.append(served.queue_ns)

    for time_s in times:
        env.process(one(to_ns(float(time_s))))
    env.run()
    assert np.mean(waits) / NS_PER_S == pytest.approx(rho / (2 * (1 - rho)), rel=0.08)


def test_preempted_requests_keep_their_texts():
    """Decoded while simulating, so that a text that depended on the server's memory would show it."""

    def rounds(kv_blocks: int | None) -> tuple[list[tuple[int, ...]], int]:
        edge = {"engine": "continuous", "kv_blocks": kv_blocks, "block_tokens": 4}
        devices = {"count": 6, "requests": 2}
        world = World(scenario := small_scenario(edge=edge, devices=devices), inputs(scenario))
        texts: dict[int, tuple[int, ...]] = {}
        keep = world.groups[0]._keep

        def note(outcome: RequestOutcome) -> None:
            tokens = [token for emitted in outcome.metrics.emitted for token in emitted.round.tokens]
            texts[outcome.planned.unique_id] = tuple(tokens)
            keep(outcome)

        for device in world.groups[0].devices:
            device.hooks.on_outcome = note
        world.run()
        counts = world.sites[Location.EDGE].replicas[0].monitor.counts
        return [texts[number] for number in sorted(texts)], counts.preemptions

    plenty, scarce = rounds(None), rounds(6)
    assert scarce[1] > 0 == plenty[1]
    assert scarce[0] == plenty[0] and len(plenty[0]) == 12


def submit_at(
    env: simpy.Environment, site: ModelServer, times_s: list[float], record: ComputeRecord
) -> list[ForwardResult]:
    """Submit at given times and collect what becomes of it."""
    results: list[ForwardResult] = []

    def one(at_s: float):
        yield env.timeout(to_ns(at_s))
        results.append((yield submit(site, record)))

    for at_s in times_s:
        env.process(one(at_s))
    return results


def batches_of(site: ModelServer) -> list[Batch]:
    """Notes every batch that the site runs."""
    noted: list[Batch] = []
    site.on_batch = noted.append
    return noted


def test_a_window_gathers_company():
    env = simpy.Environment()
    site = edge(env, max_batch=8, window_s=0.5)
    noted = batches_of(site)
    submit_at(env, site, [0.0, 0.2, 0.4, 0.6], forward())
    env.run()
    assert [(batch.start_ns / NS_PER_S, batch.size) for batch in noted] == [(0.5, 3), (1.5, 1)]


def test_a_full_batch_does_not_wait():
    env = simpy.Environment()
    site = edge(env, max_batch=2, window_s=5.0)
    noted = batches_of(site)
    submit_at(env, site, [0.0, 0.2], forward())
    env.run()
    assert [(batch.start_ns / NS_PER_S, batch.size) for batch in noted] == [(0.2, 2)]


def test_token_limit_splits_batches_in_order():
    env = simpy.Environment()
    site = edge(env, max_batch=8, tokens=5)
    noted = batches_of(site)
    submit_at(env, site, [0.0, 0.1, 0.2, 0.3], forward(new_tokens=3))
    env.run()
    assert [batch.new_tokens for batch in noted] == [3, 3, 3, 3]


def test_a_forward_beyond_the_token_limit_runs_alone():
    env = simpy.Environment()
    site = edge(env, max_batch=8, tokens=5)
    noted = batches_of(site)
    submit_at(env, site, [0.0], forward(new_tokens=9))
    env.run()
    assert [batch.new_tokens for batch in noted] == [9]


def test_models_are_not_mixed_in_a_batch():
    env = simpy.Environment()
    site = edge(env, max_batch=8)
    noted = batches_of(site)
    submit_at(env, site, [0.0, 0.1, 0.3], forward("target"))
    submit_at(env, site, [0.2], forward("draft"))
    env.run()
    assert [(batch.model, batch.size) for batch in noted] == [("target", 1), ("target", 2), ("draft", 1)]


def test_first_come_first_served():
    env = simpy.Environment()
    site = edge(env, max_batch=1)
    results = submit_at(env, site, [0.0, 0.1, 0.2], forward())
    env.run()
    assert [served.queue_ns / NS_PER_S for served in results] == pytest.approx([0.0, 0.9, 1.8])


def test_those_that_run_in_lockstep_share_every_batch():
    """Results of one batch that turn into submissions at the same instant are not split over two batches."""
    env = simpy.Environment()
    site = edge(env, max_batch=8)
    noted = batches_of(site)

    def again_and_again():
        for _ in range(5):
            yield submit(site, forward())

    for _ in range(6):
        env.process(again_and_again())
    env.run()
    assert [batch.size for batch in noted] == [6] * 5


def test_one_out_of_step_joins_at_the_next_batch():
    env = simpy.Environment()
    site = edge(env, max_batch=8)
    noted = batches_of(site)

    def rounds(start_s: float):
        yield env.timeout(to_ns(start_s))
        for _ in range(3):
            yield submit(site, forward())

    for start_s in (0.0, 0.0, 0.5):
        env.process(rounds(start_s))
    env.run()
    assert [batch.size for batch in noted] == [2, 3, 3, 1]


def test_work_behind_a_batch_and_work_of_the_same_instant_start_together_without_a_window():
    env = simpy.Environment()
    site = edge(env, max_batch=8, window_s=0.2)
    noted = batches_of(site)

    def rounds(start_s: float):
        yield env.timeout(to_ns(start_s))
        for _ in range(3):
            yield submit(site, forward())

    for start_s in (0.0, 0.5):
        env.process(rounds(start_s))
    env.run()
    assert [(batch.start_ns / NS_PER_S, batch.size) for batch in noted] == [(0.2, 1), (1.2, 2), (2.4, 2), (3.6, 1)]
