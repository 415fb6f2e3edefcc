"""Background traffic in a cell: nothing lost, load and file times in closed form, weights by 5QI."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from sim.core.kernel import Environment
from sim.links.base import Direction, Packet
from sim.links.nr import NrLink, NrLinkSettings
from sim.links.nr.mac.schedulers.registry import SCHEDULERS
from sim.links.nr.traffic.settings import FLOWS
from sim.links.processor_sharing import ProcessorSharing
from tests.invariants.test_every_key import another
from tests.links.nr.test_schedulers import view

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK
IDEAL = {"channel": "ideal", "mcs": 20, "tdd_pattern": "F", "bandwidth_mhz": 5}


def cell(flows, num_devices=2, seed=1, **keys):
    """A link with background flows in an environment of its own."""
    return NrLink(Environment(), num_devices, seed, NrLinkSettings.model_validate({"background": flows, **keys}))


def run(link, seconds):
    """Let traffic come for a time, and wait for all that is under way then."""
    link.env.run(round(seconds * 1e9))
    link.network.background.stop()
    link.env.run()
    return link


MIXED = [
    {"kind": "ftp", "rate_hz": 20, "file_bytes": 4000, "users": 2},
    {"kind": "ftp", "rate_hz": 20, "file_bytes": 3000, "users": 0, "direction": "uplink", "prioritised_mbps": 0.1},
    {"kind": "voip", "users": 0, "direction": "uplink"},
    {"kind": "xr", "rate_mbps": 1, "users": 0},
    {"kind": "web", "reading_s": 0.01, "users": 1},
    {"kind": "ftp", "rate_hz": 200, "file_bytes": 1500, "users": 1, "direction": "uplink", "five_qi": 80},
]
CASES = {
    "plain": IDEAL,
    "errors": {**IDEAL, "mcs": 8, "block_error_rate": 0.3, "max_harq_retransmissions": 1},
    "radio": {"snr_db": [14.0, 6.0], "bandwidth_mhz": 10, "scheduler": "qos"},
    "tdma": {**IDEAL, "multiplexing": "tdma", "scheduler": "qos"},
    "configured grants": {**IDEAL, "configured_grant": True},
    "asleep": {"snr_db": 15.0, "drx_cycle_s": 0.04},
    "moving": {"num_sites": 7, "mobility": "linear", "speed_kmh": 500.0, "large_scale_period_s": 0.01, "seed": 3},
}


@pytest.mark.parametrize("name", CASES)
def test_no_bit_is_lost_or_made(name):
    """All that flows and protocols send is delivered, each flow's bits for itself, and nothing is left behind."""
    keys = dict(CASES[name])
    link = cell(MIXED, seed=keys.pop("seed", 1), **keys)
    events = []
    for at_ms in range(0, 150, 15):
        link.env.process(_send_at(link, at_ms, events))
    run(link, 0.15)
    network = link.network
    for meter in network.background.meters:
        assert meter.num_sent == meter.num_delivered + meter.num_failed > 0
        if not meter.num_failed:
            assert meter.received_bits == pytest.approx(meter.offered_bits, rel=1e-9)
    for mac in (network.uplink, network.downlink):
        assert all(queue.stream_bytes == 0 and len(queue) == 0 for queue in mac.queues)
        assert not any(mac.resend)
        assert np.all(mac.num_free == network.settings.harq_processes)
        assert mac.kpis.num_messages == 10 * 2
        assert mac.kpis.payload_bits[2:].sum() == 0, "flows are no messages of a protocol"
    for sent_ns, event in events:
        assert event.value.total_ns == sum(event.value.notes.values())
        assert event.processed and sent_ns >= 0


def _send_at(link, at_ms, events):
    yield link.env.timeout(at_ms * 1_000_000)
    for device in (0, 1):
        for direction in (UP, DOWN):
            events.append((int(link.env.now), link.send(Packet(device, direction, 8 * 700))))


@pytest.mark.parametrize("load", [0.25, 0.5, 0.75])
def test_utilisation_is_the_offered_load(load):
    """PRBs used are those that the files offered need: M/G/1 with the carrier as server."""
    per_block = _payload_per_block()
    file_bytes = 40 * per_block
    slot_s = 0.5e-3
    rate = load / (40 * slot_s) / 4
    link = cell([{"kind": "ftp", "users": 4, "rate_hz": rate, "file_bytes": file_bytes}], **IDEAL)
    run(link, seconds := 5.0)
    files = link.network.background.meters[0].num_sent
    elapsed_s = int(link.env.now) * 1e-9
    used = link.summary()["downlink_prb_utilisation"] * elapsed_s / seconds
    assert used == pytest.approx(files * 40 * slot_s / seconds, rel=0.02)
    # The Poisson number of files has a standard error of 1/sqrt(n); false alarm at 4.4 of them: 1e-5.
    assert used == pytest.approx(load, rel=0.02 + 4.4 / np.sqrt(load / (40 * slot_s) * seconds))


def _payload_per_block():
    """Payload of a large file that a block of the whole carrier carries in the mean."""
    link = cell([], **IDEAL)
    link.send(Packet(0, DOWN, 8 * 500_000))
    link.env.run()
    return 500_000 // link.network.downlink.kpis.num_first


def test_file_times_are_those_of_processor_sharing():
    """FTP model 3 over a round robin: M/G/1 processor sharing, here as a fluid on the same arrivals, within 3 %."""
    per_block = _payload_per_block()
    num_slots, slot_ns = 40, 500_000
    file_bytes = num_slots * per_block
    load, users, seconds = 0.6, 60, 12
    rate = load / (num_slots * slot_ns * 1e-9) / users
    flows = [{"kind": "ftp", "users": users, "rate_hz": rate, "file_bytes": file_bytes}]
    link = cell(flows, scheduler="round_robin", **IDEAL)
    send, sent = link.network.background.send, []

    def noted(packet, place, meter):
        sent.append((int(link.env.now), packet.device))
        return send(packet, place, meter)

    link.network.background.send = noted
    run(link, seconds)
    (meter,) = link.network.background.meters
    fixed_ns = _alone_ns(file_bytes) - num_slots * slot_ns
    env = simpy.Environment()
    fluid = ProcessorSharing(env, lambda *_: [1.0] * 64, 64, 10**15, 0, 0.0)
    events = []

    def arrivals():
        for at_ns, device in sent:
            yield env.timeout(at_ns - int(env.now))
            events.append(fluid.send(Packet(device, DOWN, num_slots * slot_ns)))

    env.process(arrivals())
    env.run()
    expected_ns = float(np.mean([event.value.total_ns for event in events]))
    assert meter.num_delivered == len(events) > 280
    assert meter.delay_ns / meter.num_delivered - fixed_ns == pytest.approx(expected_ns, rel=0.03)


def _alone_ns(file_bytes):
    """Time of a file alone, mean over its place in the slot."""
    link = cell([], **IDEAL)
    delays = []
    for place in range(4):
        at_ns = (int(link.env.now) // 500_000 + 2) * 500_000 + 125_000 * place + 60_000
        link.env.run(at_ns)
        event = link.send(Packet(0, DOWN, 8 * file_bytes))
        link.env.run()
        delays.append(event.value.total_ns)
    return np.mean(delays)


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_saturated_flows_share_by_their_weights(direction):
    """5QI 1 against 80 under ``qos``: (100 - 20) / (100 - 68) = 2.5, within 10 % (5G-LENA's QoS scheduler suite)."""
    flows = [
        {"kind": "full_buffer", "users": 2, "five_qi": quality, "direction": str(direction)} for quality in (1, 80)
    ]
    link = cell(flows, scheduler="qos", snr_db=20.0, fading="none", tdd_pattern="F", bandwidth_mhz=10)
    link.env.run(1_000_000_000)
    voice, video = (row["throughput_bps"] for row in link.flows())
    assert voice / video == pytest.approx(2.5, rel=0.1)
    alike = cell(flows, scheduler="proportional_fair", snr_db=20.0, fading="none", tdd_pattern="F", bandwidth_mhz=10)
    alike.env.run(500_000_000)
    first, second = (row["throughput_bps"] for row in alike.flows())
    assert first / second == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_flows_of_one_priority_at_one_device_share_equally(direction):
    """Two full buffers of one 5QI; and one beside messages that are always there, of the same 5QI."""
    full = {"kind": "full_buffer", "users": 0, "five_qi": 9, "direction": str(direction)}
    link = cell([full, full], num_devices=1, **IDEAL)
    link.env.run(500_000_000)
    first, second = (row["throughput_bps"] for row in link.flows())
    assert first == pytest.approx(second, rel=0.01) and first + second > 8e6
    link = cell([full], num_devices=1, **IDEAL)

    def messages():
        pending = [link.send(Packet(0, direction, 8 * 100_000)) for _ in range(2)]
        while True:
            yield pending.pop(0)
            pending.append(link.send(Packet(0, direction, 8 * 100_000)))

    link.env.process(messages())
    link.env.run(1_000_000_000)
    (flow,) = link.flows()
    # Messages count when they are whole.
    assert link.summary()[f"{direction}_throughput_bps"] == pytest.approx(flow["throughput_bps"], abs=8 * 200_000)
    assert flow["throughput_bps"] == pytest.approx((first + second) / 2, rel=0.02)


def test_a_critical_message_gains_weight_with_its_delay():
    """Of two messages of delay-critical flows the one with less of its budget left comes first; of others not."""
    link = cell([], five_qi=85)
    assert link.network.downlink.heads.is_critical.all()
    assert link.network.downlink.weight.tolist() == [79.0, 79.0]
    assert not cell([]).network.downlink.heads.is_critical.any()
    late = {"head_of_line_s": [0.002, 0.008], "time_to_deadline_s": [0.008, 0.002], "weight": [80, 80]}
    qos = SCHEDULERS.find("qos").make(0.1)
    for is_critical, ratio in ((True, 4.0), (False, 1.0)):
        priority = qos.priority(view(2, **late, is_delay_critical=[is_critical] * 2))[:, 0]
        assert priority[1] / priority[0] == pytest.approx(ratio, rel=1e-12)


def test_flows_do_not_shift_each_others_randomness():
    """A flow's packets are the same whatever other flows there are, and the protocols' devices keep their channels."""
    flow = {"kind": "ftp", "rate_hz": 50, "file_bytes": 500}
    alone, beside = (cell([flow, *more]) for more in ([], [{"kind": "xr", "users": 3}]))
    for link in (alone, beside):
        link.env.run(500_000_000)
    assert alone.flows()[0]["offered_bps"] == beside.flows()[0]["offered_bps"]
    gains = [link.network.channel.gain_db[:3] for link in (alone, beside)]
    assert np.array_equal(*gains)


def test_the_same_seed_gives_the_same_traffic():
    rows = []
    for seed in (1, 1, 2):
        link = cell(MIXED, seed=seed, snr_db=10.0)
        link.env.run(200_000_000)
        rows.append(repr((link.flows(), link.summary())))
    assert rows[0] == rows[1] != rows[2]


def test_a_run_that_background_starves_ends_with_a_message(monkeypatch):
    """Files beyond capacity go before the protocols' messages of the same device: nothing of these ever arrives."""
    from sim import Scenario
    from sim import run as run_scenario
    from sim.core.errors import RunError

    monkeypatch.setattr("sim.runs.world.PATIENCE_NS", 300_000_000)
    flow = {"kind": "ftp", "users": 0, "direction": "uplink", "rate_hz": 50, "file_bytes": 100_000, "five_qi": 7}
    keys = {
        "devices": {"count": 1, "think_time_s": 0.5},
        "models": "embedded",
        "workload": {"max_new_tokens": 4},
        "protocol": {"name": "edge_only"},
        "compute": {"device": {"kind": "fixed"}, "edge": {"kind": "fixed"}},
    }
    with pytest.raises(RunError, match=r"messages of device 0 have waited for more than 0.3 s .* in_flight: cut"):
        run_scenario(Scenario.from_dict({**keys, "link": {"kind": "nr", "background": [flow], **IDEAL}}))
    # Half the capacity, or a rate of its own, lets it end.
    for mends in ({"background": [{**flow, "rate_hz": 2}]}, {"background": [flow], "prioritised_mbps": 1}):
        done = run_scenario(Scenario.from_dict({**keys, "link": {"kind": "nr", **IDEAL, **mends}}))
        assert done.summary["requests"] == 1


def test_without_background_there_are_no_columns_of_it():
    link = cell([])
    assert link.flows() == [] and not link.has_background
    assert not [name for name in link.summary() if "background" in name]


KIND_KEYS = [(kind, key) for kind, settings in FLOWS.items() for key in settings.model_fields if key != "kind"]
BASE_FLOW = {"ftp": {"rate_hz": 20, "file_bytes": 3000}, "web": {"reading_s": 0.05}, "xr": {"rate_mbps": 1}}
VALUES = {"five_qi": 82, "prioritised_mbps": 50.0, "users": 2, "activity": 1.0, "bucket_s": 1e-4}
VALUES_OF_KIND = {("voip", "five_qi"): 9, ("xr", "five_qi"): 9}
BESIDE = {
    "five_qi": {"users": 0},
    "prioritised_mbps": {"users": 0},
    "bucket_s": {"users": 0, "prioritised_mbps": 1.0},
}
BESIDE_OF_KIND = {("voip", "bucket_s"): {"prioritised_mbps": 0.02}}
# A flow of the same device that takes all that the first one leaves, or, of higher priority, all but its own rate.
RIVAL_FIVE_QI = {"prioritised_mbps": 5, "bucket_s": 5}


@pytest.mark.parametrize(("kind", "key"), KIND_KEYS)
def test_every_key_of_a_flow_changes_some_output(kind, key):
    base = {"kind": kind, **BASE_FLOW.get(kind, {}), **BESIDE.get(key, {}), **BESIDE_OF_KIND.get((kind, key), {})}
    info = FLOWS[kind].model_fields[key]
    values = {**VALUES, key: VALUES_OF_KIND.get((kind, key), VALUES.get(key))}
    value = values[key] if values[key] is not None else another(info, base.get(key, info.default))
    rival = {"kind": "full_buffer", "users": 0, "five_qi": RIVAL_FIVE_QI.get(key, 7)}
    messages = {"five_qi": 5, "num_devices": 1}
    seen = []
    for flow in (base, {**base, key: value}):
        link = cell([flow, rival], scheduler="qos", **messages, **IDEAL)
        link.env.run(300_000_000)
        # What was measured, not what was asked for.
        seen.append([repr((row["packets"], row["throughput_bps"], row["delay_mean_s"])) for row in link.flows()])
    assert seen[0] != seen[1], f"{kind}.{key}: {value!r} changes nothing"


@pytest.mark.parametrize(
    ("flows", "where", "message"),
    [
        ([{"kind": "ftp", "rate": 3}], (0, "rate"), "unknown key 'rate' (did you mean 'rate_hz'?)"),
        ([{"kind": "fpt"}], (0, "kind"), "unknown kind of flow 'fpt' (did you mean 'ftp'?); valid: full_buffer"),
        ([{"rate_hz": 3}], (0, "kind"), "no kind; valid: full_buffer, ftp"),
        ([{"kind": "voip"}, {"kind": "xr", "users": -1}], (1, "users"), "greater than or equal to 0, got -1"),
        ([{"kind": "ftp", "five_qi": 10}], (0, "five_qi"), "five_qi: got 10; valid: 1, 2, 3"),
        ([3], (0,), "expected a flow with its keys, got 3"),
        (
            [{"kind": "full_buffer", "users": 0, "five_qi": 7}],
            (0, "five_qi"),
            "leaves nothing for their messages, of 5QI 9",
        ),
        ("ftp", (), "expected a list of flows, got 'ftp'"),
    ],
)
def test_wrong_flows_are_refused(flows, where, message):
    from pydantic import ValidationError

    with pytest.raises(ValidationError) as caught:
        NrLinkSettings(background=flows)
    (detail,) = caught.value.errors()
    assert detail["loc"] == ("background", *where)
    assert message in detail["msg"]
