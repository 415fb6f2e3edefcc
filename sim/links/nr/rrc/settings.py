"""Keys of radio resource control: measurements, handover, radio link failure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from sim.core.settings import Settings


class MobilitySettings(Settings):
    """When a moving device changes its cell, what that costs, and when its radio link is lost."""

    handover_offset_db: float = Field(default=3.0, ge=-15, le=15)
    """Offset of event A3 (TS 38.331 5.5.4.4) [dB]: a neighbour counts once it is stronger by offset plus hysteresis."""

    handover_hysteresis_db: float = Field(default=3.0, ge=0, le=15)
    """Hysteresis of event A3 [dB]: by how much more than the offset a neighbour must be stronger."""

    time_to_trigger_s: float = Field(default=0.48, ge=0, le=5.12)
    """Time of which every measurement must meet that condition before a handover [s]."""

    l3_filter_k: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 17, 19] = 11
    """Filter coefficient k of measurements: F = (1 - a) F + a M, a = 1/2^(k/4) every 200 ms (TS 38.331 5.5.3.2)."""

    handover_interruption_s: float = Field(default=0.04, ge=0, le=10)
    """From leaving the old cell to the first grant in the new one [s]; what was in flight is sent again after it."""

    rlf_out_db: float = Field(default=-8.0, ge=-50, le=50)
    """Mean SINR of the downlink below which a device is out of synchronisation (Qout, TS 38.133 8.1) [dB]."""

    rlf_in_db: float = Field(default=-6.0, ge=-50, le=50)
    """Mean SINR above which it is in synchronisation, and which a cell needs to be chosen (Qin) [dB]."""

    n310: int = Field(default=1, ge=1, le=20)
    """Measurements out of synchronisation in a row that start T310 (TS 38.331 5.3.10)."""

    t310_s: float = Field(default=1.0, ge=0, le=10)
    """Time out of synchronisation after which the radio link has failed [s]."""

    n311: int = Field(default=1, ge=1, le=10)
    """Measurements in synchronisation in a row that stop T310."""

    reestablishment_s: float = Field(default=0.1, ge=0, le=10)
    """From finding a cell after a radio link failure to the first grant in it [s]."""

    outage_timeout_s: float = Field(default=10.0, gt=0, le=86_400)
    """How long a message waits for a device without a radio link before it fails, and its request with it [s]."""

    @field_validator("rlf_in_db")
    @classmethod
    def _in_is_above_out(cls, in_db: float, info: ValidationInfo) -> float:
        out_db = info.data.get("rlf_out_db", in_db)
        if in_db < out_db:
            raise ValueError(f"rlf_in_db: got {in_db}; valid: rlf_out_db, {out_db}, or more")
        return in_db
