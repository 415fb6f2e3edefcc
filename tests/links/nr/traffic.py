"""Random traffic over an NR link, for tests that look at every delivery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from sim.links.base import Delivery, Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings

BOTH = (Direction.UPLINK, Direction.DOWNLINK)


@dataclass(frozen=True)
class Sent:
    """One message and its delivery."""

    device: int
    direction: Direction
    payload_bits: int
    sent_ns: int
    arrived_ns: int
    delivery: Delivery


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    link: NrLink
    env: simpy.Environment
    sent: list[Sent]

    def mean_ms(self, direction: Direction = Direction.UPLINK) -> float:
        return float(np.mean([m.delivery.total_ns for m in self.sent if m.direction == direction])) / 1e6


def run(
    num_devices=4,
    per_device=10,
    mean_bytes=1500,
    gap_s=0.02,
    directions=BOTH,
    seed=1,
    traffic_seed=7,
    fixed_size=False,
    **keys,
) -> Ran:
    """Poisson arrivals of exponential (or fixed) sizes on every device; ends when all have arrived."""
    env = simpy.Environment()
    link = NrLink(env, num_devices, seed, NrLinkSettings(**keys))
    sent: list[Sent] = []

    def source(device, direction):
        parity = BOTH.index(direction)
        draw = np.random.Generator(np.random.Philox(key=[traffic_seed, device * 2 + parity]))
        for _ in range(per_device):
            yield env.timeout(int(draw.exponential(gap_s) * 1e9))
            size = mean_bytes if fixed_size else int(draw.exponential(mean_bytes))
            start = int(env.now)

            def note(event, start=start, size=size):
                sent.append(Sent(device, direction, 8 * size, start, int(env.now), event.value))

            link.send(Packet(device, direction, 8 * size)).callbacks.append(note)

    for direction in directions:
        for device in range(num_devices):
            env.process(source(device, direction))
    env.run()
    return Ran(link, env, sent)


def two_interfering_devices(direction, payload_bits, **keys):
    """A device of site 0 halfway to site 1 and one right at site 1 send in the same slots; channel and records."""
    settings = NrLinkSettings(
        num_sites=7, wrap_around=False, interference="explicit", shadowing=False, los="nlos", mcs=5,
        positions_m=[(60.0, 0.0), (180.0, 0.0)], record_slots=True, tdd_pattern="F", **keys,
    )  # fmt: skip
    env = simpy.Environment()
    link = NrLink(env, 2, 1, settings)
    for device in (0, 1):
        link.send(Packet(device, direction, payload_bits))
    env.run()
    return link.network.channel, list(link.network.records.blocks)
