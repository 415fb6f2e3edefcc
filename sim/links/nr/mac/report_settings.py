"""Keys of measurement reports and of controllers that act on them."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.links.nr.mac.xapps.registry import XAPPS


class ReportSettings(Settings):
    """What cells report about themselves, and who sets scheduler weights by it."""

    kpm_period_s: float | None = Field(default=None, ge=0.001, le=3600)
    """Period of the cells' measurement reports [s], a row of ``kpm.csv`` per cell, named as in TS 28.552; none if left
    out."""

    record_pcap: bool = False
    """Keep decoded MAC PDUs, ``max_records`` at most: ``mac_nr.pcap``, for Wireshark."""

    xapp: str | None = Field(default=None, validate_default=False)
    """Sets a weight for each device after each report, which the scheduler ``qos`` multiplies: a registered name, or
    ``module:Name``."""

    @field_validator("xapp")
    @classmethod
    def _xapp_exists(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None:
            return None
        try:
            XAPPS.find(name)
        except InputError as error:
            raise ValueError(str(error)) from None
        if info.data.get("kpm_period_s") is None:
            raise ValueError("xapp acts on reports; valid: with kpm_period_s")
        return name
