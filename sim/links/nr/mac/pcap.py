"""Decoded MAC PDUs as a capture file that Wireshark reads: the UDP framing of its dissector ``mac-nr``."""

from __future__ import annotations

import struct

from channels.nr import bsr_index
from sim.links.base import Direction
from sim.links.nr.phy.block import TransportBlock

DLT_USER_2 = 149
_FDD, _TDD = 1, 2
_C_RNTI_TYPE = 3
_RNTI_TAG, _UEID_TAG, _FRAME_SLOT_TAG, _PAYLOAD_TAG = 0x02, 0x03, 0x07, 0x01
_FIRST_RNTI = 0x4601
_FIRST_DRB_LCID = 4
_SHORT_BSR, _LONG_BSR, _PADDING = 61, 62, 63
_SIGNATURE = b"mac-nr"
_UDP_PORTS = (0xDEAD, 0xBEEF)
_UDP_HEADER_BYTES = 8
_NO_CHECKSUM = 0xFFFF
_SNAP_BYTES = 1 << 18
_NS_PER_FRAME = 10_000_000
_FRAMES = 1024


def subheader(lcid: int, length: int | None) -> bytes:
    """MAC subheader: R, F, LCID, and a length of 8 or 16 bits unless its element has a fixed one (TS 38.321 6.1.2)."""
    if length is None:
        return bytes([lcid])
    return bytes([lcid, length]) if length < 256 else struct.pack(">BH", 0x40 | lcid, length)


def mac_pdu(block: TransportBlock, direction: Direction) -> bytes:
    """A block's bytes: an SDU per segment, the buffer report behind them (uplink), and padding.

    SDUs hold the right number of zeros: RLC headers and datagrams have sizes here and no contents.
    """
    parts = []
    for segment in block.segments:
        # Longer SDUs have a subheader of 3 bytes, shorter ones of 2.
        length = segment.used_bytes - (3 if segment.used_bytes - 2 >= 256 else 2)
        lcid = _FIRST_DRB_LCID + segment.message.channel
        parts.append(subheader(lcid, length) + bytes(length))
    if direction == Direction.UPLINK:
        parts.append(buffer_report(block))
    used = sum(map(len, parts))
    if used < block.size_bytes:
        parts.append(subheader(_PADDING, None) + bytes(block.size_bytes - used - 1))
    return b"".join(parts)


def buffer_report(block: TransportBlock) -> bytes:
    """The buffer status report that a block carries: none, short or long (TS 38.321 6.1.3.1).

    Groups with data are numbered from 0 by falling priority.
    """
    form, groups = block.report
    if form == "short":
        index = int(bsr_index(groups[0], "short")) if groups else 0
        return subheader(_SHORT_BSR, None) + bytes([index])
    if form == "long":
        indices = bytes(int(bsr_index(level, "long")) for level in groups)
        return subheader(_LONG_BSR, 1 + len(indices)) + bytes([(1 << len(indices)) - 1]) + indices
    return b""


class MacCapture:
    """A capture in memory: the first blocks decoded, of all cells and both directions.

    Args:
        is_fdd: Duplex mode.
        slot_ns: Duration of a slot, or of a mini-slot.
        frame_slot_ns: Duration of a slot of the frame structure.
        max_blocks: Blocks kept.

    Notes: a retransmission that is decoded appears once, in the slot in which it is. RNTIs count from 0x4601 by device.
    """

    def __init__(self, is_fdd: bool, slot_ns: int, frame_slot_ns: int, max_blocks: int) -> None:
        self._frame_slot_ns = frame_slot_ns
        self._radio, self._slot_ns, self._max_blocks = _FDD if is_fdd else _TDD, slot_ns, max_blocks
        self._packets: list[bytes] = []

    def add(self, slot: int, direction: Direction, block: TransportBlock) -> None:
        """Keep a block if it has been decoded."""
        if not block.received or len(self._packets) == self._max_blocks:
            return
        start_ns = slot * self._slot_ns
        frame, within_ns = divmod(start_ns, _NS_PER_FRAME)
        header = struct.pack(
            ">BBBBHBHBHHB",
            self._radio,
            int(direction == Direction.DOWNLINK),
            _C_RNTI_TYPE,
            _RNTI_TAG,
            (_FIRST_RNTI + block.device) & 0xFFFF,
            _UEID_TAG,
            (1 + block.device) & 0xFFFF,
            _FRAME_SLOT_TAG,
            frame % _FRAMES,
            within_ns // self._frame_slot_ns,
            _PAYLOAD_TAG,
        )
        framed = _SIGNATURE + header + mac_pdu(block, direction)
        data = struct.pack(">HHHH", *_UDP_PORTS, _UDP_HEADER_BYTES + len(framed), _NO_CHECKSUM) + framed
        end_ns = start_ns + self._slot_ns
        seconds, rest_ns = divmod(end_ns, 1_000_000_000)
        self._packets.append(struct.pack("<IIII", seconds, rest_ns // 1000, len(data), len(data)) + data)

    def file_bytes(self) -> bytes:
        """The whole file: libpcap, times in microseconds, link type DLT_USER2."""
        head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAP_BYTES, DLT_USER_2)
        return head + b"".join(self._packets)
