"""Runs a schedule of messages over a link and collects what became of each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import pytest
import simpy

from sim.links.base import Delivery, Direction, Link, Packet


@dataclass(frozen=True)
class Outcome:
    """A message, when it was sent, when it arrived, and the delivery's own account of the time between."""

    device: int
    sent_ns: int
    arrived_ns: int
    delivery: Delivery

    @property
    def started_ns(self) -> int:
        return self.sent_ns + self.delivery.access_ns

    @property
    def left_ns(self) -> int:
        return self.started_ns + self.delivery.air_ns


Message = tuple[int, int, int]
"""(sent_ns, device, payload_bits)"""


def _drive(
    make: Callable[[simpy.Environment], Link], messages: Iterable[Message], direction: Direction = Direction.UPLINK
) -> list[Outcome]:
    """Send the messages, in the order of their times; outcomes in the order given."""
    env = simpy.Environment()
    link = make(env)
    outcomes: dict[int, Outcome] = {}

    def one(index: int, device: int, bits: int) -> Generator[simpy.Event, object, None]:
        sent = int(env.now)
        delivery = yield link.send(Packet(device, direction, bits))
        assert isinstance(delivery, Delivery)
        outcomes[index] = Outcome(device, sent, int(env.now), delivery)

    def source() -> Generator[simpy.Event, object, None]:
        for index, (sent_ns, device, bits) in enumerate(sorted(messages)):
            yield env.timeout(sent_ns - int(env.now))
            env.process(one(index, device, bits))

    env.process(source())
    env.run()
    return [outcomes[index] for index in sorted(outcomes)]


@pytest.fixture(scope="session")
def drive() -> Callable[..., list[Outcome]]:
    """``drive(make, messages, direction)`` with messages of (sent_ns, device, payload_bits): a list of outcomes."""
    return _drive
