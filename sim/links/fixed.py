"""The link of constant rate: the yardstick whose delays can be worked out by hand."""

from __future__ import annotations

from typing import Literal

import simpy
from pydantic import Field

from channels.bandwidth_traces import ConstantRate
from sim.core.settings import Settings
from sim.links.fifo import DedicatedLinks, FifoLink
from sim.links.one_way import HEADER_BITS, DuplexLink, OneWayLink
from sim.links.registry import LINKS


class FixedLinkSettings(Settings):
    """Keys of the ``fixed`` link."""

    uplink_mbps: float = Field(default=10.0, ge=1e-6)
    """Rate of the uplink [Mbit/s], delivered above the MAC, to 1 bit/s: of the cell, or of each device if dedicated."""

    downlink_mbps: float = Field(default=50.0, ge=1e-6)
    """Rate of the downlink [Mbit/s], in the same sense."""

    one_way_delay_s: float = Field(default=0.005, ge=0, le=1000)
    """Fixed delay each way beyond queueing and transmission [s]."""

    sharing: Literal["fifo", "dedicated"] = "fifo"
    """``fifo``: all devices share the rate, first come, first served. ``dedicated``: each has the rate to itself."""

    header_bits: int = Field(default=HEADER_BITS, ge=0, le=1_000_000)
    """Headers added to each message [bit]: IPv4 + UDP + layer 2, 40 bytes unless set."""


@LINKS.register("fixed", settings=FixedLinkSettings)
class FixedLink(DuplexLink):
    """Constant rates with a fixed delay, shared first come first served or dedicated to each device.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices that contend for the link.
        seed: Not used: nothing here is random.
        settings: Rates, delay and sharing.
    """

    def __init__(self, env: simpy.Environment, num_devices: int, seed: int, settings: FixedLinkSettings) -> None:
        def one_way(mbps: float) -> OneWayLink:
            rate = ConstantRate(mbps)
            if settings.sharing == "dedicated":
                return DedicatedLinks(env, [rate] * num_devices, settings.header_bits, settings.one_way_delay_s)
            return FifoLink(env, rate, settings.header_bits, settings.one_way_delay_s)

        super().__init__(env, num_devices, seed, one_way(settings.uplink_mbps), one_way(settings.downlink_mbps))
