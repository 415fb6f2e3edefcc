"""Traffic models: processes that hand packets to a port, by the public descriptions of 3GPP, ITU-R and NGMN."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import simpy

from sim.core.clock import NS_PER_S
from sim.links.nr.traffic.settings import FlowSettings, FtpFlow, FullBufferFlow, VoipFlow, WebFlow, XrFlow

Process = Generator[simpy.Event, Any, None]
_FULL_BYTES = 1_000_000
_FULL_AHEAD = 2
_RTP_BYTES = 12
_SPEECH_BYTES = _RTP_BYTES + 32
"""10 bits of payload header and 244 of a speech frame, in whole bytes (RFC 4867 4.3, AMR 12.2)."""
_SILENCE_BYTES = _RTP_BYTES + 7
"""10 bits of payload header and 39 of a comfort noise frame."""
_SPEECH_S, _SILENCE_S = 0.02, 0.16
_MEAN_TALK_S = 2.0
_FRAME_DEVIATION, _FRAME_RANGE = 0.105, 0.5
_JITTER_RANGE = 2.0
# Log-normal sizes cut at both ends, and a Pareto number of embedded objects (NGMN, annex A.2).
_MAIN = (8.37, 1.37, 100, 2_000_000)
_EMBEDDED = (6.17, 2.36, 50, 2_000_000)
_PARETO_SHAPE, _PARETO_MIN, _PARETO_MAX = 1.1, 2.0, 55.0
_PARSING_S = 0.13


class Port(Protocol):
    """Where a source hands its packets over."""

    @property
    def now_s(self) -> float:
        """The time."""

    def wait(self, duration_s: float) -> simpy.Event:
        """An event after a time."""

    def send(self, num_bytes: int) -> simpy.Event:
        """Send a packet; the event happens when it has arrived, or been given up."""


def full_buffer(settings: FullBufferFlow, port: Port, rng: np.random.Generator) -> Process:  # noqa: ARG001
    """A megabyte on its way and one behind it, always."""
    pending = [port.send(_FULL_BYTES) for _ in range(_FULL_AHEAD)]
    while True:
        yield pending.pop(0)
        pending.append(port.send(_FULL_BYTES))


def ftp(settings: FtpFlow, port: Port, rng: np.random.Generator) -> Process:
    """Files at the times of a Poisson process."""
    while True:
        yield port.wait(rng.exponential(1 / settings.rate_hz))
        port.send(settings.file_bytes)


def voip(settings: VoipFlow, port: Port, rng: np.random.Generator) -> Process:
    """Speech frames and silence descriptors; the lengths of silence make up the activity."""
    mean_silence_s = _MEAN_TALK_S * (1 - settings.activity) / settings.activity
    is_talking = rng.random() < settings.activity
    yield port.wait(rng.random() * _SPEECH_S)
    while True:
        mean_s = _MEAN_TALK_S if is_talking else mean_silence_s
        end_s = port.now_s + rng.exponential(mean_s) if mean_s else port.now_s
        while port.now_s < end_s:
            port.send(_SPEECH_BYTES if is_talking else _SILENCE_BYTES)
            yield port.wait(_SPEECH_S if is_talking else _SILENCE_S)
        is_talking = not is_talking


def _truncated_normal(rng: np.random.Generator, reach: float) -> float:
    """A standard normal number within ``reach`` of 0, by rejection."""
    while True:
        value = float(rng.standard_normal())
        if abs(value) <= reach:
            return value


def xr(settings: XrFlow, port: Port, rng: np.random.Generator) -> Process:
    """A frame per period, of random size, a little early or late; users' periods begin at random."""
    period_s = 1 / settings.frames_per_s
    mean_bytes = settings.rate_mbps * 1e6 / 8 * period_s
    first_s = port.now_s + rng.random() * period_s + _JITTER_RANGE * settings.jitter_s
    number = 0
    while True:
        at_s = first_s + number * period_s + settings.jitter_s * _truncated_normal(rng, _JITTER_RANGE)
        yield port.wait(max(at_s - port.now_s, 0.0))
        size = 1 + _FRAME_DEVIATION * _truncated_normal(rng, _FRAME_RANGE / _FRAME_DEVIATION)
        port.send(max(1, round(mean_bytes * size)))
        number += 1


def _object_bytes(rng: np.random.Generator, mean_log: float, deviation: float, min_bytes: int, max_bytes: int) -> int:
    while True:
        size = float(rng.lognormal(mean_log, deviation))
        if min_bytes <= size <= max_bytes:
            return round(size)


def num_embedded_objects(rng: np.random.Generator) -> int:
    """Embedded objects of a page: a Pareto number of shape 1.1, 2 to 55, less 2, in the mean 5.64 (NGMN, annex A.2).

    The law is of real numbers; which whole one beside it is taken goes by its fraction, so that the mean stays.
    """
    drawn = _PARETO_MIN * (1 - rng.random()) ** (-1 / _PARETO_SHAPE)
    return int(min(drawn, _PARETO_MAX) - _PARETO_MIN + rng.random())


def web(settings: WebFlow, port: Port, rng: np.random.Generator) -> Process:
    """A main object, its embedded ones after parsing, and reading once all are there."""
    yield port.wait(rng.exponential(settings.reading_s))
    while True:
        yield port.send(_object_bytes(rng, *_MAIN))
        yield port.wait(rng.exponential(_PARSING_S))
        pending = [port.send(_object_bytes(rng, *_EMBEDDED)) for _ in range(num_embedded_objects(rng))]
        while pending:
            yield pending.pop(0)
        yield port.wait(rng.exponential(settings.reading_s))


SOURCES: Mapping[str, Callable[[Any, Port, np.random.Generator], Process]] = MappingProxyType(
    {"full_buffer": full_buffer, "ftp": ftp, "voip": voip, "xr": xr, "web": web}
)


def offered_bps(settings: FlowSettings) -> float:
    """Mean payload that one user of a flow offers [bit/s]; NaN where it depends on the network."""
    if isinstance(settings, FtpFlow):
        return 8 * settings.file_bytes * settings.rate_hz
    if isinstance(settings, XrFlow):
        return settings.rate_mbps * 1e6
    if isinstance(settings, VoipFlow):
        speech, silence = 8 * _SPEECH_BYTES / _SPEECH_S, 8 * _SILENCE_BYTES / _SILENCE_S
        return settings.activity * speech + (1 - settings.activity) * silence
    return float("nan")


def step_ns(duration_s: float) -> int:
    """A duration in whole nanoseconds."""
    return round(duration_s * NS_PER_S)
