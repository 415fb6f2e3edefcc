"""The interface of links: a message waits, is transmitted and arrives, and each part of its delay has a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import simpy

from sim.core.errors import RunError

_NO_NOTES: Mapping[str, int] = MappingProxyType({})


class Direction(StrEnum):
    """Uplink or downlink."""

    UPLINK = "uplink"
    DOWNLINK = "downlink"


class Delivery(NamedTuple):
    """One message's delay over the air; the four parts add up to the time from sending to delivery.

    Attributes:
        access_ns: Waiting before its first bit is sent: scheduling request, grant, queue behind other messages.
        air_ns: Time in which the air carries its bits for the first time (gaps between its bits included).
        retransmission_ns: Extra time spent on retransmissions.
        transport_ns: Fixed one-way delay beyond the air.
        bits_on_air: Bits that crossed the air, headers and retransmissions included.
        airtime_ns: Time for which this message occupied the transmitter; what the radio's energy is priced by.
        notes: Finer parts of the delay by name, in nanoseconds, for links that know them.
    """

    access_ns: int
    air_ns: int
    retransmission_ns: int
    transport_ns: int
    bits_on_air: int
    airtime_ns: int
    notes: Mapping[str, int] = _NO_NOTES

    @property
    def total_ns(self) -> int:
        """From sending to delivery."""
        return self.access_ns + self.air_ns + self.retransmission_ns + self.transport_ns


class LinkFailureError(Exception):
    """A message has been given up: its device has had no radio link for too long. Its event fails with this.

    Args:
        message: What happened.
        direction: That of the message.
    """

    def __init__(self, message: str, direction: Direction) -> None:
        super().__init__(message, direction)
        self.direction = direction

    def __str__(self) -> str:
        return str(self.args[0])


class LinkMeter(NamedTuple):
    """What has happened to a device since the run began; differences are what a request saw.

    Attributes:
        handovers: Changes of cell.
        radio_joules: Energy of its modem, for links that have one (``has_modems``).
    """

    handovers: int = 0
    radio_joules: float = 0.0


class Packet(NamedTuple):
    """A message as the link sees it: bits, and what a scheduler may know about them.

    Attributes:
        device: Index of the device that sends or receives it.
        direction: Uplink or downlink.
        payload_bits: Bits of the encoded message; the link adds its own headers.
        kind: Name of the message type, such as ``draft`` or ``verdict``.
        tokens_at_stake: Tokens that its delivery may unblock, for schedulers that know about rounds.
        deadline_ns: Absolute time by which it would like to arrive, or None.
    """

    device: int
    direction: Direction
    payload_bits: int
    kind: str = "message"
    tokens_at_stake: int = 1
    deadline_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """What a device knows of its channel: the last measured state, never the future.

    Attributes:
        uplink_bps: Rate its next uplink message may expect, in bit/s.
        downlink_bps: The same for the downlink.
        round_trip_s: Fixed delays of one small message each way, in seconds.
        uplink_whole_bps: Uplink rate that it would have if nobody else sent; None where that is ``uplink_bps``.
    """

    uplink_bps: float
    downlink_bps: float
    round_trip_s: float
    uplink_whole_bps: float | None = None


class Link(ABC):
    """The air between all devices of a cell and the edge node.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices that contend for the link.
        seed: Master seed; the link keys its own random numbers by purpose and device.

    Attributes:
        has_modems: Whether ``meter`` holds the energy of the devices' radios; else it is airtime at a constant power.
        has_background: Whether it carries traffic of its own, which never ends.
        has_shares: Whether devices that send at the same time share its uplink by weights that may be set.
        num_cells: How many cells there are.
    """

    has_modems: ClassVar[bool] = False
    has_shares: ClassVar[bool] = False
    has_background: bool = False
    num_cells: int = 1

    def __init__(self, env: simpy.Environment, num_devices: int, seed: int) -> None:
        self.env = env
        self.num_devices = num_devices
        self.seed = seed

    @abstractmethod
    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``.

        It fails with ``LinkFailureError`` if the link gives the message up.
        """

    @abstractmethod
    def report(self, device: int) -> ChannelReport:
        """The channel state that a device would have measured by now."""

    def set_uplink_share(self, device: int, share: float) -> None:
        """Give a device another weight on the uplink, relative to the others that send at the same time.

        Raises:
            RunError: The link has no shares.
        """
        raise RunError(f"this link has no shares to set (device {device}, {share:g}); valid: shannon, nr")

    def meter(self, device: int) -> LinkMeter:  # noqa: ARG002
        """What has happened to a device so far."""
        return LinkMeter()

    def cell_of(self, device: int) -> int:  # noqa: ARG002
        """The cell that serves a device now."""
        return 0

    def watch_cells(self, on_change: Callable[[int, int], None]) -> None:  # noqa: B027 (most have one cell)
        """Have every change of a device's cell told: device, new cell."""

    def summary(self) -> dict[str, float]:
        """Cell-wide figures of the run so far, names with units, such as ``uplink_utilisation``."""
        return {}

    def flows(self) -> list[dict[str, Any]]:
        """One row per flow of traffic of its own, columns with units."""
        return []

    def starving(self, since_ns: int) -> list[int]:  # noqa: ARG002
        """Devices with messages sent by a time that still wait, if nothing of any message has arrived since."""
        return []

    def measurements(self) -> list[dict[str, float]]:
        """One row per cell and period of measurement reports, if it makes any, names as in TS 28.552."""
        return []

    def capture(self) -> bytes | None:
        """A capture file of what crossed the air, if it keeps one."""
        return None

    def slots(self) -> list[dict[str, Any]]:
        """One row per transmission of a slotted link, if it keeps them, columns with units."""
        return []

    def record_only(self, start_ns: int, end_ns: int) -> None:  # noqa: B027 (most keep no records)
        """Keep records of what begins in this window only, where the link keeps any."""

    def timeline(self) -> list[dict[str, Any]]:
        """Spans for the timeline (name, track, start_ns, end_ns, args), if the link records any.

        A span may name the messages that it carried under ``flows``, by device, direction and time of sending in ns.
        """
        return []
