"""First come, first served over a known capacity: a message's delivery is arithmetic, one SimPy event in all."""

from __future__ import annotations

from collections.abc import Sequence

import simpy
from typing_extensions import override

from channels.bandwidth_traces import NANOBITS_PER_BIT, Capacity
from sim.core.kernel import FastTimeout
from sim.links.base import Delivery, Packet
from sim.links.one_way import OneWayLink

REPORT_WINDOW_NS = 100_000_000
"""Time over which the offered rate is measured for a report."""


class FifoLink(OneWayLink):
    """All messages in one queue, in the order in which they were sent.

    A message waits (access) until the one before it has left, and is in the air from then on until the capacity
    offered since has carried its last bit, outages included. Where the queue stands is kept in exact integers, so
    that bits are conserved whatever the number of messages.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        capacity: What the link offers over time.
        header_bits: Added to each message's payload.
        one_way_delay_s: Fixed delay from the end of the air to the receiver [s].
    """

    def __init__(self, env: simpy.Environment, capacity: Capacity, header_bits: int, one_way_delay_s: float) -> None:
        super().__init__(env, header_bits, one_way_delay_s)
        self.capacity = capacity
        self._served = 0  # nanobits of the capacity that are used, or passed unused, once all messages have left
        self._free_ns = 0  # when that is

    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``."""
        now = int(self.env.now)
        bits = packet.payload_bits + self.header_bits
        self.num_messages += 1
        self.bits_accepted += bits
        start = free_ns = max(now, self._free_ns)
        if bits:
            self._served = max(self._served, self.capacity.offered(now)) + bits * NANOBITS_PER_BIT
            free_ns = self.capacity.time_of(self._served)
        self._free_ns = free_ns
        air_ns = free_ns - start
        delivery = Delivery(start - now, air_ns, 0, self.transport_ns, bits, air_ns)
        return FastTimeout(self.env, free_ns + self.transport_ns - now, value=delivery)

    @override
    def expected_bps(self, device: int) -> float:
        """Mean offered rate of the last 100 ms; after an outage, of the last 200, 400, ... ms in which any came."""
        now = int(self.env.now)
        offered = self.capacity.offered(now)
        window = REPORT_WINDOW_NS
        while not (recent := offered - self.capacity.offered(now - window)):
            window *= 2
        return recent / window

    def utilisation(self) -> float:
        """Share of the capacity offered since time zero that carried bits."""
        return self.carried() / max(1, self.offered())

    def offered(self) -> int:
        """Nanobits of capacity since time zero."""
        return max(0, self.capacity.offered(int(self.env.now)))

    def carried(self) -> int:
        """Nanobits that have left by now."""
        backlog = max(0, self._served - self.offered())
        return self.bits_accepted * NANOBITS_PER_BIT - backlog


class DedicatedLinks(OneWayLink):
    """A first-come-first-served link per device, none of which disturbs another.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        capacities: What each device's link offers over time, [num_devices].
        header_bits: Added to each message's payload.
        one_way_delay_s: Fixed delay from the end of the air to the receiver [s].
    """

    def __init__(
        self, env: simpy.Environment, capacities: Sequence[Capacity], header_bits: int, one_way_delay_s: float
    ) -> None:
        super().__init__(env, header_bits, one_way_delay_s)
        self._one_way_links = [FifoLink(env, capacity, header_bits, one_way_delay_s) for capacity in capacities]

    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``."""
        self.num_messages += 1
        self.bits_accepted += packet.payload_bits + self.header_bits
        return self._one_way_links[packet.device].send(packet)

    def expected_bps(self, device: int) -> float:
        """Rate of the device's own link."""
        return self._one_way_links[device].expected_bps(device)

    def utilisation(self) -> float:
        """Share of all devices' capacity since time zero that carried bits."""
        return sum(one_way.carried() for one_way in self._one_way_links) / max(
            1, sum(one_way.offered() for one_way in self._one_way_links)
        )
