"""The carrier as the MAC sees it: which slot may do what, PRB groups, and the size of any transport block."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from channels.nr import (
    SYMBOLS_PER_SLOT,
    mcs_table,
    min_k2,
    num_prb,
    numerology_of,
    prb_group_centres_hz,
    prb_group_sizes,
    processing_symbols,
    transport_block_bits,
)
from sim.core.clock import to_ns
from sim.links.base import Direction
from sim.links.nr.carrier_settings import block_dmrs_symbols, data_symbols, slot_pattern
from sim.links.nr.settings import NrLinkSettings

Indices = npt.NDArray[np.int64]
# Both CDM groups of type 1, which separate up to four layers: no data beside them.
_DMRS_RE_PER_SYMBOL = 12
# RBG size by carrier width, configuration 1 of TS 38.214 Table 5.1.2.2.1-1.
_RBG_SIZES = ((36, 2), (72, 4), (144, 8), (275, 16))


class Carrier:
    """Slots, PRBs and block sizes of one carrier; slot n starts at n * ``slot_ns``.

    With mini-slots, those are what is called a slot here and everywhere in the MAC.

    Args:
        settings: Keys of the link.

    Attributes:
        slot_ns: Duration of a slot, of a mini-slot with such.
        frame_slot_ns, units_per_slot: Duration of a slot of the frame structure, and mini-slots in it, else 1.
        symbols: Symbols of a slot, or of a mini-slot.
        num_prb: PRBs of the carrier.
        group_sizes: PRBs of each group, [num_groups].
        k2, k1: Least slots from grant to PUSCH, and from PDSCH to acknowledgement.
        decode_ns: From the end of a block to its delivery upwards.
    """

    def __init__(self, settings: NrLinkSettings) -> None:
        scs_khz = settings.scs_khz
        self.scs_khz = scs_khz
        self.symbols = settings.mini_slot_symbols or SYMBOLS_PER_SLOT
        self.units_per_slot = SYMBOLS_PER_SLOT // self.symbols
        self.frame_slot_ns = 1_000_000 >> numerology_of(scs_khz)
        self.slot_ns = self.frame_slot_ns // self.units_per_slot
        self.pattern = slot_pattern(settings)
        self.num_prb = num_prb(settings.bandwidth_mhz, scs_khz, settings.frequency_range)
        size = settings.prb_group_size or next(size for limit, size in _RBG_SIZES if self.num_prb <= limit)
        self.group_sizes = prb_group_sizes(self.num_prb, min(size, self.num_prb))
        self.group_centres_hz = prb_group_centres_hz(self.num_prb, min(size, self.num_prb), scs_khz)
        access = settings.access
        coreset = max(1, settings.pdcch_symbols)
        min_feasible_k2 = min_k2(scs_khz, settings.processing_capability, coreset, self.symbols)
        self.k2 = min_feasible_k2 if access.k2_slots is None else access.k2_slots
        n1 = processing_symbols("n1", scs_khz, settings.processing_capability)
        min_feasible_k1 = math.ceil((1 + n1) / self.symbols)
        self.k1 = min_feasible_k1 if access.k1_slots is None else access.k1_slots
        self.decision_slots = access.gnb_decision_slots
        latency = settings.decode_latency_s
        self.decode_ns = self.slot_ns if latency is None else to_ns(latency)
        self.mcs_table = mcs_table(settings.mcs_table)
        self._settings = settings
        # By slot of the period.
        self._uplink_symbols, self._downlink_symbols = data_symbols(settings, self.pattern)
        rows = {Direction.UPLINK: self._uplink_symbols, Direction.DOWNLINK: self._downlink_symbols}
        self._data_slots_before = {
            direction: [0, *accumulate(int(symbols > 0) for symbols in row)] for direction, row in rows.items()
        }
        self._sizes: dict[tuple[int, int], Indices] = {}
        self._size_lists: dict[tuple[int, int], list[list[int]]] = {}
        self._decisions = self._decision_offsets()

    @property
    def num_groups(self) -> int:
        """PRB groups of the carrier."""
        return len(self.group_sizes)

    @cached_property
    def sr_symbol_ns(self) -> int:
        """Offset of a slot's last symbol, which carries the scheduling request."""
        return self.slot_ns * (self.symbols - 1) // self.symbols

    def _decision_offsets(self) -> list[list[int]]:
        """For each slot of the period, the offsets to the uplink slots that it is the last to grant, nearest first."""
        period = self.pattern.period_slots
        offsets: list[list[int]] = [[] for _ in range(period)]
        for uplink in (s for s in range(period) if self._uplink_symbols[s]):
            back = self.k2
            while not self.pattern.carries_downlink_control(uplink - back):
                back += 1
            offsets[(uplink - back) % period].append(back)
        return [sorted(row) for row in offsets]

    def data_symbols(self, direction: Direction, slot: int) -> int:
        """Symbols that carry data (and DMRS) of a direction in a slot; 0 where it has none."""
        row = self._uplink_symbols if direction == Direction.UPLINK else self._downlink_symbols
        return row[slot % len(row)]

    def decided_at(self, slot: int) -> list[int]:
        """Uplink slots whose grants are decided in this slot: it is the last from which K2 reaches them."""
        return [slot + offset for offset in self._decisions[slot % len(self._decisions)]]

    @property
    def every_slot_decides(self) -> bool:
        """Whether all slots with downlink data decide about an uplink slot, as in FDD."""
        return all(bool(row) for row, symbols in zip(self._decisions, self._downlink_symbols, strict=True) if symbols)

    def max_symbols(self, direction: Direction) -> int:
        """Symbols of the slots that carry most data of a direction."""
        return max(self._uplink_symbols if direction == Direction.UPLINK else self._downlink_symbols)

    def next_decision(self, slot: int) -> int:
        """First slot >= ``slot`` that decides about an uplink slot."""
        while not self._decisions[slot % len(self._decisions)]:
            slot += 1
        return slot

    def next_data(self, direction: Direction, slot: int) -> int:
        """First slot >= ``slot`` that carries data of the direction."""
        row = self._uplink_symbols if direction == Direction.UPLINK else self._downlink_symbols
        while not row[slot % len(row)]:
            slot += 1
        return slot

    def num_data_slots(self, direction: Direction, slot: int) -> int:
        """Slots before ``slot`` that carry data of the direction."""
        before = self._data_slots_before[direction]
        periods, rest = divmod(slot, len(before) - 1)
        return periods * before[-1] + before[rest]

    def acknowledged_at(self, slot: int) -> int:
        """Slot that carries the acknowledgement of a downlink block."""
        return slot + self.pattern.smallest_k1(slot, self.k1)

    def first_slot_from(self, time_ns: int) -> int:
        """First slot that starts at or after a time."""
        return -(-time_ns // self.slot_ns)

    def data_fraction(self, direction: Direction) -> float:
        """Share of all symbols that carry data of the direction."""
        row = self._uplink_symbols if direction == Direction.UPLINK else self._downlink_symbols
        return sum(row) / (self.symbols * len(row))

    def block_bytes(self, num_symbols: int, num_layers: int = 1) -> Indices:
        """Transport block size of every MCS and number of PRBs. [num_mcs, num_prb + 1] bytes, column 0 is 0."""
        sizes = self._sizes.get((num_symbols, num_layers))
        if sizes is None:
            dmrs = block_dmrs_symbols(self._settings, num_symbols)
            table = self.mcs_table
            bits = transport_block_bits(
                np.arange(1, self.num_prb + 1)[None, :],
                num_symbols,
                dmrs * _DMRS_RE_PER_SYMBOL,
                self._settings.overhead_re_per_prb,
                table.modulation_order[:, None],
                table.code_rate[:, None],
                num_layers,
            )
            sizes = np.zeros((len(table), self.num_prb + 1), dtype=np.int64)
            sizes[:, 1:] = np.asarray(bits) // 8
            self._sizes[num_symbols, num_layers] = sizes
        return sizes

    def block_bytes_list(self, num_symbols: int, num_layers: int = 1) -> list[list[int]]:
        """``block_bytes`` as plain numbers, for look-up of single blocks. [num_mcs][num_prb + 1]."""
        sizes = self._size_lists.get((num_symbols, num_layers))
        if sizes is None:
            sizes = self._size_lists[num_symbols, num_layers] = self.block_bytes(num_symbols, num_layers).tolist()
        return sizes


class RequestOpportunities:
    """When each device may send a scheduling request: slots with (s - offset) mod P = 0 that carry uplink control.

    Args:
        carrier: The carrier.
        period_slots: P.

    Notes: devices are spread over the offsets at which any uplink slot falls.
    """

    def __init__(self, carrier: Carrier, period_slots: int) -> None:
        self._carrier = carrier
        self._period = period_slots
        pattern = carrier.pattern
        self._cycle = math.lcm(period_slots, pattern.period_slots)
        uplink = [slot for slot in range(self._cycle) if pattern.carries_uplink_control(slot)]
        self._offsets = sorted({slot % period_slots for slot in uplink})
        self._slots = {o: [slot for slot in uplink if slot % period_slots == o] for o in self._offsets}

    def slot(self, device: int, time_ns: int) -> int:
        """First opportunity of a device whose last symbol starts at or after a time."""
        earliest = -(-(time_ns - self._carrier.sr_symbol_ns) // self._carrier.slot_ns)
        slots = self._slots[self._offsets[device % len(self._offsets)]]
        cycles, rest = divmod(max(0, earliest), self._cycle)
        for slot in slots:
            if slot >= rest:
                return cycles * self._cycle + slot
        return (cycles + 1) * self._cycle + slots[0]
