"""Counters of one direction in constant memory, and the cell's figures made from them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import numpy.typing as npt

from channels.theory import jain_index
from sim.core.clock import NS_PER_S
from sim.links.base import Delivery
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.rlc.message import Message

# Delays are counted in bins of 1 % from a microsecond to a thousand seconds.
_BIN_RATIO = 1.01
_FIRST_BIN_NS = 1e3
_NUM_BINS = 2084
_LOG_RATIO = log(_BIN_RATIO)


# Parts of a message's delay, in the order in which they pass.
DELAY_PARTS = (
    "sr_wait",
    "grant",
    "k2",
    "queue",
    "interruption",
    "air",
    "gaps",
    "retransmission",
    "reordering",
    "decode",
    "transport",
)
ACCESS_PARTS = ("sr_wait", "grant", "k2")
"""Those that the uplink alone has."""


class DelayHistogram:
    """Delays in logarithmic bins: any quantile to within 1 %."""

    def __init__(self) -> None:
        self._counts = [0] * _NUM_BINS

    def add(self, delay_ns: int) -> None:
        """Count a delay."""
        place = int(log(max(delay_ns, _FIRST_BIN_NS) / _FIRST_BIN_NS) / _LOG_RATIO)
        self._counts[min(place, _NUM_BINS - 1)] += 1

    def include(self, other: DelayHistogram) -> None:
        """Count all delays of another one."""
        self._counts = [own + more for own, more in zip(self._counts, other._counts, strict=True)]

    def quantile_s(self, probability: float) -> float:
        """Quantile [s]; NaN without delays."""
        total = sum(self._counts)
        if not total:
            return float("nan")
        place = int(np.searchsorted(np.cumsum(self._counts), probability * total, side="left"))
        return float(_FIRST_BIN_NS * _BIN_RATIO ** (place + 0.5) * 1e-9) if place else 0.0


class MacCounters:
    """What one direction has done so far.

    Args:
        num_devices: Devices of all cells.
        delay_parts: Parts that a message's delay may have.

    Attributes:
        prbs_used: PRBs of all transmissions.
        num_transmissions: Transmissions, first ones and retransmissions.
        num_first, num_first_failed: First transmissions, and those that failed.
        num_blocks: Blocks that ended: decoded, or given to the RLC.
        num_lost: Blocks that HARQ gave up and the RLC sent again.
        num_messages: Messages delivered.
        delay_ns: Their delays in all, by part.
    """

    def __init__(self, num_devices: int, delay_parts: Sequence[str] = DELAY_PARTS) -> None:
        # Plain numbers: blocks and messages come one by one.
        self._payload_bits = [0] * num_devices
        self._received_bits = [0] * num_devices
        self.prbs_used = 0
        self.num_transmissions = 0
        self.num_first = 0
        self.num_first_failed = 0
        self.num_lost = 0
        self.num_messages = 0
        self.delay_ns = dict.fromkeys(delay_parts, 0)
        self.access = DelayHistogram()

    @property
    def payload_bits(self) -> npt.NDArray[np.int64]:
        """Payload delivered to each device. [num_devices]."""
        return np.array(self._payload_bits, dtype=np.int64)

    @property
    def received_bits(self) -> npt.NDArray[np.int64]:
        """Bits of decoded blocks of each device, padding included. [num_devices]."""
        return np.array(self._received_bits, dtype=np.int64)

    def on_air(self, blocks: Sequence[TransportBlock]) -> None:
        """Count a slot's transmissions, their outcomes being known to the simulation."""
        self.num_transmissions += len(blocks)
        received_bits = self._received_bits
        for block in blocks:
            self.prbs_used += block.num_prb
            if not block.attempt:
                self.num_first += 1
                self.num_first_failed += not block.received
            if block.received:
                received_bits[block.device] += 8 * block.size_bytes

    def on_delivery(self, message: Message, delivery: Delivery) -> None:
        """Count a delivered message."""
        self.num_messages += 1
        self._payload_bits[message.packet.device] += message.packet.payload_bits
        self.access.add(delivery.access_ns)
        totals = self.delay_ns
        for part, delay_ns in delivery.notes.items():
            totals[part] += delay_ns

    def figures(self, elapsed_s: float, prbs_offered: int) -> dict[str, float]:
        """Cell figures by name, units in the names."""
        ended = max(1, self.num_first)
        carried = self.received_bits[self.received_bits > 0]
        return {
            "messages": float(self.num_messages),
            "throughput_bps": float(self.payload_bits.sum()) / elapsed_s if elapsed_s else 0.0,
            "mac_throughput_bps": float(self.received_bits.sum()) / elapsed_s if elapsed_s else 0.0,
            "prb_utilisation": self.prbs_used / max(1, prbs_offered),
            "first_transmission_bler": self.num_first_failed / ended,
            "harq_rounds_mean": self.num_transmissions / ended,
            "rlc_retransmissions": float(self.num_lost),
            "access_p50_s": self.access.quantile_s(0.5),
            "access_p95_s": self.access.quantile_s(0.95),
            "access_p99_s": self.access.quantile_s(0.99),
            "jain_index": jain_index(carried) if len(carried) else float("nan"),
            **{
                f"{part}_per_message_s": delay_ns / NS_PER_S / self.num_messages if self.num_messages else float("nan")
                for part, delay_ns in self.delay_ns.items()
            },
        }
