"""Arrival processes: renewal processes of a mean rate and a coefficient of variation, scaled by the time of day.

A gap's coefficient of variation is 1 for a Poisson process; larger ones make bursts. Serving benchmarks state its
inverse square, the shape of a gamma distribution, as "burstiness".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from channels.text_files import TextFileError, number_in, read_table
from sim.core.errors import InputError
from sim.core.wording import counted
from sim.inputs.trace_files import MAX_ARRIVAL_S, Trace, read_trace
from sim.scenario.devices import MAX_FACTOR, RENEWAL_PROCESSES, DevicesSettings, check_factors, check_starts

Floats = npt.NDArray[np.float64]
DrawGaps = Callable[[np.random.Generator, int], Floats]
"""Draws gaps of mean 1."""

_DRAWN_AT_ONCE = 256
# Places of the random numbers of one seed; below them lie those of the devices.
_THINK, _ARRIVAL = 1 << 40, (1 << 40) + 1
_TOTAL, _DEVICE_OF = 1 << 50, (1 << 50) + 1
_TURN = 1 << 54


class Arrival(NamedTuple):
    """A request that comes.

    Attributes:
        time_s: When.
        device: At which device.
        number: Its number in its stream; that of its entry where the stream is a trace.
    """

    time_s: float
    device: int
    number: int


def gap_distribution(process: str, cv: float = 1.0) -> DrawGaps:
    """Gaps of mean 1 between arrivals.

    Args:
        process: One of ``RENEWAL_PROCESSES``.
        cv: Coefficient of variation of a gap, for ``gamma`` and ``weibull``.

    Raises:
        ValueError: No such process.
    """
    if process == "poisson":
        return lambda rng, count: -np.log1p(-rng.random(count))
    if process == "gamma":
        shape = 1 / cv**2
        return lambda rng, count: rng.gamma(shape, 1 / shape, count)
    if process == "weibull":
        exponent = weibull_shape(cv)
        scale = 1 / math.gamma(1 + 1 / exponent)
        return lambda rng, count: rng.weibull(exponent, count) * scale
    if process == "constant":
        return lambda rng, count: np.ones(count)  # noqa: ARG005
    raise ValueError(f"unknown arrival process {process!r}; valid: {', '.join(RENEWAL_PROCESSES)}")


def weibull_shape(cv: float) -> float:
    """Shape k of the Weibull distribution with a coefficient of variation: cv^2 = G(1 + 2/k) / G(1 + 1/k)^2 - 1."""
    from scipy.optimize import brentq

    def excess(log_shape: float) -> float:
        inverse = math.exp(-log_shape)
        return math.lgamma(1 + 2 * inverse) - 2 * math.lgamma(1 + inverse) - math.log1p(cv**2)

    return math.exp(brentq(excess, math.log(0.05), math.log(200.0), xtol=1e-12))


class RateProfile:
    """How the rate of arrivals follows the time: piecewise constant factors, repeated.

    Args:
        starts_s: When each factor begins to hold, ascending from 0.
        factors: What the mean rate is multiplied by; at least one is positive.
        period_s: When the first one holds again.
    """

    def __init__(self, starts_s: Sequence[float], factors: Sequence[float], period_s: float) -> None:
        self._edges_s = np.array([*starts_s, period_s], dtype=float)
        self._factors = np.array(factors, dtype=float)
        self._period_s = period_s
        self._work = np.concatenate([[0.0], np.cumsum(self._factors * np.diff(self._edges_s))])

    @property
    def mean_factor(self) -> float:
        """Time average of the factors."""
        return float(self._work[-1] / self._period_s)

    def factor_at(self, time_s: float) -> float:
        """The factor that holds at a time."""
        index = int(np.searchsorted(self._edges_s, time_s % self._period_s, side="right")) - 1
        return float(self._factors[min(index, len(self._factors) - 1)])

    def elapsed(self, time_s: float) -> float:
        """Integral of the factor up to a time [s]."""
        periods, rest = divmod(time_s, self._period_s)
        return float(periods * self._work[-1] + np.interp(rest, self._edges_s, self._work))

    def times_s(self, elapsed: Floats) -> Floats:
        """The times at which the factor's integral reaches given values, [n] each."""
        periods = np.floor(elapsed / self._work[-1])
        rest = elapsed - periods * self._work[-1]
        # Where a factor is 0 the integral stands still: what arrives then does so where the next one begins.
        index = np.clip(np.searchsorted(self._work, rest, side="right") - 1, 0, len(self._factors) - 1)
        within = (rest - self._work[index]) / np.where(self._factors[index] > 0, self._factors[index], 1.0)
        value: Floats = periods * self._period_s + self._edges_s[index] + within
        return value


def arrival_times_s(
    rate_hz: float,
    draw_gaps: DrawGaps,
    rng: np.random.Generator,
    profile: RateProfile | None = None,
    phase: bool = False,
) -> Iterator[float]:
    """Times of arrival, ascending, without an end.

    Args:
        rate_hz: Mean rate where the profile's factor is 1.
        draw_gaps: Distribution of the gaps.
        rng: Where they come from.
        profile: What the rate is multiplied by, by time; None for a constant rate.
        phase: Begin anywhere in the first gap, so that processes of constant gaps do not run in step.
    """
    elapsed = rng.random() - 1.0 if phase else 0.0
    while True:
        reached = elapsed + np.cumsum(draw_gaps(rng, _DRAWN_AT_ONCE))
        elapsed = float(reached[-1])
        times = reached / rate_hz if profile is None else profile.times_s(reached / rate_hz)
        yield from times.tolist()


def generator(seed: int, place: int) -> np.random.Generator:
    """Random numbers of a seed at a place, apart from those at all other places."""
    return np.random.Generator(np.random.Philox(key=[seed, place]))


def think_times_s(devices: DevicesSettings, seed: int, device: int) -> Iterator[float]:
    """Exponential think times of one device, one before each of its requests, without an end."""
    draw_gaps, rng = gap_distribution("poisson"), generator(seed, device * 2 + _THINK)
    while True:
        yield from (draw_gaps(rng, _DRAWN_AT_ONCE) * devices.think_time_s).tolist()


def turn_think_time_s(devices: DevicesSettings, seed: int, request: int) -> float:
    """Exponential think time after a request of a chat in an open loop, a function of seed and request alone."""
    return float(gap_distribution("poisson")(generator(seed, _TURN + request), 1)[0] * devices.think_time_s)


class Arrivals:
    """All arrivals of an open loop.

    Args:
        devices: When devices ask.
        seed: Master seed.
        trace: The trace of the workload, for ``arrivals: trace``.
        first_device: Index of the first of these devices.
        turns: Requests of which each arrival is the first: it begins a chat.

    Raises:
        InputError: A file that cannot be used, or has too few arrivals.
    """

    def __init__(
        self,
        devices: DevicesSettings,
        seed: int,
        trace: Trace | None = None,
        first_device: int = 0,
        turns: int = 1,
    ) -> None:
        self._devices = devices
        requests = devices.requests_per_device
        self._limit = None if requests is None else -(-requests // turns)
        self._first = first_device
        self._seed = seed
        self._profile = read_profile(devices)
        self._trace = None if devices.arrivals in RENEWAL_PROCESSES else self._read_trace(trace)

    def _read_trace(self, workload: Trace | None) -> Trace:
        source = self._devices.arrivals
        if source == "trace":
            if workload is None:
                raise InputError("trace needs a trace with times in workload.prompts", "devices.arrivals")
            return workload
        if not Path(source).is_file():
            message = f"expected closed, {', '.join(RENEWAL_PROCESSES)}, trace or a file, got {source!r} (no such file)"
            raise InputError(message, "devices.arrivals")
        return read_trace(Path(source), "devices.arrivals")

    @property
    def left_out(self) -> str | None:
        """How many requests of a trace are not issued, in words; None if all are, or without a trace."""
        if self._trace is None:
            return None
        known, devices = len(self._trace.entries), self._devices
        if self._limit is not None and (issued := min(known, self._limit * devices.count)) < known:
            why = f"{self._limit} from each device (devices.requests); devices.duration_s takes all up to its end"
            verb = "is" if issued == 1 else "are"
            return f"{issued} of the trace's {counted(known, 'request')} {verb} issued, {why}"
        in_time = sum(self._is_in_time(entry.time_s / devices.trace_speedup) for entry in self._trace.entries)
        verb = "comes" if in_time == 1 else "come"
        requests = counted(known, "request")
        return f"{in_time} of the trace's {requests} {verb} before the window ends" if in_time < known else None

    def streams(self) -> list[Iterator[Arrival]]:
        """Streams that are independent of each other, each ascending in time and with an end."""
        devices = self._devices
        if self._trace is not None:
            return [self._from_trace(self._trace)]
        if devices.total_rate_hz is not None:
            return [self._of_all(devices.total_rate_hz)]
        return [self._of_device(self._first + index) for index in range(devices.count)]

    def _times_s(self, rate_hz: float, place: int) -> Iterator[float]:
        devices = self._devices
        draw_gaps = gap_distribution(devices.arrivals, devices.arrival_cv or 1.0)
        rng = generator(self._seed, place)
        return arrival_times_s(rate_hz, draw_gaps, rng, self._profile, phase=devices.arrivals == "constant")

    def _of_device(self, device: int) -> Iterator[Arrival]:
        rate_hz, limit = self._devices.arrival_rate_hz, self._limit
        assert rate_hz is not None
        times = takewhile(self._is_in_time, self._times_s(rate_hz, device * 2 + _ARRIVAL))
        for number, time_s in enumerate(times):
            if limit is not None and number >= limit:
                return
            yield Arrival(time_s, device, number)

    def _of_all(self, rate_hz: float) -> Iterator[Arrival]:
        """One process; each of its arrivals is at a device chosen at random."""
        devices = self._devices
        limit = None if self._limit is None else self._limit * devices.count
        rng = generator(self._seed, _DEVICE_OF + 2 * self._first)
        times = self._times_s(rate_hz, _TOTAL + 2 * self._first)
        for number, time_s in enumerate(takewhile(self._is_in_time, times)):
            if limit is not None and number >= limit:
                return
            yield Arrival(time_s, self._first + int(rng.integers(devices.count)), number)

    def _is_in_time(self, time_s: float) -> bool:
        return self._devices.end_s is None or time_s < self._devices.end_s

    def _from_trace(self, trace: Trace) -> Iterator[Arrival]:
        """A trace's entries, those without a device in turn; as many per device as it issues, or up to the end.

        Where devices are of several kinds, the entries' devices are counted within the kind.
        """
        devices = self._devices
        limit = self._limit
        issued = [0] * devices.count
        for number, entry in enumerate(trace.entries):
            time_s = entry.time_s / devices.trace_speedup
            device = number % devices.count if entry.device is None else entry.device
            if not self._is_in_time(time_s):
                return
            if device >= devices.count:
                message = f"{entry.where}: device must be a whole number, 0 to {devices.count - 1}, got {device}"
                raise InputError(message, "devices.arrivals")
            if limit is None or issued[device] < limit:
                issued[device] += 1
                yield Arrival(time_s, self._first + device, number)
        if limit is not None and (short := [device for device, number in enumerate(issued) if number < limit]):
            source = self._devices.arrivals
            message = f"{source}: {issued[short[0]]} arrivals for device {short[0]}, which issues {limit} requests"
            raise InputError(message, "devices.arrivals")


def read_profile(devices: DevicesSettings) -> RateProfile | None:
    """How the rate follows the time, None if it does not.

    Raises:
        InputError: A table that cannot be used.
    """
    source, period_s = devices.diurnal, devices.diurnal_period_s
    if source is None:
        return None
    if isinstance(source, list):
        return RateProfile([period_s * index / len(source) for index in range(len(source))], source, period_s)
    try:
        starts_s, factors = _read_factors(Path(source))
    except TextFileError as error:
        raise InputError(str(error), "devices.diurnal") from error
    try:
        check_factors(factors)
        check_starts(starts_s, period_s)
    except ValueError as error:
        raise InputError(f"{source}: {error}", "devices.diurnal") from error
    return RateProfile(starts_s, factors, period_s)


def _read_factors(path: Path) -> tuple[list[float], list[float]]:
    starts_s: list[float] = []
    factors: list[float] = []
    for line, row in read_table(path, ["time_s", "factor"]):
        starts_s.append(number_in(row["time_s"], "time_s", 0, MAX_ARRIVAL_S, path, line))
        factors.append(number_in(row["factor"], "factor", 0, MAX_FACTOR, path, line))
    return starts_s, factors
