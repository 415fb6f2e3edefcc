"""Captures: read back byte by byte, by the framing of Wireshark's dissector and the subheaders of TS 38.321."""

from __future__ import annotations

import struct

import pytest

from channels.nr import bsr_levels_bytes
from sim.core.kernel import Environment
from sim.links.base import Direction
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.mac.pcap import subheader

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK


def packets(data):
    """Time and bytes of each packet of a capture file."""
    magic, major, minor, _, _, snap, link_type = struct.unpack("<IHHiIII", data[:24])
    assert (magic, major, minor, link_type) == (0xA1B2C3D4, 2, 4, 149)
    found, place = [], 24
    while place < len(data):
        seconds, micros, kept, length = struct.unpack("<IIII", data[place : place + 16])
        assert kept == length <= snap
        found.append((seconds + micros * 1e-6, data[place + 16 : place + 16 + kept]))
        place += 16 + kept
    assert place == len(data)
    return found


def context(packet):
    """UDP header, signature, fixed fields, then tags with values of implicit length up to the payload tag.

    That is the UDP framing format of packet-mac-nr.h.
    """
    assert struct.unpack(">HHHH", packet[:8])[2:] == (len(packet), 0xFFFF)
    assert packet[8:14] == b"mac-nr"
    packet = packet[14:]
    radio, direction, rnti_type = packet[:3]
    fields, place = {}, 3
    sizes = {0x02: 2, 0x03: 2, 0x07: 4}
    while packet[place] != 0x01:
        size = sizes[packet[place]]
        fields[packet[place]] = packet[place + 1 : place + 1 + size]
        place += 1 + size
    return radio, direction, rnti_type, fields, packet[place + 1 :]


def elements(pdu, direction):
    """LCID and payload of each MAC subPDU."""
    found, place = [], 0
    fixed = {61: 1} if direction == UP else {}
    while place < len(pdu):
        first = pdu[place]
        lcid = first & 0x3F
        assert not first & 0x80, "reserved bit"
        if lcid == 63:
            found.append((63, pdu[place + 1 :]))
            break
        if lcid in fixed:
            size, place = fixed[lcid], place + 1
        elif first & 0x40:
            size, place = struct.unpack(">H", pdu[place + 1 : place + 3])[0], place + 3
        else:
            size, place = pdu[place + 1], place + 2
        found.append((lcid, pdu[place : place + size]))
        place += size
    return found


@pytest.mark.parametrize(("pattern", "form"), [("F", "auto"), ("DDDSU", "long")])
def test_every_decoded_block_is_in_the_capture(pattern, form):
    flows = [
        {"kind": "ftp", "users": 0, "direction": "uplink", "five_qi": 7, "rate_hz": 200, "file_bytes": 3000},
        {"kind": "ftp", "users": 1, "rate_hz": 200, "file_bytes": 2000},
        {"kind": "ftp", "users": 0, "direction": "uplink", "five_qi": 8, "rate_hz": 200, "file_bytes": 3000},
    ]
    keys = {"record_pcap": True, "record_slots": True, "background": flows, "tdd_pattern": pattern, "bsr_format": form}
    settings = NrLinkSettings.model_validate(
        {"channel": "ideal", "mcs": 3, "bandwidth_mhz": 5, "block_error_rate": 0.2, **keys}
    )
    link = NrLink(Environment(), 2, 1, settings)
    link.env.run(150_000_000)
    decoded = [block for block in link.network.records.blocks if block.received]
    seen = packets(link.capture())
    assert len(seen) == len(decoded) > 50
    several = 0
    for (time_s, packet), block in zip(seen, decoded, strict=True):
        radio, direction, rnti_type, fields, pdu = context(packet)
        assert time_s == pytest.approx((block.slot + 1) * 0.5e-3, abs=1.1e-6)
        assert radio == (1 if pattern == "F" else 2)
        assert (UP, DOWN)[direction] == block.direction
        assert rnti_type == 3
        assert struct.unpack(">H", fields[0x02]) == (0x4601 + block.device,)
        assert struct.unpack(">H", fields[0x03]) == (1 + block.device,)
        assert struct.unpack(">HH", fields[0x07]) == (block.slot // 20 % 1024, block.slot % 20)
        assert len(pdu) == block.size_bytes
        parts = elements(pdu, block.direction)
        assert len([lcid for lcid, _ in parts if 4 <= lcid <= 6]) == len(block.carried)
        reports = [(lcid, payload) for lcid, payload in parts if lcid in (61, 62)]
        assert len(reports) == (block.direction == UP)
        for lcid, payload in reports:
            if lcid == 62:
                assert len(payload) == 1 + payload[0].bit_count()
                several += payload[0].bit_count() > 1
    assert several > 5


def test_subheaders_are_those_of_the_standard():
    """R, F, LCID and L: one byte of length below 256, two from there on, none for elements of fixed size."""
    assert subheader(4, 10) == b"\x04\x0a"
    assert subheader(4, 255) == b"\x04\xff"
    assert subheader(4, 256) == b"\x44\x01\x00"
    assert subheader(63, None) == b"\x3f"
    assert len(bsr_levels_bytes("long")) < 256 and len(bsr_levels_bytes("short")) == 31


def test_a_capture_is_bounded_and_made_on_request():
    keys = {"background": [{"kind": "full_buffer"}], "snr_db": 20.0}
    link = NrLink(Environment(), 1, 1, NrLinkSettings.model_validate({**keys, "record_pcap": True, "max_records": 7}))
    link.env.run(50_000_000)
    assert len(packets(link.capture())) == 7
    assert NrLink(Environment(), 1, 1, NrLinkSettings()).capture() is None
