"""The devices' part of a scenario: how many there are, when they ask, and over which window the run is measured."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from sim.core.settings import Settings

RENEWAL_PROCESSES = ("poisson", "gamma", "weibull", "constant")
_OF_A_VARIATION = ("gamma", "weibull")
# Of all devices together, where their number is given.
MAX_REQUESTS = 1_000_000
# More than any day's busiest hour over its mean.
MAX_FACTOR = 1e6


class DevicesSettings(Settings):
    """The devices (UEs) and when they ask."""

    count: int = Field(default=1, ge=1, le=100_000)
    """Devices in the cell."""
    requests: int | None = Field(default=None, ge=1, le=MAX_REQUESTS)
    """Requests that each device issues; 1 if not set. Under `duration_s` as many as fall into the window."""
    duration_s: float | None = Field(default=None, ge=1e-3, le=1e6)
    """Length of the measurement window. Requests are issued until it ends, and throughput, utilisation and load are
    those of the window; latencies are those of the requests issued in it."""
    warmup_s: float = Field(default=0.0, ge=0, le=1e6)
    """Time before the measurement window, in which requests are issued but not counted."""
    in_flight: Literal["drain", "cut"] = "drain"
    """What becomes of requests that are under way when the window ends: `drain` runs on until they have ended and
    counts their latencies, `cut` stops there and leaves them out."""
    arrivals: Literal["closed", "poisson", "gamma", "weibull", "constant"] | str = "closed"
    """When requests are issued. `closed`: after the last answer and a think time. `poisson`, `gamma`, `weibull` or
    `constant`: in an open loop with gaps of that distribution, queueing at the device. Or a file, in an open loop: CSV
    with columns time_s and, optionally, device, or a trace (Azure, BurstGPT, Mooncake); `trace` takes the times of
    the trace that `workload.prompts` names."""
    think_time_s: float = Field(default=0.0, ge=0, le=1e6)
    """Mean think time, exponentially distributed: before each request of a closed loop; in an open loop from an answer
    to the next request of the same chat (`workload.turns`)."""
    arrival_rate_hz: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Requests per second of each device, of an arrival process."""
    total_rate_hz: float | None = Field(default=None, ge=1e-6, le=1e6)
    """Requests per second of all devices together, of one arrival process whose requests go to devices at random."""
    arrival_cv: float | None = Field(default=None, ge=0.05, le=20)
    """Standard deviation over mean of the gaps of `gamma` and `weibull`; above 1 requests come in bursts."""
    diurnal: list[float] | str | None = None
    """Factors that the rate is multiplied by, each over an equal part of `diurnal_period_s`, again and again; or a CSV
    file with columns time_s (from when on) and factor."""
    diurnal_period_s: float = Field(default=86_400.0, ge=1e-3, le=1e6)
    """Time after which `diurnal` begins anew."""
    trace_speedup: float = Field(default=1.0, ge=1e-3, le=1e6)
    """What the times of a file are divided by: 2 doubles its load."""
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Larger is served first under `edge.policy: priority`; of use where kinds of devices differ in it."""
    os_memory_share: float | None = Field(default=None, ge=0, lt=1)
    """Share of a device's memory that its operating system and other applications take; the rest must hold the models'
    weights and the keys and values of a request's text, where the compute model knows these. The hardware's own share
    if not set."""
    tx_power_w: float = Field(default=0.8, ge=0, le=1e3)
    """Power that a device's radio draws while it sends, over links without slots; 23 dBm radiated at 0.3 efficiency and
    circuits. The `nr` link has the power states of TR 38.840 instead."""
    rx_power_w: float = Field(default=0.4, ge=0, le=1e3)
    """Power that a device's radio draws while it receives, over links without slots."""

    @property
    def requests_per_device(self) -> int | None:
        """Requests that each device issues; None if the window ends the run."""
        return (self.requests or 1) if self.duration_s is None else None

    @property
    def is_closed_loop(self) -> bool:
        """Whether a device asks after it was answered."""
        return self.arrivals == "closed"

    @property
    def end_s(self) -> float | None:
        """When the last request is issued; None if their number ends the run."""
        return None if self.duration_s is None else self.warmup_s + self.duration_s

    @model_validator(mode="after")
    def _arrivals_fit(self) -> DevicesSettings:
        rates = [key for key in ("arrival_rate_hz", "total_rate_hz") if getattr(self, key) is not None]
        if self.arrivals in RENEWAL_PROCESSES:
            if len(rates) != 1:
                raise ValueError(f"arrivals: {self.arrivals} needs arrival_rate_hz or total_rate_hz, one of them")
        elif rates or self.diurnal is not None:
            key = rates[0] if rates else "diurnal"
            raise ValueError(f"{key} has a meaning with arrivals: {', '.join(RENEWAL_PROCESSES)} only")
        if (self.arrivals in _OF_A_VARIATION) != (self.arrival_cv is not None):
            needs = "needs" if self.arrivals in _OF_A_VARIATION else "has no use for"
            raise ValueError(f"arrivals: {self.arrivals} {needs} arrival_cv")
        if self.trace_speedup != 1.0 and (self.is_closed_loop or self.arrivals in RENEWAL_PROCESSES):
            raise ValueError("trace_speedup has a meaning with arrivals from a file only")
        return self

    @model_validator(mode="after")
    def _window_fits(self) -> DevicesSettings:
        if self.duration_s is None:
            if self.warmup_s:
                raise ValueError("warmup_s has a meaning with duration_s only: without a window every request counts")
            if self.in_flight != "drain":
                raise ValueError("in_flight has a meaning with duration_s only: without a window every request ends")
        elif self.requests is not None:
            raise ValueError("requests has no meaning with duration_s: as many are issued as fall into the window")
        return self

    @model_validator(mode="after")
    def _factors_fit(self) -> DevicesSettings:
        if isinstance(self.diurnal, list):
            check_factors(self.diurnal)
        return self


def check_factors(factors: list[float]) -> None:
    """Refuse factors that no rate can have.

    Raises:
        ValueError: One is negative, or none is positive.
    """
    if not factors or min(factors) < 0 or not 0 < max(factors) <= MAX_FACTOR:
        raise ValueError(f"diurnal: expected factors from 0 to {MAX_FACTOR:g}, one of them positive")


def check_starts(starts_s: list[float], period_s: float) -> None:
    """Refuse times from which on factors hold, unless they begin at 0, ascend, and lie in the period.

    Raises:
        ValueError: They do not.
    """
    if starts_s[0] != 0 or any(later <= earlier for earlier, later in pairwise(starts_s)) or starts_s[-1] >= period_s:
        raise ValueError(f"time_s must begin at 0, ascend, and stay below diurnal_period_s ({period_s:g})")
