"""TDD patterns as strings: which slot carries what, with the special slot's symbols; 'F' is FDD."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from channels._validation import require_choice
from channels.nr.numerology import SYMBOLS_PER_SLOT, numerology_of

_LETTERS = "DSUF"
TDD_PERIODS_MS = (0.5, 0.625, 1.0, 1.25, 2.0, 2.5, 3.0, 4.0, 5.0, 10.0)
"""dl-UL-TransmissionPeriodicity of TS 38.331."""
_FRAMES_MS = 20.0
"""What the sum of two periods must divide (TS 38.213 11.1)."""


def tdd_period_slots(scs_khz: int) -> tuple[int, ...]:
    """Slots that a pattern may have: of one period of TS 38.331, or of two in a row whose sum divides 20 ms.

    >>> tdd_period_slots(30)
    (1, 2, 4, 5, 6, 8, 10, 20, 40)
    """
    sums = {one + other for one in TDD_PERIODS_MS for other in TDD_PERIODS_MS if not _FRAMES_MS % (one + other)}
    slots = {period_ms * (1 << numerology_of(scs_khz)) for period_ms in (*TDD_PERIODS_MS, *sums)}
    return tuple(sorted(int(count) for count in slots if count.is_integer()))


@dataclass(frozen=True)
class TddPattern:
    """A slot pattern repeated for ever: D downlink, U uplink, S special, F both at once (FDD).

    Attributes:
        letters: e.g. "DDDSU", or "F" for FDD (a paired carrier: every slot is downlink and uplink).
        special_symbols: (downlink, guard, uplink) symbols of S, summing to 14.
        special_carries_pdsch: whether S carries downlink data in its downlink symbols.
        special_carries_pusch: whether S carries uplink data in its uplink symbols; commonly not.
        special_carries_pucch: whether S carries scheduling requests and HARQ-ACK in its last symbol.

    Raises:
        ValueError: unknown letter, no uplink slot, no downlink slot, or symbols that do not sum to 14.
    """

    letters: str
    special_symbols: tuple[int, int, int] = (10, 2, 2)
    special_carries_pdsch: bool = True
    special_carries_pusch: bool = False
    special_carries_pucch: bool = False

    def __post_init__(self) -> None:
        if not self.letters:
            raise ValueError("tdd_pattern: got ''; valid: letters D, S, U, F, e.g. DDDSU or F")
        for letter in self.letters:
            require_choice(f"tdd_pattern {self.letters!r}, letter", letter, tuple(_LETTERS))
        if "F" in self.letters and set(self.letters) != {"F"}:
            raise ValueError(f"tdd_pattern: got {self.letters!r}; F (FDD) cannot be mixed with D, S, U")
        if any(count < 0 for count in self.special_symbols) or sum(self.special_symbols) != SYMBOLS_PER_SLOT:
            raise ValueError(f"special_symbols: got {self.special_symbols}; valid: three counts that sum to 14")
        if self.special_carries_pucch and not self.special_symbols[2]:
            raise ValueError(
                f"special_carries_pucch: got special_symbols {self.special_symbols}; valid: at least one uplink symbol"
            )
        if not set(self.letters) & set("UF"):
            raise ValueError(
                f"tdd_pattern: got {self.letters!r}, which has no uplink slot; valid: at least one U, or F"
            )
        if not set(self.letters) & set("DSF"):
            raise ValueError(
                f"tdd_pattern: got {self.letters!r}, which has no downlink slot; valid: at least one D, S or F"
            )

    @property
    def period_slots(self) -> int:
        """Slots in one period."""
        return len(self.letters)

    @property
    def is_fdd(self) -> bool:
        """True for the paired carrier."""
        return set(self.letters) == {"F"}

    def letter(self, slot: int) -> str:
        """Letter of an absolute slot number."""
        return self.letters[slot % len(self.letters)]

    def carries_downlink_control(self, slot: int) -> bool:
        """Whether a DCI can be sent: D, S and F."""
        return self.letter(slot) in "DSF"

    def carries_uplink_control(self, slot: int) -> bool:
        """Whether PUCCH (SR, HARQ-ACK) has a place: U and F, and S if configured to carry it."""
        return self.letter(slot) in ("USF" if self.special_carries_pucch else "UF")

    def uplink_data_symbols(self, slot: int) -> int:
        """Symbols for PUSCH in a slot: 14 in U and F, S's uplink symbols if configured to carry it, else 0."""
        letter = self.letter(slot)
        if letter == "S":
            return self.special_symbols[2] if self.special_carries_pusch else 0
        return SYMBOLS_PER_SLOT if letter in "UF" else 0

    def downlink_data_symbols(self, slot: int) -> int:
        """Symbols for PDCCH and PDSCH in a slot: 14 in D and F, S's downlink symbols if configured, else 0."""
        letter = self.letter(slot)
        if letter == "S":
            return self.special_symbols[0] if self.special_carries_pdsch else 0
        return SYMBOLS_PER_SLOT if letter in "DF" else 0

    @property
    def uplink_fraction(self) -> float:
        """Share of all symbols that carry uplink data."""
        return sum(self.uplink_data_symbols(s) for s in range(self.period_slots)) / (
            SYMBOLS_PER_SLOT * self.period_slots
        )

    @property
    def downlink_fraction(self) -> float:
        """Share of all symbols that carry downlink control and data."""
        total = sum(self.downlink_data_symbols(s) for s in range(self.period_slots))
        return total / (SYMBOLS_PER_SLOT * self.period_slots)

    def _scan(self, start_slot: int) -> Iterator[int]:
        return iter(range(start_slot, start_slot + 2 * self.period_slots))

    def next_downlink(self, slot: int) -> int:
        """First slot >= `slot` that carries a DCI."""
        return next(s for s in self._scan(slot) if self.carries_downlink_control(s))

    def next_uplink(self, slot: int) -> int:
        """First slot >= `slot` that carries PUSCH."""
        return next(s for s in self._scan(slot) if self.uplink_data_symbols(s) > 0)

    def next_uplink_control(self, slot: int) -> int:
        """First slot >= `slot` that carries PUCCH."""
        return next(s for s in self._scan(slot) if self.carries_uplink_control(s))

    def smallest_k2(self, downlink_slot: int, min_k2: int) -> int:
        """Smallest K2 >= `min_k2` that lands on a PUSCH slot, the one K2 of a downlink slot."""
        return self.next_uplink(downlink_slot + min_k2) - downlink_slot

    def smallest_k1(self, downlink_slot: int, min_k1: int) -> int:
        """Smallest K1 >= `min_k1` that lands on a PUCCH slot."""
        return self.next_uplink_control(downlink_slot + min_k1) - downlink_slot
