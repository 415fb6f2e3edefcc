"""The link that plays a recorded bandwidth trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import simpy
from pydantic import Field, model_validator

from channels.addressed import uniforms
from channels.bandwidth_traces import (
    Capacity,
    ConstantRate,
    PacketOpportunities,
    PiecewiseRate,
    StartedLate,
    load_trace,
)
from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.links.fifo import DedicatedLinks, FifoLink
from sim.links.one_way import HEADER_BITS, DuplexLink, OneWayLink
from sim.links.registry import LINKS


class TraceLinkSettings(Settings):
    """Keys of the ``trace`` link."""

    uplink_trace: Path | Annotated[list[Path], Field(min_length=1)]
    """Trace of the uplink: a ``.csv`` file of ``time_s, mbps`` rows, or a Mahimahi packet-delivery trace. It loops. Of
    a list, which needs ``sharing: dedicated``, device n has trace n, and if they are fewer, n modulo their number."""

    downlink_trace: Path | Annotated[list[Path], Field(min_length=1)] | None = None
    """Trace or traces of the downlink; give this or ``downlink_mbps``."""

    downlink_mbps: float | None = Field(default=None, ge=1e-6)
    """Constant rate of the downlink [Mbit/s]; give this or ``downlink_trace``."""

    uplink_scale: float = Field(default=1.0, gt=0, le=1e6)
    """Factor on the bandwidth of the uplink trace."""

    downlink_scale: float = Field(default=1.0, gt=0, le=1e6)
    """Factor on the bandwidth of the downlink trace."""

    sharing: Literal["fifo", "dedicated"] = "fifo"
    """``fifo``: all devices share the bandwidth, first come, first served. ``dedicated``: each device has the bandwidth
    of its trace, or a whole link at ``downlink_mbps``, to itself."""

    start: Literal["random", "beginning"] = "random"
    """``random``: the run meets its traces at a moment that the seed draws, the same in both directions, for each
    device its own where the bandwidth is dedicated. ``beginning``: every run starts with the first row."""

    one_way_delay_s: float = Field(default=0.005, ge=0, le=1000)
    """Fixed delay each way beyond queueing and transmission [s]."""

    header_bits: int = Field(default=HEADER_BITS, ge=0, le=1_000_000)
    """Headers added to each message [bit]: IPv4 + UDP + layer 2, 40 bytes unless set."""

    @model_validator(mode="after")
    def _one_downlink(self) -> Self:
        if (self.downlink_trace is None) == (self.downlink_mbps is None):
            raise ValueError("give exactly one of downlink_trace and downlink_mbps")
        if self.sharing == "fifo" and any(
            isinstance(given, list) for given in (self.uplink_trace, self.downlink_trace)
        ):
            raise ValueError("a list of traces, one per device, needs sharing: dedicated")
        return self


def _recorded(key: str, path: Path, scale: float) -> PiecewiseRate | PacketOpportunities:
    try:
        return load_trace(path, scale)
    except ValueError as error:
        raise InputError(str(error), f"link.{key}") from None


@LINKS.register("trace", settings=TraceLinkSettings)
class TraceLink(DuplexLink):
    """Recorded bandwidth over time, shared by all devices first come first served or dedicated to each.

    Bits of a CSV trace flow as a fluid; those of a Mahimahi trace leave at its packet opportunities, and an
    opportunity that finds no packet waiting is lost.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices that contend for the link.
        seed: Draws where in its trace each device starts.
        settings: Traces, delay and sharing.

    Raises:
        InputError: A trace is missing, empty or broken.
    """

    def __init__(self, env: simpy.Environment, num_devices: int, seed: int, settings: TraceLinkSettings) -> None:
        uplink = _capacities("uplink_trace", settings.uplink_trace, settings.uplink_scale, num_devices, seed, settings)
        if settings.downlink_trace is not None:
            downlink = _capacities(
                "downlink_trace", settings.downlink_trace, settings.downlink_scale, num_devices, seed, settings
            )
        else:
            assert settings.downlink_mbps is not None
            downlink = [ConstantRate(settings.downlink_mbps)] * (num_devices if settings.sharing == "dedicated" else 1)

        def one_way(capacities: Sequence[Capacity]) -> OneWayLink:
            if settings.sharing == "dedicated":
                return DedicatedLinks(env, capacities, settings.header_bits, settings.one_way_delay_s)
            return FifoLink(env, capacities[0], settings.header_bits, settings.one_way_delay_s)

        super().__init__(env, num_devices, seed, one_way(uplink), one_way(downlink))


def _capacities(
    key: str, given: Path | list[Path], scale: float, num_devices: int, seed: int, settings: TraceLinkSettings
) -> list[Capacity]:
    """What each device is offered, or all together if they share."""
    paths = given if isinstance(given, list) else [given]
    traces = [_recorded(key, path, scale) for path in paths]
    count = num_devices if settings.sharing == "dedicated" else 1
    return [_started(traces[n % len(traces)], seed, n, settings.start == "random") for n in range(count)]


def _started(trace: PiecewiseRate | PacketOpportunities, seed: int, device: int, is_random: bool) -> Capacity:
    """A trace from a moment of it on; both directions of a device take the same share of their traces' lengths."""
    if not is_random:
        return trace
    share = float(uniforms(seed, "trace start", entities=[device], count=1)[0, 0])
    return StartedLate(trace, int(share * trace.period_ns))
