"""NR time base: numerology, slots and symbols, UE processing times, smallest K2, legal SR periods."""

from __future__ import annotations

import math

from channels._tables import load_table
from channels._validation import require_choice

SYMBOLS_PER_SLOT = 14
_SCS_KHZ = (15, 30, 60, 120)
# TS 38.211 4.1: T_c = 1 / (480e3 * 4096) s, kappa = 64.
_KAPPA_TC_S = 64 / (480e3 * 4096)


def numerology_of(scs_khz: int) -> int:
    """Mu of a subcarrier spacing: 15, 30, 60, 120 kHz -> 0..3 (TS 38.211 4.2)."""
    require_choice("scs_khz", scs_khz, _SCS_KHZ)
    return _SCS_KHZ.index(scs_khz)


def slot_duration_s(scs_khz: int) -> float:
    """Slot duration 2^-mu ms (TS 38.211 4.3.2)."""
    return 1e-3 / (1 << numerology_of(scs_khz))


def symbol_duration_s(scs_khz: int) -> float:
    """Mean OFDM symbol duration with its cyclic prefix: slot / 14."""
    return slot_duration_s(scs_khz) / SYMBOLS_PER_SLOT


def slots_per_frame(scs_khz: int) -> int:
    """Slots in a 10 ms frame: 10 * 2^mu."""
    return 10 * (1 << numerology_of(scs_khz))


def processing_symbols(kind: str, scs_khz: int, capability: int = 1) -> float:
    """N1 (PDSCH to HARQ-ACK) or N2 (DCI to PUSCH) in symbols (TS 38.214 Tables 5.3-1/-2, 6.4-1/-2).

    Args:
        kind: "n1" or "n2".
        capability: UE processing capability, 1 or 2 (2 exists for 15 to 60 kHz only).
    """
    require_choice("kind", kind, ("n1", "n2"))
    require_choice("capability", capability, (1, 2))
    row = load_table("nr_timing")[f"{kind}_symbols"][str(capability)]
    mu = numerology_of(scs_khz)
    if mu >= len(row):
        require_choice("scs_khz (processing capability 2)", scs_khz, _SCS_KHZ[: len(row)])
    return float(row[mu])


def _long_symbols_s(num_symbols: float, scs_khz: int) -> float:
    return num_symbols * (2048 + 144) * _KAPPA_TC_S / (1 << numerology_of(scs_khz))


def pdsch_processing_time_s(scs_khz: int, capability: int = 1, extra_symbols: float = 0.0) -> float:
    """T_proc,1 = (N1 + d) (2048 + 144) kappa 2^-mu T_c: PDSCH end to earliest HARQ-ACK (TS 38.214 5.3)."""
    return _long_symbols_s(processing_symbols("n1", scs_khz, capability) + extra_symbols, scs_khz)


def pusch_preparation_time_s(scs_khz: int, capability: int = 1, extra_symbols: float = 0.0) -> float:
    """T_proc,2 = (N2 + d) (2048 + 144) kappa 2^-mu T_c: DCI end to earliest PUSCH (TS 38.214 6.4, no BWP switch)."""
    return _long_symbols_s(processing_symbols("n2", scs_khz, capability) + extra_symbols, scs_khz)


def min_k2(scs_khz: int, capability: int = 1, coreset_symbols: int = 1, unit_symbols: int = SYMBOLS_PER_SLOT) -> int:
    """Smallest K2 [slots] that leaves N2 symbols between a CORESET at slot start and a PUSCH from symbol 0.

    With mini-slots of ``unit_symbols``, both and the result are in these.
    """
    return math.ceil((coreset_symbols + processing_symbols("n2", scs_khz, capability)) / unit_symbols)


def default_k2_rows(scs_khz: int) -> tuple[int, ...]:
    """K2 of the 16 rows of the default PUSCH time-domain allocation A (TS 38.214 6.1.2.1.1)."""
    table = load_table("nr_timing")
    offset = table["default_k2_offset_j"][numerology_of(scs_khz)]
    return tuple(offset + increment for increment in table["default_k2_row_increments"])


def sr_periods_slots(scs_khz: int) -> tuple[int, ...]:
    """Legal scheduling-request periods in slots (TS 38.331 SchedulingRequestResourceConfig)."""
    return tuple(load_table("nr_timing")["sr_periods_slots"][str(numerology_of(scs_khz))])


def check_sr_period(period_slots: int, scs_khz: int) -> int:
    """`period_slots` if legal at this subcarrier spacing, else ValueError with the legal periods."""
    require_choice(f"sr_period_slots at {scs_khz} kHz", period_slots, sr_periods_slots(scs_khz))
    return period_slots
