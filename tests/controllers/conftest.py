"""A clock for controllers without a simulator: steps take stated times, and looks are answered from what has passed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from sim.decoding.controllers.registry import CONTROLLERS
from sim.decoding.core.controller import Controller, Controls
from sim.decoding.core.random_source import RandomSource
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Location, Observation, Observe
from sim.decoding.drivers.protocol_run import ComputeRecord, ObserveRecord, ProtocolRun, TransmitRecord
from sim.decoding.protocols.registry import PROTOCOLS
from sim.models.interface import LanguageModel


@dataclass
class Clock:
    """Stated times and rates; everything that a device can measure follows from them."""

    draft_token_s: float = 0.002
    target_forward_s: float = 0.03
    one_way_delay_s: float = 0.005
    uplink_bps: Callable[[float], float] = lambda now_s: 1e5
    joules_per_token: float = 0.01
    now_s: float = 0.0
    uplink_bits: int = 0
    joules: float = 0.0
    looks: list[Observation] = field(default_factory=list)

    def pass_by(self, record: Any) -> None:
        if isinstance(record, ComputeRecord):
            at_device = record.site is Location.DEVICE
            self.now_s += self.draft_token_s if at_device else self.target_forward_s
            self.joules += self.joules_per_token * at_device
        elif isinstance(record, TransmitRecord):
            self.now_s += self.one_way_delay_s + record.charged_bits / self.uplink_bps(self.now_s)
            self.uplink_bits += record.payload_bits

    def look(self) -> Observation:
        rate = self.uplink_bps(self.now_s)
        seen = Observation(
            self.now_s,
            rate,
            rate,
            2 * self.one_way_delay_s,
            self.draft_token_s,
            self.target_forward_s,
            self.uplink_bits,
            self.joules,
        )
        self.looks.append(seen)
        return seen


def make(controller: str | Mapping[str, Any]) -> Controller:
    """A controller by name, or name and keys."""
    keys = {"name": controller} if isinstance(controller, str) else dict(controller)
    entry = CONTROLLERS.find(keys.pop("name"))
    return entry.make(entry.settings(**keys))


def drive(
    protocol: str,
    models: Mapping[str, LanguageModel],
    controller: Controller,
    rng: RandomSource,
    clock: Clock,
    length: int = 3,
    request_id: int = 0,
    **settings: Any,
) -> tuple[Request, ProtocolRun]:
    """Run one request of a protocol under a controller that sees this clock."""
    entry = PROTOCOLS.find(protocol)
    request = Request(request_id, [0], models["target"].vocab_size, length, controller=controller)
    script = ProtocolRun(entry.make(request, entry.settings(**settings), rng), models)
    result = None
    while (action := script.advance(result)) is not None:
        result = None
        if isinstance(action.record, ObserveRecord):
            result = clock.look()
        elif action.branches:
            for branch in action.branches:
                inner = None
                while (step := branch.advance(inner)) is not None:
                    inner = None
                    if step.work is not None:
                        inner = models[step.record.model].forward([step.work])[0]
                    clock.pass_by(step.record)
        else:
            if action.work is not None:
                result = models[action.record.model].forward([action.work])[0]
            clock.pass_by(action.record)
    for model in models.values():
        model.close_request(request_id)
    return request, script


def planned(controller: Controller, request: Request, controls: Controls, seen: Observation) -> Controls:
    """What a controller plans when it sees this."""
    plan = controller.decide(request, controls)
    try:
        assert isinstance(next(plan), Observe)
        plan.send(seen)
    except StopIteration as end:
        return end.value
    raise AssertionError("a plan looks once at most")


class Bench:
    """What the tests of this folder share."""

    Clock = Clock
    make = staticmethod(make)
    drive = staticmethod(drive)
    planned = staticmethod(planned)


@pytest.fixture(scope="session")
def bench() -> type[Bench]:
    return Bench
