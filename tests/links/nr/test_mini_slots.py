"""Mini-slots of 7 and 2 symbols: slot charts by hand, what special slots leave, and everything arrives."""

from __future__ import annotations

import pytest

from channels.nr.mini_slots import MiniSlotPattern
from channels.nr.tdd import TddPattern
from sim.links.base import Direction
from sim.links.nr import NrLinkSettings
from sim.links.nr.idle import idle_delivery
from sim.links.nr.phy.carrier import Carrier
from tests.links.nr.traffic import run

UP, DOWN = Direction.UPLINK, Direction.DOWNLINK
_IDEAL = {"channel": "ideal", "mcs": 20, "transport_delay_s": 0.0}


@pytest.mark.parametrize(
    ("keys", "ms"),
    [
        # Slots: request 0, grant 2, data 3, decoded at the end of 4.
        ({"tdd_pattern": "F"}, 2.5),
        # Half slots: K2 = ceil((1 + 12) / 7) = 2: request 0, grant 2, data 4, decoded at the end of 5.
        ({"tdd_pattern": "F", "mini_slot_symbols": 7}, 1.5),
        # Capability 2: K2 = ceil((1 + 5.5) / 7) = 1.
        ({"tdd_pattern": "F", "mini_slot_symbols": 7, "processing_capability": 2}, 1.25),
        # Two symbols: K2 = ceil(6.5 / 2) = 4: grant 2, data 6, decoded at the end of 7; 7 in a slot.
        (
            {"tdd_pattern": "F", "mini_slot_symbols": 2, "pdcch_symbols": 0, "processing_capability": 2},
            8 * 0.071428,
        ),
        # DDDSU: the uplink slot is half slots 8 and 9; grant in 10, data in 18, decoded at the end of 19.
        ({"mini_slot_symbols": 7}, 5.0),
        # Configured grants: data in 8.
        ({"mini_slot_symbols": 7, "configured_grant": True}, 2.5),
    ],
)
def test_idle_latency_by_hand(keys, ms):
    delivery = idle_delivery(NrLinkSettings(**_IDEAL, **keys), 60)
    assert delivery.total_ns / 1e6 == pytest.approx(ms, abs=1e-9)


def test_downlink_latency_by_hand():
    """Decision in slot 0, block in 1, decoded at the end of 2: 3 slots, and as many half slots."""
    assert idle_delivery(NrLinkSettings(**_IDEAL, tdd_pattern="F"), 60, DOWN).total_ns == 1_500_000
    half = idle_delivery(NrLinkSettings(**_IDEAL, tdd_pattern="F", mini_slot_symbols=7), 60, DOWN)
    assert half.total_ns == 750_000


@pytest.mark.parametrize("unit", [7, 2])
@pytest.mark.parametrize("keys", [{}, {"special_carries_pusch": True, "special_carries_pucch": True}])
def test_mini_slots_share_the_symbols_of_their_slot(unit, keys):
    """By walking all symbols of DDDSU with a special slot of 9 downlink, 2 guard and 3 uplink symbols."""
    whole = TddPattern("DDDSU", (9, 2, 3), **keys)
    cut = MiniSlotPattern("DDDSU", (9, 2, 3), **keys, unit_symbols=unit)
    per_slot = 14 // unit
    assert cut.period_slots == 5 * per_slot
    for slot in range(5):
        for mini in range(per_slot):
            symbols = range(mini * unit, (mini + 1) * unit)
            down = sum(symbol < whole.downlink_data_symbols(slot) for symbol in symbols)
            up = sum(symbol >= 14 - whole.uplink_data_symbols(slot) for symbol in symbols)
            index = slot * per_slot + mini
            assert (cut.downlink_data_symbols(index), cut.uplink_data_symbols(index)) == (down, up)
            is_last = mini == per_slot - 1
            expects_control = whole.letter(slot) == "U" or (whole.letter(slot) == "S" and is_last and bool(keys))
            assert cut.carries_uplink_control(index) == expects_control
    assert cut.downlink_fraction == whole.downlink_fraction


def test_blocks_have_one_dmrs_symbol():
    """12 REs of DMRS on one of 7 symbols: 72 REs per PRB, at MCS 20 of table 1 (64QAM, 567/1024)."""
    carrier = Carrier(NrLinkSettings(mini_slot_symbols=7))
    bits = 51 * 72 * 6 * 567 / 1024
    assert carrier.block_bytes(7)[20, 51] * 8 == pytest.approx(bits, rel=0.02)
    assert carrier.data_fraction(UP) == 0.2


@pytest.mark.parametrize(
    "keys",
    [
        {"mini_slot_symbols": 7},
        {"mini_slot_symbols": 7, "configured_grant": True, "num_rx": 2},
        {"mini_slot_symbols": 7, "special_carries_pusch": True, "special_symbols": (6, 2, 6), "rlc_feedback": "status"},
        {"mini_slot_symbols": 2, "pdcch_symbols": 0, "tdd_pattern": "F", "rrc_inactivity_s": 0.02},
    ],
)
def test_everything_arrives_over_the_radio(keys):
    ran = run(4, 6, **keys)
    assert len(ran.sent) == 48
    for one in ran.sent:
        assert one.delivery.total_ns == one.arrived_ns - one.sent_ns == sum(one.delivery.notes.values())
    network = ran.link.network
    for mac in (network.uplink, network.downlink):
        assert all(queue.stream_bytes == 0 for queue in mac.queues)
        assert mac.kpis.num_first_failed / mac.kpis.num_first < 0.3


def test_small_payloads_gain_and_large_ones_pay():
    """Of 60 bytes the time to delivery halves; 60 kB take longer, for the control and DMRS symbols of each unit."""
    keys = {**_IDEAL, "tdd_pattern": "F"}
    times = {
        (unit, size): idle_delivery(NrLinkSettings(**keys, mini_slot_symbols=unit), size, DOWN).total_ns
        for unit in (None, 7)
        for size in (60, 60_000)
    }
    assert times[7, 60] == times[None, 60] / 2
    assert times[7, 60_000] > 1.05 * times[None, 60_000]


def test_refusals():
    with pytest.raises(ValueError, match="pdcch_symbols: got 1; valid: 0 with mini_slot_symbols 2"):
        NrLinkSettings(mini_slot_symbols=2)
    with pytest.raises(ValueError, match="processing capability 2"):
        NrLinkSettings(scs_khz=120, bandwidth_mhz=100, processing_capability=2)
    with pytest.raises(ValueError, match="k2_slots at 30 kHz: got 0; valid: 1 to 32"):
        NrLinkSettings(mini_slot_symbols=7, k2_slots=0)
