"""A link that is made of two one-way links, one per direction, each of which carries messages in its own way."""

from __future__ import annotations

from abc import ABC, abstractmethod

import simpy

from sim.core.clock import to_ns
from sim.links.base import ChannelReport, Direction, Link, Packet

_UPLINK = Direction.UPLINK  # a global is found faster than a member of an enumeration

HEADER_BITS = 320
"""Headers below the payload, per message: IPv4 20, UDP 8 and layer 2 (SDAP, PDCP, RLC, MAC) 12 bytes."""


class OneWayLink(ABC):
    """One direction of the air.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        header_bits: Added to each message's payload.
        one_way_delay_s: Fixed delay from the end of the air to the receiver [s].

    Attributes:
        num_messages: Messages accepted so far.
        bits_accepted: Their bits, headers included.
    """

    def __init__(self, env: simpy.Environment, header_bits: int, one_way_delay_s: float) -> None:
        self.env = env
        self.header_bits = header_bits
        self.transport_ns = to_ns(one_way_delay_s)
        self.num_messages = 0
        self.bits_accepted = 0

    @abstractmethod
    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``."""

    @abstractmethod
    def expected_bps(self, device: int) -> float:
        """Rate that a message of this device may expect once it is served, measured by now."""

    def whole_bps(self, device: int) -> float | None:  # noqa: ARG002
        """Rate that the device would have if nobody else sent; None where that is the expected one."""
        return None

    @abstractmethod
    def utilisation(self) -> float:
        """Share of what the link has offered since time zero that carried bits."""


class DuplexLink(Link):
    """A link whose directions do not touch each other.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices that contend for the link.
        seed: Master seed.
        uplink: OneWayLink of the uplink.
        downlink: OneWayLink of the downlink.
    """

    def __init__(
        self, env: simpy.Environment, num_devices: int, seed: int, uplink: OneWayLink, downlink: OneWayLink
    ) -> None:
        super().__init__(env, num_devices, seed)
        self.uplink = uplink
        self.downlink = downlink
        self._round_trip_s = (uplink.transport_ns + downlink.transport_ns) / 1e9

    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``.

        Raises:
            ValueError: The device does not exist, or the payload is negative.
        """
        if not 0 <= packet.device < self.num_devices:
            self._require_device(packet.device)
        if packet.payload_bits < 0:
            raise ValueError(f"payload_bits: got {packet.payload_bits}; valid: >= 0")
        return (self.uplink if packet.direction is _UPLINK else self.downlink).send(packet)

    def report(self, device: int) -> ChannelReport:
        """The channel state that a device would have measured by now."""
        self._require_device(device)
        up, down = self.uplink, self.downlink
        return ChannelReport(
            up.expected_bps(device), down.expected_bps(device), self._round_trip_s, up.whole_bps(device)
        )

    def summary(self) -> dict[str, float]:
        """Per direction: utilisation, messages, and mean bits on air per message (headers included)."""
        figures: dict[str, float] = {}
        for direction, one_way in ((Direction.UPLINK, self.uplink), (Direction.DOWNLINK, self.downlink)):
            figures[f"{direction}_utilisation"] = one_way.utilisation()
            figures[f"{direction}_messages"] = one_way.num_messages
            figures[f"{direction}_mean_bits_on_air"] = one_way.bits_accepted / max(1, one_way.num_messages)
        return figures

    def _require_device(self, device: int) -> None:
        if not 0 <= device < self.num_devices:
            raise ValueError(f"device: got {device}; valid: 0 to {self.num_devices - 1}")
