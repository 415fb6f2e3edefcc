"""Keys of the ``nr`` link about its carrier, and what they leave no room for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from channels.nr import SYMBOLS_PER_SLOT, mcs_table, processing_symbols, transport_block_bits
from channels.nr.bandwidth import SUBCARRIERS_PER_PRB
from channels.nr.mini_slots import MiniSlotPattern
from channels.nr.tdd import TddPattern, tdd_period_slots
from sim.core.errors import shortened
from sim.core.settings import Settings, problems_error

KEYS_DO_NOT_FIT = "keys_do_not_fit"
MIN_BLOCK_BYTES = 24
"""Wanted of the smallest grant: headers, a buffer report and some data."""
HEADERS_BYTES = 9
"""RLC and MAC header of a segment, a buffer report, and one byte of data."""
_SHORTEST = 2
# Blocks up to this length carry one DMRS symbol (TS 38.211 Table 6.4.1.1.3-3).
_SHORT_BLOCK_SYMBOLS = 7


class CarrierSettings(Settings):
    """The carrier: width, numerology, who may send when, and what each block spends on control."""

    scs_khz: Literal[15, 30, 60, 120] = 30
    """Subcarrier spacing [kHz]; the slot lasts 15/scs ms."""

    bandwidth_mhz: float = Field(default=20.0, gt=0, le=400, validate_default=True)
    """Channel bandwidth [MHz], one that TS 38.101 has at this subcarrier spacing in the carrier's range."""

    processing_capability: Literal[1, 2] = 1
    """Processing capability of devices (TS 38.214 5.3, 6.4), which sets the least K1 and K2 that are left out."""

    mini_slot_symbols: Literal[7, 2] | None = None
    """Symbols of mini-slots (mapping type B of TS 38.214): everything is granted, sent and acknowledged in these, and
    all keys in slots count them. Left out, the unit is the slot of 14 symbols. With 2 there is no room for
    ``pdcch_symbols``."""

    special_symbols: tuple[int, int, int] = (10, 2, 2)
    """Downlink, guard and uplink symbols of a special slot S; they sum to 14."""

    special_carries_pdsch: bool = True
    """Whether the special slot's downlink symbols carry data."""

    special_carries_pusch: bool = False
    """Whether the special slot's uplink symbols carry data."""

    special_carries_pucch: bool = False
    """Whether the special slot's last symbol carries scheduling requests and acknowledgements."""

    tdd_pattern: str = Field(default="DDDSU", validate_default=True)
    """Slots of one period: D downlink, U uplink, S special; ``F`` for FDD."""

    pdcch_symbols: int = Field(default=1, ge=0, le=3, validate_default=True)
    """Symbols of each downlink slot that carry control instead of data: they hold the control channel elements by which
    grants are announced, and come before the device's preparation time; 0 leaves control out."""

    @field_validator("pdcch_symbols")
    @classmethod
    def _control_leaves_room(cls, num_symbols: int, info: ValidationInfo) -> int:
        if num_symbols and info.data.get("mini_slot_symbols") == _SHORTEST:
            raise ValueError(f"pdcch_symbols: got {num_symbols}; valid: 0 with mini_slot_symbols {_SHORTEST}")
        return num_symbols

    dmrs_symbols: int = Field(default=2, ge=1, le=4)
    """DMRS symbols per slot, 12 resource elements per PRB each; short blocks of the special slot have one."""

    overhead_re_per_prb: Literal[0, 6, 12, 18] = 0
    """Further resource elements per PRB that carry no data (xOverhead of TS 38.214 5.1.3.2)."""

    prb_group_size: int | None = Field(default=None, ge=1, le=275)
    """PRBs per group, the unit of channel evaluation and scheduling; the RBG size of TS 38.214 if left out."""

    @field_validator("processing_capability")
    @classmethod
    def _capability_exists(cls, capability: int, info: ValidationInfo) -> int:
        if "scs_khz" in info.data:
            processing_symbols("n2", info.data["scs_khz"], capability)
        return capability

    @field_validator("special_symbols", mode="before")
    @classmethod
    def _three_counts(cls, symbols: object) -> object:
        if not isinstance(symbols, list | tuple) or len(symbols) != 3:
            raise ValueError(f"got {shortened(symbols)}; valid: a list of three, such as [10, 2, 2]")
        return symbols

    @field_validator("tdd_pattern")
    @classmethod
    def _pattern_is_sound(cls, letters: str, info: ValidationInfo) -> str:
        if "special_symbols" in info.data:
            pusch, pucch = (bool(info.data.get(f"special_carries_{what}", False)) for what in ("pusch", "pucch"))
            TddPattern(letters, info.data["special_symbols"], True, pusch, pucch)
        return letters

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        pattern = slot_pattern(self)
        problems = [*_period_misfits(self, pattern), *_special_slot_misfits(self), *_no_room(self, pattern)]
        if problems:
            raise problems_error([((key,), text, getattr(self, key)) for key, text in problems[:1]], KEYS_DO_NOT_FIT)
        return self


def slot_pattern(settings: CarrierSettings) -> TddPattern:
    """The pattern that the settings describe, in slots or in mini-slots."""
    keys = (
        settings.tdd_pattern,
        settings.special_symbols,
        settings.special_carries_pdsch,
        settings.special_carries_pusch,
        settings.special_carries_pucch,
    )
    if settings.mini_slot_symbols is None:
        return TddPattern(*keys)
    return MiniSlotPattern(*keys, unit_symbols=settings.mini_slot_symbols)


def data_symbols(settings: CarrierSettings, pattern: TddPattern) -> tuple[list[int], list[int]]:
    """Symbols of uplink and of downlink data, DMRS included, of the slots or mini-slots of a period."""
    slots, control = range(pattern.period_slots), settings.pdcch_symbols
    downlink = [max(0, pattern.downlink_data_symbols(slot) - control) for slot in slots]
    return [pattern.uplink_data_symbols(slot) for slot in slots], downlink


def block_dmrs_symbols(settings: CarrierSettings, num_symbols: int) -> int:
    """DMRS symbols of a block of so many symbols."""
    return settings.dmrs_symbols if num_symbols > _SHORT_BLOCK_SYMBOLS else 1


def _period_misfits(settings: CarrierSettings, pattern: TddPattern) -> Iterator[tuple[str, str]]:
    """A pattern that is as long as none of TS 38.331."""
    if pattern.is_fdd:
        return
    valid = tdd_period_slots(settings.scs_khz)
    if len(settings.tdd_pattern) not in valid:
        text = f"got {len(settings.tdd_pattern)} slots at {settings.scs_khz} kHz; valid: {', '.join(map(str, valid))}"
        yield "tdd_pattern", f"{text} (TS 38.331 dl-UL-TransmissionPeriodicity), or F"


def _special_slot_misfits(settings: CarrierSettings) -> Iterator[tuple[str, str]]:
    """A special slot that leaves no time to turn round, or no room for the control channel that it carries."""
    letters, (downlink, guard, uplink) = settings.tdd_pattern, settings.special_symbols
    if "S" not in letters:
        return
    if not guard and (uplink or "SU" in letters + letters[0]):
        yield "special_symbols", f"got {list(settings.special_symbols)}; valid: a guard symbol or more before uplink"
    unit = settings.mini_slot_symbols or SYMBOLS_PER_SLOT
    if unit < SYMBOLS_PER_SLOT and not downlink:
        return
    if min(downlink, downlink % unit or unit) < settings.pdcch_symbols:
        text = f"got {list(settings.special_symbols)}; valid: room for pdcch_symbols, {settings.pdcch_symbols}"
        what = "its downlink part" if settings.mini_slot_symbols is None else "the last mini-slot of its downlink part"
        yield "special_symbols", f"{text}, in {what}"


def _no_room(settings: CarrierSettings, pattern: TddPattern) -> Iterator[tuple[str, str]]:
    """Directions without data, and blocks that their reference signals and overhead fill."""
    uplink, downlink = data_symbols(settings, pattern)
    if not any(downlink):
        if "D" in settings.tdd_pattern or pattern.is_fdd:
            yield "pdcch_symbols", f"got {settings.pdcch_symbols}, which leaves no room for PDSCH; valid: fewer"
        elif not settings.special_carries_pdsch:
            text = f"false leaves no downlink data in {settings.tdd_pattern}; valid: true, or a D in tdd_pattern"
            yield "special_carries_pdsch", text
        else:
            text = f"got {list(settings.special_symbols)}, and no D in tdd_pattern {settings.tdd_pattern}: no room for"
            yield "special_symbols", f"{text} PDSCH; valid: more downlink symbols than pdcch_symbols"
    for what, counts in (("PUSCH", uplink), ("PDSCH", downlink)):
        for slot, count in enumerate(counts):
            if count and not _holds_data(settings, count):
                yield _too_short(settings, pattern.letter(slot), what, count)


def _holds_data(settings: CarrierSettings, num_symbols: int) -> bool:
    dmrs = block_dmrs_symbols(settings, num_symbols)
    return SUBCARRIERS_PER_PRB * (num_symbols - dmrs) > settings.overhead_re_per_prb


def _too_short(settings: CarrierSettings, letter: str, what: str, num_symbols: int) -> tuple[str, str]:
    """The key to blame for blocks without data."""
    taken = f"{num_symbols} symbol{'s' if num_symbols > 1 else ''} of {what}"
    taken += f" in {'a special slot' if letter == 'S' else 'a mini-slot'}"
    if settings.overhead_re_per_prb and num_symbols > block_dmrs_symbols(settings, num_symbols):
        text = f"got {settings.overhead_re_per_prb}, which with DMRS fills {taken}; valid: less"
        return "overhead_re_per_prb", text
    text = f"got {list(settings.special_symbols)}: DMRS fills {taken}; valid: more, or special_carries_{what.lower()}"
    return "special_symbols", f"{text}: false"


def smallest_blocks(settings: CarrierSettings, num_symbols: int, num_prbs: int, table: int, mcs: int) -> list[int]:
    """Bytes of blocks of an MCS on 1, 2, ... PRBs in so many symbols. [num_prbs]."""
    rows = mcs_table(table)
    bits = transport_block_bits(
        np.arange(1, num_prbs + 1),
        num_symbols,
        block_dmrs_symbols(settings, num_symbols) * SUBCARRIERS_PER_PRB,
        settings.overhead_re_per_prb,
        rows.modulation_order[mcs],
        rows.code_rate[mcs],
    )
    sizes: list[int] = (np.asarray(bits) // 8).tolist()
    return sizes


def header_misfits(settings: CarrierSettings, num_prbs: int, table: int, mcs: int) -> Iterator[tuple[str, str]]:
    """Carriers of which a whole slot holds no more than headers at the lowest MCS.

    Args:
        settings: Keys of the carrier.
        num_prbs: PRBs of the carrier.
        table, mcs: MCS table and lowest index in use.
    """
    for what, counts in zip(("PUSCH", "PDSCH"), data_symbols(settings, slot_pattern(settings)), strict=True):
        most = max(counts)
        num_bytes = smallest_blocks(settings, most, num_prbs, table, mcs)[-1]
        if num_bytes < HEADERS_BYTES:
            text = (
                f"got {settings.bandwidth_mhz:g}, {num_prbs} PRBs, on which {most} symbols of {what} carry {num_bytes}"
            )
            text += f" bytes at MCS {mcs} of table {table}, too few for headers; valid: more of them, or another mcs"
            yield "bandwidth_mhz", text
            return
