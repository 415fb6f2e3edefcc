"""Figures of background flows."""

from __future__ import annotations

from sim.core.clock import NS_PER_S
from sim.links.nr.mac.counters import DelayHistogram


class FlowMeter:
    """What has become of the packets of one flow, or of several.

    Args:
        budget_ns: Packet delay budget.

    Attributes:
        offered_bits: Payload of packets sent; ``num_sent`` is their number.
        received_bits: Payload that has crossed the air, by the share of their layer-2 bytes.
        num_delivered, num_in_time: Packets delivered, and those within the delay budget.
        num_failed: Packets given up for lack of a radio link.
        delay_ns: Delays of the delivered ones in all.
    """

    def __init__(self, budget_ns: int) -> None:
        self.budget_ns = budget_ns
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self.offered_bits = self.num_sent = self.num_delivered = self.num_in_time = self.num_failed = 0
        self.delay_ns = 0
        self.received_bits = 0.0
        self.delays = DelayHistogram()

    def sent(self, payload_bits: int) -> None:
        """Count a packet that has been sent."""
        self.num_sent += 1
        self.offered_bits += payload_bits

    def received(self, payload_bits: float) -> None:
        """Count payload that has crossed the air."""
        self.received_bits += payload_bits

    def delivered(self, delay_ns: int) -> None:
        """Count a packet that has arrived."""
        self.num_delivered += 1
        self.num_in_time += delay_ns <= self.budget_ns
        self.delay_ns += delay_ns
        self.delays.add(delay_ns)

    def failed(self) -> None:
        """Count a packet that was given up."""
        self.num_failed += 1

    def add(self, other: FlowMeter) -> None:
        """Count all that another has counted."""
        for name in ("offered_bits", "num_sent", "num_delivered", "num_in_time", "num_failed", "delay_ns"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.received_bits += other.received_bits
        self.delays.include(other.delays)

    def figures(self, elapsed_s: float) -> dict[str, float]:
        """Figures by name, units in the names."""
        ended = self.num_delivered + self.num_failed
        delivered = self.num_delivered
        return {
            "packets": float(delivered),
            "offered_bps": self.offered_bits / elapsed_s if elapsed_s else 0.0,
            "throughput_bps": self.received_bits / elapsed_s if elapsed_s else 0.0,
            "delay_mean_s": self.delay_ns / NS_PER_S / delivered if delivered else float("nan"),
            "delay_p95_s": self.delays.quantile_s(0.95),
            "within_budget_share": self.num_in_time / ended if ended else float("nan"),
        }
