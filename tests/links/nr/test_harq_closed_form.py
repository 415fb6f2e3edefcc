"""Soft combining from the third round on, against closed forms at a fixed SNR.

With equal SINR s in every transmission, chase combining reads the error curve at M s in round M. Incremental
redundancy reads it at s (2^(Qm R) - 1) / (2^(Qm R') - 1) M R' / R with R' = max(R / M, mother rate) (Shannon limit of
the longer code, TS 38.212 5.3.2). The receiver is driven block by block, so that its own memory between rounds counts.
"""

from __future__ import annotations

from math import log10
from types import SimpleNamespace

import numpy as np
import pytest

from sim.links.base import Direction
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.radio_receiver import RadioReceiver

ROUNDS = 4


class _Curve:
    """An error curve at which nothing is ever received; notes where it is read."""

    def error_rate(self, mcs: int, num_prb: int, num_symbols: int, sinr_db: float, num_layers: int) -> float:
        return 1.0


class _FlatChannel:
    """Every PRB group has the same SINR, always."""

    def __init__(self, carrier, sinr: float) -> None:
        self.carrier, self.sinr = carrier, sinr
        self.settings = SimpleNamespace(power_reduction=False)
        self.small_scale, self.is_compiled = SimpleNamespace(is_multi=False), False

    def power_gains(self, direction, slot, devices):
        return np.ones((len(devices), self.carrier.num_groups))

    def snr(self, direction, devices, num_prb, reduction_db):
        return np.full(len(devices), self.sinr)


def sinr_db_by_round(combining: str, mcs: int, sinr: float) -> list[float]:
    """What the receiver reads the error curve at in each round, in dB."""
    from sim.links.nr.phy.carrier import Carrier
    from sim.links.nr.settings import NrLinkSettings

    settings = NrLinkSettings(channel="ideal", mcs=mcs, bandwidth_mhz=20, scs_khz=30)
    carrier = Carrier(settings)
    receiver = RadioReceiver(_FlatChannel(carrier, sinr), _Curve(), None, {}, combining)
    groups = [int(size) for size in carrier.group_sizes]
    num_prb = sum(groups)
    block = TransportBlock(0, 0, carrier.block_bytes(14)[mcs, num_prb], mcs, num_prb, 14, groups, 0, 0)
    block.uniform = 0.0
    read = []
    for attempt in range(ROUNDS):
        block.attempt = attempt
        receiver.receive(Direction.UPLINK, attempt, [block])
        read.append(block.sinr_db)
    return read


@pytest.mark.parametrize("mcs", [4, 12, 20])
def test_chase_combining_adds_every_round(mcs: int):
    read = sinr_db_by_round("chase", mcs, 0.8)
    assert read == pytest.approx([10 * log10(0.8 * rounds) for rounds in range(1, ROUNDS + 1)], abs=1e-9)


@pytest.mark.parametrize("mcs", [4, 12, 20])
def test_incremental_redundancy_lengthens_the_code_every_round(mcs: int):
    from channels.nr.mcs import mcs_table

    table = mcs_table(1)
    order, rate = float(table.modulation_order[mcs]), float(table.code_rate[mcs])
    read = sinr_db_by_round("incremental", mcs, 0.8)
    mother = 1 / 5 if rate <= 0.25 else 1 / 3
    for rounds in range(1, ROUNDS + 1):
        lower = max(rate / rounds, min(rate, mother))
        gain = (2 ** (order * rate) - 1) / (2 ** (order * lower) - 1) * rounds * lower / rate
        assert read[rounds - 1] == pytest.approx(10 * log10(0.8 * gain), abs=1e-9)
