"""RLC acknowledged mode: polls, status reports and timers by hand, and nothing lost or counted twice under losses."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.phy.receiver import Receiver
from sim.links.nr.rlc.acknowledged import ReceivingSide, StatusReport, TransmittingSide
from sim.links.nr.rlc.message import Message, Pdu, Segment
from tests.links.nr.traffic import run

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK
_SLOT_NS = 500_000
# Frequency duplex, 30 kHz: slot n begins at n / 2 ms. Forty PDUs of downlink data are forty blocks.
_KEYS = {
    "channel": "ideal", "mcs": 4, "tdd_pattern": "F", "max_harq_retransmissions": 0, "transport_delay_s": 0.0,
    "rlc_feedback": "status", "poll_pdus": None, "t_reassembly_s": 0.01,
}  # fmt: skip


class LosesBlocks(Receiver):
    """Decodes all but the blocks of one direction whose number, in order, is listed."""

    def __init__(self, direction, numbers):
        self.direction, self.numbers, self.count = direction, set(numbers), {UP: 0, DOWN: 0}
        self.sent = []

    def receive(self, direction, slot, blocks):
        for block in blocks:
            block.received = not (direction == self.direction and self.count[direction] in self.numbers)
            self.count[direction] += 1
            self.sent.append((direction, slot, block))


def one_message(lost, num_blocks=6, lost_in=DOWN, direction=DOWN, until_ns=None, **keys):
    """A message that fills so many blocks; its delivery, the link and the decoder's notes."""
    env = simpy.Environment()
    decoder = LosesBlocks(lost_in, lost)
    link = NrLink(env, 1, 1, NrLinkSettings(**{**_KEYS, **keys}), decoder)
    size = int(link.network.carrier.block_bytes(13 if direction == DOWN else 14)[4, -1])
    event = link.send(Packet(0, direction, 8 * (num_blocks * size - 150)))
    env.run(until_ns)
    return event, link, decoder


def slots_of(decoder, direction, kind=None):
    found = []
    for sent_in, slot, block in decoder.sent:
        kinds = {segment.message.packet.kind for segment in block.segments}
        if sent_in == direction and (kind is None or kind in kinds):
            found.append(slot)
    return found


def test_a_gap_is_told_after_the_reassembly_timer():
    """Block 2 of 6 is lost in slot 3; the next is taken in in slot 5, 20 slots later the report is due."""
    event, link, decoder = one_message([2])
    down = slots_of(decoder, DOWN)
    assert down[:6] == [1, 2, 3, 4, 5, 6]
    # The device asks in slot 25 and sends in 28: answer 27, K2 1. The sender knows in 29, and sends in that slot.
    assert slots_of(decoder, UP, "rlc_status")[0] == 28
    assert down[6] == 29
    assert event.value.notes["retransmission"] == (30 - 7) * _SLOT_NS
    figures = link.summary()
    # Polls at the ends of the buffer: in block 5, whose answer waits for the gap, and in the one sent again.
    assert figures["downlink_rlc_polls"] == figures["downlink_rlc_status_reports"] == 2


def test_nothing_lost_is_one_poll_and_one_report():
    event, link, decoder = one_message([])
    assert "retransmission" not in event.value.notes or not event.value.notes["retransmission"]
    assert len(slots_of(decoder, UP, "rlc_status")) == 1
    assert link.summary()["downlink_rlc_polls"] == 1


def test_a_lost_tail_waits_for_the_poll_timer():
    """The last block carries the poll and is lost: nobody misses it until t-PollRetransmit, 200 slots, has ended."""
    event, _, decoder = one_message([5])
    down = slots_of(decoder, DOWN)
    assert down[6] == down[5] + 200
    assert event.value.notes["retransmission"] == 200 * _SLOT_NS


def test_a_lost_report_is_asked_for_again():
    """All data has arrived and the report is lost: the last PDU is sent again for its poll, and counts once."""
    event, link, decoder = one_message([0], lost_in=UP)
    down = slots_of(decoder, DOWN)
    assert down[6] == down[5] + 200
    assert len(slots_of(decoder, UP, "rlc_status")) == 2
    assert event.value.total_ns == 8 * _SLOT_NS
    assert link.network.downlink.kpis.num_messages == 1
    assert not link.network.downlink.acknowledged._senders[0].unacknowledged


def test_uplink_data_is_reported_in_the_downlink():
    event, link, decoder = one_message([2], lost_in=UP, direction=UP)
    assert event.value.notes["retransmission"] > 20 * _SLOT_NS
    assert slots_of(decoder, DOWN, "rlc_status")
    assert link.summary()["uplink_rlc_status_reports"] == 2


def test_reports_are_prohibited_for_a_while():
    """Every third block polls; with t-StatusProhibit of 10 ms there is a report every 20 slots at most."""
    times = {}
    for prohibit_s in (0.0, 0.01):
        _, link, decoder = one_message([], 60, poll_bytes=1000, t_status_prohibit_s=prohibit_s)
        times[prohibit_s] = slots_of(decoder, UP, "rlc_status")
        assert link.summary()["downlink_rlc_polls"] == 21
    # Without it, one per access of the uplink.
    assert len(times[0.0]) > 10
    assert 3 <= len(times[0.01]) <= 5
    assert np.diff(times[0.01]).min() >= 15


def test_polls_by_number():
    _, link, _ = one_message([], 40, poll_pdus=8)
    # Forty blocks, in each a piece or two of datagrams that follow each other.
    assert link.summary()["downlink_rlc_polls"] == pytest.approx(40 / 8 + 1, abs=1)


def test_too_many_resends_fail_the_radio_link():
    lost = range(5, 400)
    _, link, _ = one_message(lost, until_ns=3_000_000_000, max_rlc_retransmissions=4, t_poll_retransmit_s=0.02)
    assert link.summary()["radio_link_failures"] >= 1


@pytest.mark.parametrize("combine", [{}, {"poll_pdus": 4, "t_status_prohibit_s": 0.0}, {"configured_grant": True}])
def test_everything_arrives_once_under_losses_both_ways(combine):
    """Thirty per cent of all blocks are lost for good, data and reports."""
    keys = {
        "channel": "ideal", "mcs": 12, "block_error_rate": 0.3, "max_harq_retransmissions": 0,
        "rlc_feedback": "status", "t_reassembly_s": 0.01, "t_poll_retransmit_s": 0.03, **combine,
    }  # fmt: skip
    ran = run(4, 12, mean_bytes=6000, **keys)
    assert len(ran.sent) == 96
    for one in ran.sent:
        assert one.delivery.total_ns == one.arrived_ns - one.sent_ns == sum(one.delivery.notes.values())
    network = ran.link.network
    for mac in (network.uplink, network.downlink):
        total = sum(one.payload_bits for one in ran.sent if one.direction == mac.direction)
        assert mac.kpis.payload_bits.sum() == total
        assert all(queue.stream_bytes == 0 and len(queue) == 0 for queue in mac.queues)
        assert not any(sender.unacknowledged for sender in mac.acknowledged._senders)
        assert mac.kpis.num_lost > 20


def test_handovers_begin_anew():
    """Devices that change cells at 500 km/h: re-establishment loses nothing and counts nothing twice."""
    keys = {
        "num_sites": 7, "mobility": "linear", "speed_kmh": 500.0, "large_scale_period_s": 0.01, "min_distance_m": 0,
        "inter_site_distance_m": 40, "time_to_trigger_s": 0.02, "l3_filter_k": 4,
    }  # fmt: skip
    ran = run(8, 10, rlc_feedback="status", **keys)
    assert len(ran.sent) == 160
    network = ran.link.network
    assert network.links.counters.handovers.sum() > 0
    for mac in (network.uplink, network.downlink):
        total = sum(one.payload_bits for one in ran.sent if one.direction == mac.direction)
        assert mac.kpis.payload_bits.sum() == total


def test_a_receiver_walked_by_hand():
    """PDUs 0, 2, 1 with a poll on 2: no report before 1, as TS 38.322 5.3.4 says; the timer stops by itself."""
    message = Message(Packet(0, DOWN, 800), None, 0, 0, 300)
    pdus = [Pdu(message, 100 * n, 100 * (n + 1)) for n in range(3)]
    receiver = ReceivingSide()
    for number in (0, 2):
        pdus[number].receive(100 * number, 100 * (number + 1))
        assert not receiver.receive([(number, pdus[number])], 2 if number == 2 else -1)
    assert receiver.starts_waiting()
    assert receiver.report() == StatusReport(1, (), 3)
    timer = receiver.timer
    pdus[1].receive(100, 160)
    assert not receiver.receive([(1, pdus[1])], -1)
    assert receiver.give_up_waiting(timer)
    # PDU 1 is known in part: its bounds take four bytes more.
    assert receiver.report() == StatusReport(3, (1,), 9)
    pdus[1].receive(160, 200)
    receiver.receive([(1, pdus[1])], -1)
    assert receiver.report() == StatusReport(3, (), 3)


def test_what_is_under_way_is_not_sent_once_more():
    message = Message(Packet(0, DOWN, 800), None, 0, 0, 200)
    sender = TransmittingSide(None, None)
    segments = [Segment(message, 0, 100), Segment(message, 100, 200)]
    assert sender.send(segments, True)
    told = StatusReport(2, (0,), 5)
    assert sender.take(told) == []
    segments[0].pdu.pending_bytes = 0
    (again,) = sender.take(told)
    assert (again.start, again.stop, again.num_resent) == (0, 100, 0)
    assert sender.take(told) == []


def test_refusals():
    with pytest.raises(ValueError, match="t_reassembly_s means nothing under fixed feedback"):
        NrLinkSettings(t_reassembly_s=0.05)
