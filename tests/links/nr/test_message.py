"""Segmentation: bytes in, bytes out, headers as the clauses have them, at any sequence of block sizes."""

from __future__ import annotations

import itertools

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.nr import HeaderModel
from sim.links.base import Direction, Packet
from sim.links.nr.rlc.message import Message, Segmenter
from sim.links.nr.rlc.send_queue import SendQueue

HEADERS = HeaderModel()
PACKING = Segmenter(HEADERS, True)


def message(payload_bytes, segmenter=PACKING):
    packet = Packet(0, Direction.UPLINK, 8 * payload_bytes)
    return Message(packet, simpy.Environment().event(), 0, 0, segmenter.stream_bytes(payload_bytes))


@pytest.mark.parametrize("payload", [0, 1, 100, 220, 221, 1471, 1472, 1473, 5_000, 65_536])
def test_one_large_block_holds_the_unsegmented_layer_two_bytes(payload):
    total = PACKING.stream_bytes(payload)
    assert PACKING.take(0, total, total, 10**6) == (total, HEADERS.layer2_bytes(payload))
    # One byte less, and the last SDU is cut.
    taken, used = PACKING.take(0, total, total, HEADERS.layer2_bytes(payload) - 1)
    assert taken < total
    assert used <= HEADERS.layer2_bytes(payload) - 1


def test_pieces_worked_out_by_hand():
    # 1472 bytes of payload make one SDU of 1504; 512 bytes hold 507 of it: RLC 2, MAC 3.
    assert PACKING.take(0, 1504, 1504, 512) == (507, 512)
    # The rest goes with a segment offset: RLC 4, MAC 3.
    assert PACKING.take(507, 1504, 1504, 2000) == (997, 1004)
    # A piece below 256 bytes has a two-byte subheader.
    assert PACKING.take(507, 1504, 1504, 100) == (94, 100)
    assert PACKING.take(0, 1504, 1504, 4) == (0, 0)
    # Two whole SDUs and a piece of the third.
    assert PACKING.take(0, 4512, 4512, 4000) == (3008 + 977, 4000)


@given(
    st.lists(st.integers(0, 9_000), min_size=1, max_size=5),
    st.lists(st.integers(8, 6_000), min_size=1, max_size=30),
    st.integers(0, 2**30),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_every_byte_is_sent_once_and_lost_ones_again(payloads, rooms, losses, plain):
    segmenter = Segmenter(HEADERS, not plain)
    queue = SendQueue(segmenter)
    messages = [message(payload, segmenter) for payload in payloads]
    for one in messages:
        queue.push(one)
    total = sum(one.total_bytes for one in messages)
    received: dict[int, list[tuple[int, int]]] = {id(one): [] for one in messages}
    number = 0
    while queue.stream_bytes:
        room = max(rooms[number % len(rooms)], 8)
        segments = queue.fill(room)
        assert segments, (room, queue.stream_bytes)
        used = sum(segment.used_bytes for segment in segments)
        assert used <= room
        assert all(segment.used_bytes >= segment.stop - segment.start > 0 for segment in segments)
        lost = losses >> (number % 30) & 1 and number < 60
        if lost:
            queue.requeue(segments)
        else:
            for segment in segments:
                received[id(segment.message)].append((segment.start, segment.stop))
        number += 1
    assert sum(stop - start for pieces in received.values() for start, stop in pieces) == total
    for one in messages:
        edges = sorted(received[id(one)])
        assert edges[0][0] == 0
        assert edges[-1][1] == one.total_bytes
        assert all(left[1] == right[0] for left, right in itertools.pairwise(edges))


def test_a_buffer_report_never_promises_less_than_what_waits():
    for payload in (1, 100, 1472, 5_000, 65_536):
        queue = SendQueue(PACKING)
        queue.push(message(payload))
        assert queue.buffer_bytes >= HEADERS.layer2_bytes(payload)
        assert queue.buffer_bytes <= HEADERS.layer2_bytes(payload) + 16 + payload // 100
