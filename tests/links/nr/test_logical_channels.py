"""Logical channels of a device: prioritisation (TS 38.321 5.4.3.1), buffer reports by group, traffic models' laws."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from channels.addressed import generator
from channels.nr import HeaderModel, bsr_reported_bytes
from channels.nr.five_qi import five_qi
from sim.core.kernel import Environment
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.rlc.logical_channels import LogicalChannel, LogicalChannels
from sim.links.nr.rlc.message import Message, Segmenter
from sim.links.nr.traffic.settings import FLOWS
from sim.links.nr.traffic.sources import SOURCES, num_embedded_objects, offered_bps

SEGMENTER = Segmenter(HeaderModel(), True)


def channels(*rows):
    """Queues of one device from (5QI, prioritised bytes per second, bucket bytes)."""
    made = [
        LogicalChannel(value, five_qi(value).priority_level, five_qi(value).weight, False, rate, bucket)
        for value, rate, bucket in rows
    ]
    return LogicalChannels(SEGMENTER, made)


def put(queue, channel, num_bytes):
    message = Message(Packet(0, Direction.UPLINK, 8 * num_bytes), simpy.Environment().event(), 0, 0, num_bytes)
    message.channel = channel
    queue.push(message)
    return message


def taken(segments):
    """Stream bytes by channel."""
    found = {}
    for segment in segments:
        channel = segment.message.channel
        found[channel] = found.get(channel, 0) + segment.stop - segment.start
    return found


def test_without_rates_priority_is_strict():
    queue = channels((9, 0, 0), (1, 0, 0), (80, 0, 0))
    for channel in range(3):
        put(queue, channel, 500)
    assert queue.head.channel == 1 and queue.head_bytes == 500
    assert list(taken(queue.fill(507))) == [1]
    assert list(taken(queue.fill(300))) == [2]
    assert list(taken(queue.fill(2000))) == [2, 0]
    assert queue.stream_bytes == len(queue) == queue.buffer_bytes == 0 and queue.head is None


def test_a_bucket_is_served_before_higher_priorities_take_the_rest():
    """Saturated channels, 1000-byte blocks every millisecond: the low one gets its rate, the high one all else."""
    rate = 200_000.0
    queue = channels((1, 0, 0), (9, rate, rate * 0.1))
    put(queue, 0, 10_000_000)
    put(queue, 1, 10_000_000)
    total = {0: 0, 1: 0}
    num_blocks = 2000
    for block in range(num_blocks):
        for segment in queue.fill(1000, block * 1_000_000):
            total[segment.message.channel] += segment.used_bytes
    # Whole datagrams at a time: within one datagram of the rate.
    assert total[1] == pytest.approx(rate * (num_blocks - 1) / 1000, abs=1600)
    assert total[0] + total[1] == pytest.approx(1000 * num_blocks, abs=5 * num_blocks)


def test_a_bucket_saves_up_no_more_than_its_size():
    queue = channels((1, 0, 0), (9, 1_000_000.0, 3000.0))
    put(queue, 0, 100_000)
    put(queue, 1, 100_000)
    first = taken(queue.fill(20_000, 10_000_000_000))
    # Two or three whole datagrams fill a bucket of 3000 bytes; without a limit it would be ten megabytes.
    assert 3000 <= first[1] <= 3100 + 1500 and first[0] > 15_000


def served(queue, num_blocks, block_bytes):
    """Bytes of blocks by channel, after each block."""
    total = dict.fromkeys(range(len(queue.channels)), 0)
    for block in range(num_blocks):
        for segment in queue.fill(block_bytes, block * 1_000_000):
            total[segment.message.channel] += segment.used_bytes
        yield total


@pytest.mark.parametrize("block_bytes", [300, 1000, 20_000])
def test_channels_of_equal_priority_are_served_equally(block_bytes):
    """TS 38.321 5.4.3.1.3, last step: after every block within a datagram of each other, whatever a block holds."""
    queue = channels((9, 0, 0), (1, 0, 0), (9, 0, 0), (9, 0, 0))
    for channel in (0, 2, 3):
        put(queue, channel, 10_000_000)
    for total in served(queue, 100, block_bytes):
        equal = total[0], total[2], total[3]
        assert max(equal) - min(equal) <= 1600
        assert queue.head.channel == (0, 2, 3)[equal.index(min(equal))]
    assert sum(total.values()) == pytest.approx(100 * block_bytes, rel=0.02) and total[1] == 0


def test_a_channel_without_data_saves_nothing_up():
    """Alone for a while, a channel owes nothing to one of its priority that comes later, nor that one to it."""
    queue = channels((9, 0, 0), (9, 0, 0))
    for first in (0, 1):
        put(queue, first, 100_000)
        list(served(queue, 45, 1000))
        put(queue, 1 - first, 100_000)
        *_, total = served(queue, 40, 1000)
        # The bound of start-time fair queueing: a datagram each.
        assert total[0] == pytest.approx(total[1], abs=3200)
        *_, total = served(queue, 200, 1000)
        assert queue.stream_bytes == 0


def test_buckets_of_equal_priority_take_turns():
    """Prioritised rates of 0.8 and 0.8 of what there is: half of it each."""
    queue = channels((9, 800_000.0, 80_000.0), (9, 800_000.0, 80_000.0))
    put(queue, 0, 10_000_000)
    put(queue, 1, 10_000_000)
    *_, total = served(queue, 2000, 1000)
    assert total[0] == pytest.approx(total[1], abs=3200)


def test_a_prioritised_rate_comes_on_top_of_an_equal_share():
    """Equal priorities, 1 MB/s, one with 200 kB/s of its own: 200 + 400 against 400."""
    queue = channels((9, 200_000.0, 20_000.0), (9, 0, 0))
    put(queue, 0, 10_000_000)
    put(queue, 1, 10_000_000)
    *_, total = served(queue, 2000, 1000)
    assert total[0] == pytest.approx(1_200_000, abs=3200 + 4000)
    assert total[1] == pytest.approx(800_000, abs=3200 + 4000)


def test_lost_bytes_go_back_to_their_own_channel():
    queue = channels((1, 0, 0), (9, 0, 0))
    messages = [put(queue, 0, 400), put(queue, 1, 700)]
    block = queue.fill(5000)
    assert queue.stream_bytes == 0
    queue.requeue(block)
    assert [inner.stream_bytes for inner in queue.queues] == [400, 700]
    messages[0].has_failed = True
    queue.drop_failed()
    assert [inner.stream_bytes for inner in queue.queues] == [0, 700]


def test_channels_of_one_5qi_are_one_group():
    queue = channels((9, 0, 0), (1, 0, 0), (9, 0, 0))
    assert queue.groups() == []
    put(queue, 0, 300)
    put(queue, 2, 100)
    (group,) = queue.groups()
    assert group.weight == 20 and 400 < group.buffer_bytes < 450
    put(queue, 1, 50)
    assert [round(group.weight) for group in queue.groups()] == [80, 20]


@pytest.mark.parametrize("form", ["auto", "short", "long"])
def test_a_report_tells_of_each_group(form):
    """Long: 8-bit levels of each group, 3 bytes and one per group; short: of the group of highest priority alone."""
    flows = [{"kind": "ftp", "users": 0, "five_qi": value, "direction": "uplink", "rate_hz": 1e-3} for value in (1, 80)]
    settings = NrLinkSettings.model_validate(
        {"background": flows, "channel": "ideal", "mcs": 5, "bsr_format": form, "scheduler": "qos"}
    )
    uplink = NrLink(Environment(), 1, 1, settings).network.uplink
    queue = uplink.queues[0]
    put(queue, 0, 3000)
    one = uplink._report_format(0)
    assert one == (("short", 2) if form != "long" else ("long", 4))
    put(queue, 1, 200)
    put(queue, 2, 40_000)
    name, num_bytes = uplink._report_format(0)
    levels, weight = uplink._report(0, name)
    waiting = [inner.buffer_bytes for inner in queue.queues]
    if form == "short":
        assert (name, num_bytes, weight) == ("short", 2, 80)
        assert levels == (bsr_reported_bytes(waiting[1], "short"),)
    else:
        assert (name, num_bytes, weight) == ("long", 6, 80 + 32 + 10)
        assert sum(levels) == sum(bsr_reported_bytes(waiting, "long"))


class Recorder:
    """A port without a network: every packet arrives after a millisecond."""

    def __init__(self):
        self.env = Environment()
        self.packets = []

    @property
    def now_s(self):
        return self.env.now * 1e-9

    def wait(self, duration_s):
        return self.env.timeout(round(duration_s * 1e9))

    def send(self, num_bytes):
        self.packets.append((self.now_s, num_bytes))
        return self.env.timeout(1_000_000)

    def run(self, kind, seconds, seed=1, **keys):
        settings = FLOWS[kind](**keys)
        self.env.process(SOURCES[kind](settings, self, generator(seed, "test")))
        self.env.run(round(seconds * 1e9))
        return np.array(self.packets), settings


def test_traffic_models_have_their_rates():
    """Means within 4.4 standard errors: each fails by chance once in 10^5."""
    files, settings = Recorder().run("ftp", 400, rate_hz=5.0)
    assert len(files) == pytest.approx(2000, abs=4.4 * np.sqrt(2000))
    assert offered_bps(settings) == 5 * 8 * 500_000
    frames, settings = Recorder().run("xr", 50)
    sizes = frames[:, 1] * 8
    assert len(frames) == pytest.approx(3000, abs=2)
    assert sizes.mean() == pytest.approx(500_000, abs=4.4 * 52_500 / np.sqrt(3000))
    assert sizes.std() / 500_000 == pytest.approx(0.105, rel=0.07)
    assert sizes.min() >= 250_000 and sizes.max() <= 750_000
    offsets = (frames[:, 0] - frames[0, 0]) * 60 - np.arange(len(frames))
    assert np.ptp(offsets) / 60 <= 0.008 + 1e-6 and offsets.std() / 60 == pytest.approx(0.00176, rel=0.08)
    # Two thousand seconds of talk spurts: the share of speech has a standard error of 1.6 %.
    speech, settings = Recorder().run("voip", 2000, activity=0.4)
    talking = (speech[:, 1] == 44).sum() * 0.02 / 2000
    assert talking == pytest.approx(0.4, abs=4.4 * 0.016)
    assert set(speech[:, 1]) == {44, 19}
    assert offered_bps(settings) == pytest.approx(0.4 * 17_600 + 0.6 * 950)


def test_web_pages_have_a_main_object_and_embedded_ones():
    """NGMN: sizes between their cuts, reading in between; a tenth of the pages is read too fast to be told apart."""
    objects, _ = Recorder().run("web", 20_000, reading_s=5.0)
    gaps = np.diff(objects[:, 0])
    pages = np.flatnonzero(gaps > 0.5)
    assert len(pages) == pytest.approx(20_000 / 5.15, rel=0.15)
    assert objects[:, 1].min() >= 50 and objects[:, 1].max() <= 2_000_000
    per_page = len(objects) / (len(pages) + 1)
    assert per_page == pytest.approx((1 + 5.64) / np.exp(-0.1), rel=0.15)


def test_pages_have_as_many_embedded_objects_in_the_mean_as_ngmn_says():
    """The Pareto number's mean less 2: 20 (1 - (2/55)^0.1) = 5.642; 4.4 standard errors, one false alarm in 10^5."""
    rng = generator(1, "test")
    counts = np.array([num_embedded_objects(rng) for _ in range(100_000)])
    expected = 20 * (1 - (2 / 55) ** 0.1)
    assert expected == pytest.approx(5.64, abs=0.005)
    assert counts.mean() == pytest.approx(expected, abs=4.4 * counts.std() / np.sqrt(len(counts)))
    assert counts.min() == 0 and counts.max() == 53
    assert 4.4 * counts.std() / np.sqrt(len(counts)) < 0.2


def test_5qis_are_those_of_the_standard():
    assert (five_qi(1).priority_level, five_qi(1).delay_budget_s) == (20, 0.1)
    assert five_qi(80).delay_budget_s == 0.01 and not five_qi(80).is_delay_critical
    assert five_qi(82).is_delay_critical and five_qi(82).weight == 81
    with pytest.raises(ValueError, match="five_qi: got 10; valid: 1, 2"):
        five_qi(10)
