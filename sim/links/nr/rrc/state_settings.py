"""Keys of connection states: when a device leaves RRC connected, and how it comes back by random access."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from sim.core.settings import Settings

_NEEDS_STATES = (
    "rrc_release_to",
    "rrc_activation_s",
    "core_network_s",
    "paging_cycle_frames",
    "prach_period_frames",
    "num_preambles",
    "contention_timer_s",
    "ra_backoff_s",
    "max_preamble_transmissions",
    "background_preambles_per_s",
)


class StateSettings(Settings):
    """Connection states (TS 38.331 4.2.1) and four-step random access (TS 38.321 5.1)."""

    rrc_inactivity_s: float | None = Field(default=None, ge=0.01, le=3600, validate_default=False)
    """Time without data after which a device is released from RRC connected [s]; it begins the run released, and comes
    back by random access. Left out, devices are connected always."""

    rrc_release_to: Literal["inactive", "idle"] = "inactive"
    """What a released device is: ``inactive`` keeps its context at the base station, ``idle`` must set up everything
    anew."""

    rrc_activation_s: float | None = Field(default=None, ge=0, le=10)
    """From the base station's answer to the first grant [s]; left out, as TS 38.331 12 allows: 10 ms to resume from
    inactive, 25 ms for setup, security and reconfiguration from idle."""

    core_network_s: float = Field(default=0.02, ge=0, le=10)
    """Further time from idle: the service request through the core network [s]."""

    paging_cycle_frames: Literal[32, 64, 128, 256] = 128
    """Paging cycle of released devices [10 ms] (TS 38.304 7.1): a downlink message waits for its device's occasion."""

    prach_period_frames: Literal[1, 2, 4, 8, 16] = 1
    """Period of random access occasions [10 ms] (TS 38.211 6.3.3.2): one uplink slot of each, in every cell."""

    num_preambles: int = Field(default=54, ge=1, le=64)
    """Preambles of contention-based access; the rest of the 64 are reserved."""

    contention_timer_s: float = Field(default=0.064, ge=0.008, le=0.064)
    """Time after message 3 at which who has not been answered tries again (ra-ContentionResolutionTimer) [s]."""

    ra_backoff_s: float = Field(default=0.02, ge=0, le=1.92)
    """Longest wait, uniform from 0, before another preamble (TS 38.321 7.2) [s]."""

    max_preamble_transmissions: Literal[3, 4, 5, 6, 7, 8, 10, 20, 50, 100, 200] = 10
    """Preambles after which random access has failed (preambleTransMax), a radio link failure: the device begins anew
    after ``reestablishment_s``, and its messages fail that have waited for ``outage_timeout_s``."""

    background_preambles_per_s: float = Field(default=0.0, ge=0, le=1e5)
    """Preambles of other users that reach each cell, Poisson [1/s]: a stadium's worth collides with everyone."""

    @field_validator(*_NEEDS_STATES)
    @classmethod
    def _states_are_modelled(cls, value: object, info: ValidationInfo) -> object:
        default = cls.model_fields[str(info.field_name)].default
        if value != default and "rrc_inactivity_s" in info.data and info.data["rrc_inactivity_s"] is None:
            raise ValueError(
                f"{info.field_name} means nothing while devices stay connected; valid: with rrc_inactivity_s"
            )
        return value
