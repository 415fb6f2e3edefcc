"""Records of what each slot carried, for the picture of a cell and the timeline."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from sim.core.clock import NS_PER_S
from sim.links.base import Direction
from sim.links.nr.phy.block import TransportBlock


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """One transmission of one block.

    Attributes:
        slot: When it was on air.
        weights: PRBs of each group.
        attempt: 0 for a first transmission.
        sinr_db: Effective SINR after combining; NaN under the ideal channel.
        error_rate: Error rate that decided, NaN likewise.
        carried: Of each message with bytes in the block: when it was sent [ns], its kind, first byte and one past the
            last.
    """

    slot: int
    direction: Direction
    cell: int
    device: int
    prbs_per_group: tuple[int, ...]
    num_prb: int
    size_bytes: int
    mcs: int
    attempt: int
    sinr_db: float
    error_rate: float
    received: bool
    carried: tuple[tuple[int, str, int, int], ...] = ()


class SlotRecords:
    """The last transmissions, as many as are wanted; of a window of time the first ones.

    Args:
        max_records: Transmissions kept.
        slot_ns: Duration of a slot.
    """

    def __init__(self, max_records: int, slot_ns: int) -> None:
        self.blocks: deque[BlockRecord] = deque(maxlen=max_records)
        self._slot_ns = slot_ns
        self._window: range | None = None  # slots

    def only(self, start_ns: int, end_ns: int) -> None:
        """Note what begins in this window only."""
        self._window = range(-(-start_ns // self._slot_ns), -(-end_ns // self._slot_ns))

    def add(self, slot: int, direction: Direction, block: TransportBlock) -> None:
        """Note a transmission."""
        if self._window is not None and (slot not in self._window or len(self.blocks) == self.blocks.maxlen):
            return
        self.blocks.append(
            BlockRecord(
                slot,
                direction,
                block.cell,
                block.device,
                tuple(block.prbs_per_group),
                block.num_prb,
                block.size_bytes,
                block.mcs,
                block.attempt,
                block.sinr_db,
                block.error_rate,
                block.received,
                tuple([(c.message.sent_ns, c.message.packet.kind, c.start, c.stop) for c in block.segments]),
            )
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per transmission; PRBs of each group as numbers with blanks between."""
        return [
            {
                "slot": record.slot,
                "time_s": record.slot * self._slot_ns / NS_PER_S,
                "direction": str(record.direction),
                "cell": record.cell,
                "device": record.device,
                "attempt": record.attempt,
                "num_prb": record.num_prb,
                "prbs_by_group": " ".join(str(count) for count in record.prbs_per_group),
                "mcs": record.mcs,
                "size_bits": 8 * record.size_bytes,
                "sinr_db": record.sinr_db,
                "bler": record.error_rate,
                "received": record.received,
            }
            for record in self.blocks
        ]

    def spans(self) -> list[dict[str, Any]]:
        """One span per transmission, with its MCS, SINR, outcome, and what it carried of which messages."""
        return [
            {
                "name": f"{record.direction} MCS {record.mcs}" + (f" again {record.attempt}" if record.attempt else ""),
                "track": f"device {record.device} {record.direction}",
                "start_ns": record.slot * self._slot_ns,
                "end_ns": (record.slot + 1) * self._slot_ns,
                "args": {
                    "prbs": record.num_prb,
                    "bytes": record.size_bytes,
                    "sinr_db": record.sinr_db,
                    "error_rate": record.error_rate,
                    "received": record.received,
                    "carries": [f"{kind} bytes {start} to {stop}" for _, kind, start, stop in record.carried],
                },
                "flows": [(record.device, str(record.direction), sent_ns) for sent_ns, *_ in record.carried],
            }
            for record in self.blocks
        ]
