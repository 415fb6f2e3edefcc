"""Maximum power reduction of a block, by its modulation and by where its PRBs lie (TS 38.101-1 Table 6.2.2-1)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim.links.nr import NrLinkSettings
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.power_reduction import PowerReduction

ONE = np.array([0])


def reduction_at(headroom_db: float) -> tuple[PowerReduction, Carrier]:
    """Of a device whose power on the block is so far below its largest."""
    carrier = Carrier(NrLinkSettings(bandwidth_mhz=20))
    channel: Any = SimpleNamespace(carrier=carrier, headroom_db=lambda devices, _: np.full(len(devices), headroom_db))
    return PowerReduction(channel), carrier


def prbs_from(first_group: int, carrier: Carrier) -> list[list[int]]:
    """One block on two whole groups, from one on."""
    sizes = carrier.group_sizes.tolist()
    return [[size if first_group <= group < first_group + 2 else 0 for group, size in enumerate(sizes)]]


@pytest.mark.parametrize(("first_group", "expected_db"), [(0, 3.0), (-2, 3.0), (5, 1.5)])
def test_outer_blocks_lose_more_than_inner_ones(first_group, expected_db):
    """QPSK: 1.5 dB where a block keeps its half width from both edges of the carrier, else 3 dB."""
    reduction, carrier = reduction_at(-1.0)
    blocks = prbs_from(first_group % len(carrier.group_sizes), carrier)
    width = np.array([sum(blocks[0])])
    assert carrier.mcs_table.modulation_order[0] == 2
    assert reduction.of_blocks(ONE, width, [0], blocks).tolist() == [expected_db]
    losses = reduction.losses_db(ONE, width, blocks)
    assert losses is not None
    assert losses[0, 0] == expected_db


def test_a_device_with_headroom_loses_nothing():
    reduction, carrier = reduction_at(7.0)
    blocks = prbs_from(0, carrier)
    assert reduction.of_blocks(ONE, np.array([8]), [0], blocks) == 0.0
    assert reduction.losses_db(ONE, np.array([8]), blocks) is None
