"""Layer-2 and IP header bytes of a payload: UDP/IP, SDAP, PDCP, RLC, MAC."""

from __future__ import annotations

from dataclasses import dataclass

from channels._validation import require_choice

UDP_BYTES = 8
IP_BYTES = {4: 20, 6: 40}
SHORT_BSR_CE_BYTES = 1 + 1  # payload and fixed-size subheader, TS 38.321 6.1.3.1
PHR_CE_BYTES = 2 + 1  # TS 38.321 6.1.3.8


@dataclass(frozen=True)
class HeaderModel:
    """Header sizes of one data radio bearer.

    Attributes:
        ip_version: 4 or 6 (20 or 40 bytes; UDP adds 8).
        max_udp_payload_bytes: largest UDP payload in one datagram (1472 fills a 1500-byte MTU over IPv4).
        sdap_bytes: 1 with an SDAP header (TS 37.324 6.2.2.2), 0 without.
        pdcp_sn_bits: 12 or 18, 2 or 3 bytes (TS 38.323 6.2.2).
        rlc_mode: "am" or "um" (TS 38.322 6.2.2).
        rlc_sn_bits: AM 12 or 18; UM 6 or 12.
        pdcp_integrity: True adds the 4-byte MAC-I.
    """

    ip_version: int = 4
    max_udp_payload_bytes: int = 1472
    sdap_bytes: int = 1
    pdcp_sn_bits: int = 18
    rlc_mode: str = "am"
    rlc_sn_bits: int = 12
    pdcp_integrity: bool = False

    def __post_init__(self) -> None:
        require_choice("ip_version", self.ip_version, tuple(IP_BYTES))
        require_choice("sdap_bytes", self.sdap_bytes, (0, 1))
        require_choice("pdcp_sn_bits", self.pdcp_sn_bits, (12, 18))
        require_choice("rlc_mode", self.rlc_mode, ("am", "um"))
        require_choice(
            f"rlc_sn_bits of {self.rlc_mode}", self.rlc_sn_bits, (12, 18) if self.rlc_mode == "am" else (6, 12)
        )
        if self.max_udp_payload_bytes < 1:
            raise ValueError(f"max_udp_payload_bytes: got {self.max_udp_payload_bytes}; valid: >= 1")

    def rlc_header_bytes(self, segment: str = "complete") -> int:
        """RLC data PDU header of a "complete", "first" or "later" (with segment offset) piece (TS 38.322 6.2.2)."""
        require_choice("segment", segment, ("complete", "first", "later"))
        if self.rlc_mode == "am":
            base = 2 if self.rlc_sn_bits == 12 else 3
            return base + (2 if segment == "later" else 0)
        if segment == "complete":
            return 1
        base = 1 if self.rlc_sn_bits == 6 else 2
        return base + (2 if segment == "later" else 0)

    @staticmethod
    def mac_subheader_bytes(sdu_bytes: int) -> int:
        """2 bytes for SDUs below 256 bytes (8-bit L field), else 3 (TS 38.321 6.1.2)."""
        return 2 if sdu_bytes < 256 else 3

    @property
    def above_rlc_bytes(self) -> int:
        """UDP + IP + SDAP + PDCP bytes of one datagram."""
        pdcp = (2 if self.pdcp_sn_bits == 12 else 3) + (4 if self.pdcp_integrity else 0)
        return UDP_BYTES + IP_BYTES[self.ip_version] + self.sdap_bytes + pdcp

    def datagram_payloads_bytes(self, payload_bytes: int) -> list[int]:
        """UDP payload of each datagram that carries `payload_bytes` (an empty payload is one empty datagram)."""
        if payload_bytes < 0:
            raise ValueError(f"payload_bytes: got {payload_bytes}; valid: >= 0")
        full, rest = divmod(payload_bytes, self.max_udp_payload_bytes)
        return [self.max_udp_payload_bytes] * full + ([rest] if rest or not full else [])

    def layer2_bytes(self, payload_bytes: int) -> int:
        """Bytes at the MAC for `payload_bytes` of application data, unsegmented at the RLC.

        >>> HeaderModel().layer2_bytes(100)
        136
        """
        total = 0
        for payload in self.datagram_payloads_bytes(payload_bytes):
            rlc_pdu = payload + self.above_rlc_bytes + self.rlc_header_bytes()
            total += rlc_pdu + self.mac_subheader_bytes(rlc_pdu)
        return total
