"""Standardised 5QIs (TS 23.501 Table 5.7.4-1): what a quality-of-service flow promises."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from channels._tables import load_table
from channels._validation import require_choice


class FiveQi(NamedTuple):
    """Characteristics of a 5QI.

    Attributes:
        value: The 5QI.
        resource_type: ``gbr``, ``non_gbr`` or ``delay_critical_gbr``.
        priority_level: Default priority level, 1 the highest.
        delay_budget_s: Packet delay budget between device and user plane function [s].
    """

    value: int
    resource_type: str
    priority_level: int
    delay_budget_s: float

    @property
    def weight(self) -> int:
        """Weight in 5G-LENA's QoS scheduler: 100 less the priority level."""
        return 100 - self.priority_level

    @property
    def is_delay_critical(self) -> bool:
        """Whether packets beyond the delay budget count as lost."""
        return self.resource_type == "delay_critical_gbr"


@cache
def _table() -> dict[int, FiveQi]:
    return {row[0]: FiveQi(row[0], row[1], row[2], row[3] / 1000) for row in load_table("nr_five_qi")["rows"]}


def five_qi(value: int) -> FiveQi:
    """Look a 5QI up.

    >>> five_qi(1).weight / five_qi(80).weight
    2.5

    Raises:
        ValueError: It is not in the table.
    """
    require_choice("five_qi", value, tuple(_table()))
    return _table()[value]
