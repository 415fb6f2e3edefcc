"""The link that plays a recorded bandwidth trace."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import simpy
from pydantic import Field, model_validator

from channels.bandwidth_traces import Capacity, ConstantRate, load_trace
from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.links.fifo import FifoLink
from sim.links.one_way import HEADER_BITS, DuplexLink
from sim.links.registry import LINKS


class TraceLinkSettings(Settings):
    """Keys of the ``trace`` link."""

    uplink_trace: Path
    """Trace of the uplink: a ``.csv`` file of ``time_s, mbps`` rows, or a Mahimahi packet-delivery trace. It loops."""

    downlink_trace: Path | None = None
    """Trace of the downlink; give this or ``downlink_mbps``."""

    downlink_mbps: float | None = Field(default=None, ge=1e-6)
    """Constant rate of the downlink [Mbit/s]; give this or ``downlink_trace``."""

    uplink_scale: float = Field(default=1.0, gt=0, le=1e6)
    """Factor on the bandwidth of the uplink trace."""

    downlink_scale: float = Field(default=1.0, gt=0, le=1e6)
    """Factor on the bandwidth of the downlink trace."""

    one_way_delay_s: float = Field(default=0.005, ge=0, le=1000)
    """Fixed delay each way beyond queueing and transmission [s]."""

    header_bits: int = Field(default=HEADER_BITS, ge=0)
    """Headers added to each message [bit]: IPv4 + UDP + layer 2, 40 bytes unless set."""

    @model_validator(mode="after")
    def _one_downlink(self) -> Self:
        if (self.downlink_trace is None) == (self.downlink_mbps is None):
            raise ValueError("give exactly one of downlink_trace and downlink_mbps")
        return self


def _recorded(key: str, path: Path, scale: float) -> Capacity:
    try:
        return load_trace(path, scale)
    except ValueError as error:
        raise InputError(f"link.{key}: {error}") from None


@LINKS.register("trace", settings=TraceLinkSettings)
class TraceLink(DuplexLink):
    """Recorded bandwidth over time, shared by all devices first come first served.

    Bits of a CSV trace flow as a fluid; those of a Mahimahi trace leave at its packet opportunities, and an
    opportunity that finds no packet waiting is lost.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices that contend for the link.
        seed: Not used: the trace holds all the random numbers.
        settings: Traces and delay.

    Raises:
        InputError: A trace is missing, empty or broken.
    """

    def __init__(self, env: simpy.Environment, num_devices: int, seed: int, settings: TraceLinkSettings) -> None:
        def one_way(capacity: Capacity) -> FifoLink:
            return FifoLink(env, capacity, settings.header_bits, settings.one_way_delay_s)

        uplink = _recorded("uplink_trace", settings.uplink_trace, settings.uplink_scale)
        if settings.downlink_trace is not None:
            downlink = _recorded("downlink_trace", settings.downlink_trace, settings.downlink_scale)
        else:
            assert settings.downlink_mbps is not None
            downlink = ConstantRate(settings.downlink_mbps)
        super().__init__(env, num_devices, seed, one_way(uplink), one_way(downlink))
