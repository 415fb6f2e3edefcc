"""The abstraction against a PUSCH link that Sionna simulates bit by bit over TDL-A."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from channels.eesm import eesm_betas, effective_sinr
from sim.links.base import Direction
from sim.links.nr import NrLinkSettings
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from tests.links.nr.make_sionna_pusch_reference import CSV_FILE, NUM_PRB, POINTS

NUM_CHANNELS = 3000


def reference():
    lines = [line for line in CSV_FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]


@pytest.fixture(scope="module")
def cell():
    settings = NrLinkSettings(fading="tdl_a", delay_spread_ns=100, speed_kmh=3, prb_group_size=1)
    carrier = Carrier(settings)
    air = RadioChannel(carrier, settings, NUM_CHANNELS, 3)
    gains = air.power_gains(Direction.UPLINK, 0, np.arange(NUM_CHANNELS))[:, :NUM_PRB]
    return carrier, BlockErrors(carrier, "specran", 0.1), gains


def test_the_reference_is_complete_and_its_blocks_are_ours(cell):
    carrier, _, _ = cell
    rows = reference()
    assert [(row["mcs"], row["snr_db"]) for row in rows] == [(m, snr) for m, snrs in POINTS.items() for snr in snrs]
    for row in rows:
        assert row["tb_bits"] == 8 * carrier.block_bytes(14)[int(row["mcs"]), NUM_PRB]


def test_throughput_over_snr_is_that_of_the_bit_level_simulation(cell):
    """Mean share of decoded blocks over many channels, per MCS and SNR.

    Allowed: three standard errors of both samples, and two points for what effective SINRs leave out.
    """
    _, errors, gains = cell
    count = len(gains)
    for row in reference():
        mcs = int(row["mcs"])
        effective = effective_sinr(10 ** (row["snr_db"] / 10) * gains, eesm_betas(1)[mcs])
        rates = np.vectorize(errors.error_rate)(mcs, NUM_PRB, 14, 10 * np.log10(effective))
        simulated = row["num_errors"] / row["num_blocks"]
        spread = simulated * (1 - simulated) / row["num_blocks"] + rates.var() / count
        assert rates.mean() == pytest.approx(simulated, abs=3 * np.sqrt(spread) + 0.02), row
