"""The server process around the engines: equality without limits, chunks, waves, time to first token, replicas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import simpy

from sim.compute.base import ComputeModel
from sim.compute.fixed import FixedCompute, FixedSettings
from sim.compute.roofline import RooflineSettings, make_roofline
from sim.core.clock import NS_PER_S, to_ns
from sim.decoding.core.steps import Location
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.nodes.model_server import Batch, ForwardResult, ModelServer
from sim.nodes.server_group import ServerGroup
from sim.serving.base import Engine, EngineMemory, RequestInfo, engine_memory
from sim.serving.continuous import ContinuousSettings, make_continuous
from sim.serving.fcfs import FcfsEngine, FcfsSettings
from sim.serving.routing.registry import ROUTINGS

FIXED = FixedCompute(FixedSettings(per_forward_s=0.05, per_token_s=0.001))
# No measured point of an L4 is known; at seven tenths of its memory bandwidth a step takes the 67 ms expected below.
L4_7B = make_roofline(RooflineSettings(hardware="l4", model_size="7B", bandwidth_efficiency=0.7))


def continuous(memory: EngineMemory | None = None, **keys: object) -> Engine:
    """A continuous engine without a limit of memory, unless one is given."""
    return make_continuous(ContinuousSettings.model_validate(keys), memory or EngineMemory())


def server(env: simpy.Environment, engine: Engine, cost_model: ComputeModel = FIXED) -> ModelServer:
    """A server of a target and a draft model at the same price."""
    return ModelServer(env, engine, {"target": cost_model, "draft": cost_model}, {})


def decode(
    env: simpy.Environment, site: ModelServer | ServerGroup, info: RequestInfo, tokens: int, start_s: float = 0.0
) -> list[ForwardResult]:
    """A request that decodes at the server, prompt first; returns what became of each forward as it ends."""
    results: list[ForwardResult] = []

    def one():
        yield env.timeout(to_ns(start_s))
        site.prefill(info, "target")
        length = len(info.prompt)
        for number in range(tokens):
            new = length if number == 0 else 1
            record = ComputeRecord(Location.EDGE, "target", new, length + number, 1)
            results.append((yield site.submit(record, None, info)))
        site.release(info, lambda: range(length + tokens))

    env.process(one())
    return results


def steps_of(site: ModelServer) -> list[Batch]:
    """Notes every step."""
    noted: list[Batch] = []
    site.on_batch = noted.append
    return noted


def speculate(env: simpy.Environment, site: ModelServer, info: RequestInfo, rounds: int, draft_s: float) -> None:
    """A device that drafts four tokens, has them verified, keeps two and goes on."""

    def one():
        length = len(info.prompt)
        for number in range(rounds):
            yield env.timeout(to_ns(draft_s))
            new = length + 4 if number == 0 else 5
            yield site.submit(ComputeRecord(Location.EDGE, "target", new, length + 4 + 3 * number, 5), None, info)

    env.process(one())


@pytest.mark.parametrize("window_s", [0.0, 0.02])
def test_without_limits_both_engines_do_the_same(window_s: float) -> None:
    """Sessions that draft and sessions that decode, prompts with the first forward: equal steps at equal times."""

    def steps(make: Callable[[], Engine]) -> list[Batch]:
        env = simpy.Environment()
        site = server(env, make())
        noted = steps_of(site)
        for number in range(5):
            speculate(env, site, RequestInfo(number, range(10 + number)), 6, 0.03 * (number + 1))
            decode(env, site, RequestInfo(100 + number, range(20 + number)), 9, 0.1 * number)
        env.run()
        return noted

    fcfs = steps(lambda: FcfsEngine(FcfsSettings(max_batch=64, max_batch_tokens=1 << 20, batch_window_s=window_s)))
    keys = {"max_num_seqs": 64, "max_batch_tokens": 1 << 20, "batch_window_s": window_s}
    assert steps(lambda: continuous(prefill_on_arrival=False, **keys)) == fcfs
    assert len(fcfs) > 15
    assert steps(lambda: continuous(prefill_on_arrival=False, max_num_seqs=2, max_batch_tokens=1 << 20)) != fcfs


def test_no_step_is_longer_than_a_chunk() -> None:
    """Fifteen verifications beside a prompt of 2,048 tokens: with whole prompts they would wait for all of it."""
    chunk_s = L4_7B.price([size(512, 2048)]).seconds  # the last chunk attends to all the others

    def longest_s(**keys: object) -> float:
        env = simpy.Environment()
        site = server(env, continuous(max_batch_tokens=512, **keys), L4_7B)
        noted = steps_of(site)
        for number in range(15):
            speculate(env, site, RequestInfo(number, range(16)), 20, 0.0)
        decode(env, site, RequestInfo(99, range(2048)), 4, 0.3)
        env.run()
        assert sum(step.new_tokens for step in noted) == 15 * (16 + 4 + 19 * 5) + 2048 + 3
        return max(step.end_ns - step.start_ns for step in noted) / NS_PER_S

    assert longest_s() <= chunk_s * 1.01
    assert longest_s(chunked_prefill=False) > 3 * chunk_s


def size(new_tokens: int, context_tokens: int, rows: int = 1):
    """A work size."""
    from sim.compute.base import WorkSize

    return WorkSize(new_tokens, context_tokens, rows)


def test_a_running_set_serves_in_waves() -> None:
    """64 sessions, 16 at a time, 32 tokens each: a token per step, and the first after the waves before."""
    env = simpy.Environment()
    site = server(env, continuous(max_num_seqs=16), L4_7B)
    firsts, per_token = [], []

    def session(info: RequestInfo):
        results = decode(env, site, info, 32)

        def watch():
            yield env.timeout(1)
            while not results:
                yield env.timeout(to_ns(0.001))
            firsts.append(env.now / NS_PER_S)
            while len(results) < 32:
                yield env.timeout(to_ns(0.001))
            per_token.append((env.now / NS_PER_S - firsts[-1]) / 31)

        env.process(watch())

    for number in range(64):
        session(RequestInfo(number, range(20)))
    env.run()
    step_s = L4_7B.price([size(1, 36)] * 16).seconds
    assert step_s == pytest.approx(0.067, rel=0.05)
    assert sum(firsts) / 64 == pytest.approx(1.5 * 32 * step_s, rel=0.1)
    assert sum(firsts) / 64 == pytest.approx(3.2, rel=0.1)
    # First come, first served: nobody waits for more than the waves before, 3 x 32 steps, and the step under way.
    longest_step_s = L4_7B.price([size(19, 19), *[size(1, 52)] * 15]).seconds
    assert max(firsts) <= (3 * 32 + 2) * longest_step_s
    assert sum(per_token) / 64 == pytest.approx(step_s, rel=0.05)


def test_memory_bounds_what_runs_together() -> None:
    """500 prompts of 400 tokens on a 24 GB L4 do not fit; all of them end, and the memory is never overdrawn."""
    env = simpy.Environment()
    memory = engine_memory([L4_7B], 0.9)
    assert memory.num_blocks(16) == pytest.approx((24e9 * 0.9 - L4_7B.weights_bytes) / (16 * 524_288), abs=1)
    site = server(env, continuous(memory), L4_7B)
    results = [decode(env, site, RequestInfo(number, range(400)), 30) for number in range(100)]
    env.run()
    assert all(len(each) == 30 for each in results)
    assert 0.9 < site.monitor.counts.kv_max <= 1 and site.engine.state().kv_share == 0
    assert site.monitor.counts.preemptions > 0
    site.check(int(env.now))


def test_energy_is_conserved() -> None:
    env = simpy.Environment()
    site = server(env, continuous(EngineMemory(30 * 16.0, 1.0), max_batch_tokens=40), L4_7B)
    results = [decode(env, site, RequestInfo(number, range(60 + number)), 20, 0.05 * number) for number in range(12)]
    env.run()
    charged = sum(result.joules for each in results for result in each)
    assert charged + site.engine.unattributed_joules == pytest.approx(site.monitor.counts.joules, rel=1e-12)


def test_time_to_first_token_is_the_longer_of_both_prefills_and_a_verification() -> None:
    """max(edge prefill, device prefill and drafts) + verification; with prompts on the first forward, their sum."""

    def first_s(draft_s: float, **keys: object) -> float:
        env = simpy.Environment()
        site = server(env, continuous(**keys), L4_7B)
        info, ended = RequestInfo(1, range(2048)), []

        def one():
            site.prefill(info, "target")
            yield env.timeout(to_ns(draft_s))
            yield site.submit(ComputeRecord(Location.EDGE, "target", 2052, 2052, 5), None, info)
            ended.append(env.now / NS_PER_S)

        env.process(one())
        env.run()
        return float(ended[0])

    prefill_s = L4_7B.price([size(2047, 2047, 0)]).seconds
    verify_s = L4_7B.price([size(5, 2052, 5)]).seconds
    together_s = L4_7B.price([size(2052, 2052, 5)]).seconds
    assert first_s(0.2) == pytest.approx(prefill_s + verify_s, abs=1e-6)
    assert first_s(0.7) == pytest.approx(0.7 + verify_s, abs=1e-6)
    assert first_s(0.2, prefill_on_arrival=False, max_batch_tokens=4096) == pytest.approx(0.2 + together_s, abs=1e-6)


@pytest.mark.parametrize("routing", ["round_robin", "least_loaded", "session_affinity"])
def test_replicas_share_the_load(routing: str) -> None:
    env = simpy.Environment()
    replicas = [server(env, continuous(max_num_seqs=1)) for _ in range(3)]
    group = ServerGroup(replicas, ROUTINGS.find(routing).make())
    results = [decode(env, group, RequestInfo(number, range(10), salt=number), 4) for number in range(6)]
    env.run()
    assert all(len(each) == 4 for each in results)
    assert [replica.monitor.counts.finished for replica in replicas] == [8, 8, 8]
    assert group.counts(int(env.now)).steps == 24


def test_sessions_go_where_their_history_is() -> None:
    env = simpy.Environment()
    replicas = [server(env, continuous(EngineMemory(1000 * 16.0, 1.0))) for _ in range(3)]
    group = ServerGroup(replicas, ROUTINGS.find("session_affinity").make())
    for turn in range(4):
        for session in range(3):
            info = RequestInfo(10 * turn + session, range(64 * (turn + 1)), salt=session)
            decode(env, group, info, 4, turn * 5.0 + session * 0.01)
    env.run()
    counts = group.counts(int(env.now))
    assert counts.prefix_queries == 3 * 64 * (1 + 2 + 3 + 4)
    assert counts.prefix_hits == 3 * 64 * (1 + 2 + 3)
