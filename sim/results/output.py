"""What a run has produced: its tables, and figures of link and servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.results.tables import RunTables


@dataclass
class RunOutput:
    """What a run has produced.

    Attributes:
        tables: One row per request, one per round.
        link: Cell-wide figures of the link.
        figures: Of the measurement window, the servers of edge and cloud included, by column name.
        simulated_s: When the last request ended, or the run was stopped.
    """

    tables: RunTables
    link: dict[str, float]
    figures: dict[str, float]
    simulated_s: float

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Rows of ``requests`` in order of device and index, where they were kept in memory."""
        return self.tables.requests.rows

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """Rows of ``rounds``, likewise."""
        return self.tables.rounds.rows
