"""Keys of discontinuous reception and of the modem's power."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sim.core.settings import Settings


class SleepSettings(Settings):
    """When a connected device does not listen, and what its radio draws."""

    drx_cycle_s: float | None = Field(default=None, ge=0, le=10.24)
    """Cycle of discontinuous reception (TS 38.321 5.7) [s]: a device listens for ``drx_on_s`` of each, and for
    ``drx_inactivity_s`` after each grant; 0 is always. Left out, it is that of the profile: 0, or 0.16."""

    drx_on_s: float = Field(default=0.01, gt=0, le=1.6)
    """On-duration of each cycle [s]; devices are spread over the cycle."""

    drx_inactivity_s: float = Field(default=0.1, ge=0, le=2.56)
    """Time after a grant of new data for which a device keeps listening [s]."""

    modem_mw_per_unit: float = Field(default=1.0, gt=0, le=100)
    """What the relative power units of TR 38.840 are worth [mW]; 3GPP gives none, 1 is a common assumption."""

    @model_validator(mode="after")
    def _on_is_within_the_cycle(self) -> Self:
        if self.drx_cycle_s and self.drx_on_s > self.drx_cycle_s:
            raise ValueError(f"drx_on_s: got {self.drx_on_s}; valid: at most drx_cycle_s ({self.drx_cycle_s})")
        return self
