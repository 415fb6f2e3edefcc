"""Keys that a server has whatever its engine is."""

from __future__ import annotations

from pydantic import Field, field_validator

from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.serving.ran_sharing.settings import RanSharingSettings
from sim.serving.routing.registry import ROUTINGS
from sim.serving.sites_settings import SitesSettings


class ServerSettings(Settings):
    """Keys of every engine; an engine's own settings add to them."""

    replicas: int = Field(default=1, ge=1, le=1024)
    """Servers alike, each with its own memory; a request stays with the one that it is sent to."""
    routing: str = "least_loaded"
    """Which replica a request is sent to: `round_robin`, `least_loaded` (fewest requests under way), or
    `session_affinity` (the one that had the chat session's last turn)."""
    ran_sharing: RanSharingSettings | None = None
    """Layer 1 of the link's cells beside the model (of the edge, over `nr`, with one replica): `mode`, `gpu`,
    `deadline_s`, `other_cells`, `other_load` and keys of the modes; without it layer 1 costs nothing."""

    sites: SitesSettings | None = None
    """Several sites of the edge, each with `replicas` servers: `placement`, delays and rates between them, `handover`,
    `outages` and `fallback`; without it one site beside the base station serves all cells and never fails."""

    @field_validator("routing")
    @classmethod
    def _routing_is_known(cls, name: str) -> str:
        try:
            return ROUTINGS.find(name).name
        except InputError as error:
            raise ValueError(str(error)) from error
