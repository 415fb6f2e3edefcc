"""Keys of ``edge.sites``."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.serving.handover.registry import HANDOVERS


class OutageSettings(Settings):
    """A stretch of time in which a site is down."""

    site: int = Field(ge=0, le=1023)
    """Which site, from 0."""
    from_s: float = Field(ge=0)
    """When it fails: all that it holds and computes is lost."""
    to_s: float = Field(gt=0)
    """When it works again, empty."""

    @field_validator("to_s")
    @classmethod
    def _ends_after_its_begin(cls, to_s: float, info: ValidationInfo) -> float:
        if to_s <= info.data.get("from_s", 0.0):
            raise ValueError(f"to_s: got {to_s}; valid: above from_s ({info.data.get('from_s')})")
        return to_s


class SitesSettings(Settings):
    """Where the edge's servers stand, what joins them, and what happens at handovers and failures."""

    placement: Literal["per_cell", "per_cluster", "central"] = "per_cell"
    """A site at every cell, one for every `cells_per_site` cells, or one for all of them."""
    cells_per_site: int = Field(default=3, ge=1, le=57)
    """`per_cluster`: cells of one site, those of consecutive numbers."""
    fronthaul_delay_s: float = Field(default=0.0, ge=0, le=10)
    """One-way delay between a cell and its site, unless that stands at the cell."""
    fronthaul_mbps: float = Field(default=10_000.0, ge=1e-3, le=1e9)
    """Rate between a cell and its site, likewise."""
    xn_delay_s: float = Field(default=0.002, ge=0, le=10)
    """One-way delay between two sites."""
    xn_mbps: float = Field(default=1000.0, ge=1e-3, le=1e9)
    """Rate at which a site sends to others: messages one by one, keys and values one transfer after the other."""
    handover: str = "anchor"
    """What becomes of a request whose device comes to another site: `anchor` (stays, on a longer path), `move_kv` (keys
    and values are sent), `re_prefill` (they are computed anew), or `cheapest` (the faster one of both)."""
    pause_s: float = Field(default=0.005, ge=0, le=10)
    """From the arrival of keys and values until the new site can go on with them."""
    outages: list[OutageSettings] = Field(default=[], max_length=1000)
    """Failures of sites, each with `site`, `from_s` and `to_s`."""
    fallback: Literal["cloud", "draft", "none"] = "cloud"
    """Who goes on with requests of a site that is down: the cloud's server from the text so far, the device's draft
    model alone (another text than the target's), or nobody, so that they are given up."""
    detection_s: float = Field(default=0.05, ge=0, le=3600)
    """From the failure of a site until its cells know of it."""

    @field_validator("outages")
    @classmethod
    def _do_not_overlap(cls, outages: list[OutageSettings]) -> list[OutageSettings]:
        ordered = sorted(outages, key=lambda outage: (outage.site, outage.from_s))
        for before, after in pairwise(ordered):
            if before.site == after.site and after.from_s < before.to_s:
                raise ValueError(
                    f"site {after.site} is down from {before.from_s} to {before.to_s} s and again from {after.from_s} "
                    "s; valid: outages of a site one after the other"
                )
        return outages

    @field_validator("handover")
    @classmethod
    def _policy_is_known(cls, name: str) -> str:
        try:
            return HANDOVERS.find(name).name
        except InputError as error:
            raise ValueError(str(error)) from error

    def num_sites(self, num_cells: int) -> int:
        """How many sites so many cells have."""
        if self.placement == "central":
            return 1
        return num_cells if self.placement == "per_cell" else -(-num_cells // self.cells_per_site)

    def site_of(self, cell: int) -> int:
        """The site of a cell."""
        if self.placement == "central":
            return 0
        return cell if self.placement == "per_cell" else cell // self.cells_per_site
