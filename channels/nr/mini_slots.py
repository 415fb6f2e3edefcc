"""Slot patterns cut into mini-slots: units of 7 or 2 symbols in which is granted, sent and acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from channels._validation import require_choice
from channels.nr.numerology import SYMBOLS_PER_SLOT
from channels.nr.tdd import TddPattern

MINI_SLOT_SYMBOLS = (7, 2)
"""Lengths that fill a slot, of those that mapping type B allows (TS 38.214 Tables 5.1.2.1-1, 6.1.2.1-1)."""


@dataclass(frozen=True)
class MiniSlotPattern(TddPattern):
    """A pattern whose unit is a mini-slot: its numbers of slots are numbers of mini-slots.

    A mini-slot carries a direction's data on those of its symbols that the slot has for this direction; in a special
    slot that may be fewer.

    Attributes:
        unit_symbols: Symbols of a mini-slot, 7 or 2.
    """

    unit_symbols: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("mini_slot_symbols", self.unit_symbols, MINI_SLOT_SYMBOLS)

    @property
    def units_per_slot(self) -> int:
        """Mini-slots of a slot."""
        return SYMBOLS_PER_SLOT // self.unit_symbols

    @property
    def period_slots(self) -> int:
        """Mini-slots of one period."""
        return len(self.letters) * self.units_per_slot

    @cached_property
    def _slots(self) -> TddPattern:
        """The pattern in slots."""
        return TddPattern(
            self.letters,
            self.special_symbols,
            self.special_carries_pdsch,
            self.special_carries_pusch,
            self.special_carries_pucch,
        )

    def letter(self, slot: int) -> str:
        """Letter of the slot that a mini-slot is in."""
        return self._slots.letter(slot // self.units_per_slot)

    def _first_symbol(self, slot: int) -> int:
        return slot % self.units_per_slot * self.unit_symbols

    def carries_downlink_control(self, slot: int) -> bool:
        """Whether a DCI can be sent: D and F, and S where the mini-slot begins in the downlink."""
        if self.letter(slot) == "S":
            return self._first_symbol(slot) < self.special_symbols[0]
        return self._slots.carries_downlink_control(slot // self.units_per_slot)

    def carries_uplink_control(self, slot: int) -> bool:
        """Whether PUCCH has a place: U and F, and the last mini-slot of S if that is configured to carry it."""
        if self.letter(slot) == "S":
            return self.special_carries_pucch and slot % self.units_per_slot == self.units_per_slot - 1
        return self._slots.carries_uplink_control(slot // self.units_per_slot)

    def uplink_data_symbols(self, slot: int) -> int:
        """Symbols for PUSCH in a mini-slot."""
        whole = self._slots.uplink_data_symbols(slot // self.units_per_slot)
        first = self._first_symbol(slot)
        return max(0, first + self.unit_symbols - max(first, SYMBOLS_PER_SLOT - whole))

    def downlink_data_symbols(self, slot: int) -> int:
        """Symbols for PDCCH and PDSCH in a mini-slot."""
        whole = self._slots.downlink_data_symbols(slot // self.units_per_slot)
        first = self._first_symbol(slot)
        return max(0, min(first + self.unit_symbols, whole) - first)

    @property
    def uplink_fraction(self) -> float:
        """Share of all symbols that carry uplink data."""
        return self._slots.uplink_fraction

    @property
    def downlink_fraction(self) -> float:
        """Share of all symbols that carry downlink control and data."""
        return self._slots.downlink_fraction
