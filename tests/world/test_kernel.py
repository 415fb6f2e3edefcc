"""The event kernel against SimPy's own environment: the same events in the same order, and the same ways to end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import simpy
from simpy.events import URGENT

from sim.core.kernel import LAST, Environment, FastTimeout, Pending

ENVIRONMENTS = (simpy.Environment, Environment)


def busy_world(env: simpy.Environment, seed: int) -> list[tuple[int, str]]:
    """Processes that wait for timeouts, each other and promises, many of them at the same instants."""
    seen: list[tuple[int, str]] = []
    rng = np.random.Generator(np.random.Philox(key=seed))

    def worker(name: int, children: int):
        for step in range(6):
            seen.append((int(env.now), f"{name} {step}"))
            match int(rng.integers(5)):
                case 0:
                    yield env.timeout(int(rng.integers(3)))
                case 1:
                    seen.append(
                        (int(env.now), str((yield FastTimeout(env, int(rng.integers(3)), value=f"due {name}"))))
                    )
                case 2:
                    promise = Pending(env)
                    FastTimeout(env, 1, lambda _, p=promise: p.succeed_later(f"kept {name}", 1), priority=LAST)
                    seen.append((int(env.now), str((yield promise))))
                case 3 if children:
                    yield env.all_of([env.process(worker(10 * name + n, 0)) for n in range(children)])
                case _:
                    FastTimeout(env, 0, lambda _: seen.append((int(env.now), f"last of {name}")), priority=LAST)
                    FastTimeout(env, 0, lambda _: seen.append((int(env.now), f"first of {name}")), priority=URGENT)
                    yield env.event().succeed()

    for name in range(1, 8):
        env.process(worker(name, children=2))
    return seen


@pytest.mark.parametrize("seed", range(5))
def test_events_happen_in_simpys_order(seed: int):
    seen = []
    for make in ENVIRONMENTS:
        env = make()
        seen.append(busy_world(env, seed))
        env.run()
        seen[-1].append((int(env.now), "end"))
    assert seen[0] == seen[1]
    assert len(seen[0]) > 60


@pytest.mark.parametrize("until", [1, 4])
def test_a_run_can_be_stopped_and_continued(until: int):
    """What is scheduled for the very moment is still to come, as in SimPy."""
    seen = []
    for make in ENVIRONMENTS:
        env = make()
        events = busy_world(env, 3)
        env.run(until)
        seen.append((env.now, len(events)))
        env.run(until=env.timeout(2, "done"))
        seen[-1] += (env.now, len(events))
        env.run()
        seen[-1] += (env.now, tuple(events))
    assert seen[0] == seen[1]
    with pytest.raises(ValueError, match="must be greater than"):
        env.run(env.now)


@pytest.mark.parametrize("make", ENVIRONMENTS)
def test_a_failure_that_nobody_handles_ends_the_run(make: Any):
    env = make()

    def failing():
        yield env.timeout(1)
        raise OSError("broken")

    def careful():
        try:
            yield env.process(failing())
        except OSError:
            yield env.timeout(5)

    env.process(careful())
    env.run()
    assert env.now == 6
    env.process(failing())
    with pytest.raises(OSError, match="broken"):
        env.run()
