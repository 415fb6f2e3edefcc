"""Keys of channel state information: when each device is measured, and what a report can say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from channels._validation import require_choice
from sim.core.settings import Settings

SRS_PERIODS_SLOTS = (1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 64, 80, 160, 320, 640, 1280, 2560)
"""SRS-PeriodicityAndOffset of TS 38.331."""


class CsiSettings(Settings):
    """Reports of the downlink by devices, and sounding of the uplink by the base station."""

    csi_period_slots: int = Field(default=10, ge=1, le=10_000)
    """Slots between two measurements of a device's channel."""

    csi_delay_slots: int = Field(default=4, ge=0, le=1000)
    """Slots from a measurement to its use."""

    srs_period_slots: int | None = None
    """Slots between two sounding reference signals of a device, by which the base station measures the uplink, one that
    TS 38.331 has: 1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 64, 80, 160 ... 2560; ``csi_period_slots`` if left out."""

    csi_offsets: Literal["common", "spread"] = "common"
    """``common``: all devices are measured in the same slot; ``spread``: each at an offset of its own in the period, in
    a slot of the direction."""

    csi_report: Literal["gains", "cqi"] = "gains"
    """What a report of the downlink says: gains as they are, or a CQI of 4 bits and 2 bits more for each PRB group (TS
    38.214 5.2.2.1). The uplink, which the base station measures itself, is not quantised."""

    csi_interference: Literal["mean", "measured"] = "mean"
    """Interference that a report counts: a running mean over data slots, or that of the slot of its measurement
    (CSI-IM) without the fading of its sources."""

    @field_validator("srs_period_slots")
    @classmethod
    def _srs_period_is_legal(cls, period_slots: int | None) -> int | None:
        if period_slots is not None:
            require_choice("srs_period_slots", period_slots, SRS_PERIODS_SLOTS)
        return period_slots
