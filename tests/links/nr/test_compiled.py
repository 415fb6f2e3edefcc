"""Cells by compiled code are those of the plain steps: every transmission, its PRBs, its MCS and its outcome."""

from math import log10

import numpy as np
import pytest

from sim.links.base import Direction
from sim.links.nr.full_buffer import run_full_buffer, run_light_load
from sim.links.nr.mac.allocation import ResourceGrid, group_parts, rotated_groups
from sim.links.nr.mac.candidates import Candidates
from sim.links.nr.mac.share_out import part_by_cell
from sim.links.nr.phy import small_scale
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.block_kernels import error_rates
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.interference_kernels import pairwise_sum
from sim.links.nr.settings import NrLinkSettings

SEVEN = {"num_sites": 7, "interference": "explicit"}
LIGHT = {
    "one antenna": {**SEVEN, "prb_placement": "reuse"},
    "two receive antennas": {**SEVEN, "num_rx": 2, "sectors_per_site": 3},
    "two layers": {**SEVEN, "num_rx": 2, "num_tx": 2},
    "in sight, correlated": {**SEVEN, "num_rx": 4, "los": "los", "antenna_correlation": "high", "receiver": "mrc"},
    "reduced power, quantised reports": {
        **SEVEN,
        "power_reduction": True,
        "csi_report": "cqi",
        "csi_offsets": "spread",
    },
    "mini-slots": {"mini_slot_symbols": 7},
}
FULL = {"one antenna": {}, "four antennas": {"num_rx": 4}, "no channel": {"channel": "ideal", "mcs": 9}}


def blocks_of(monkeypatch, run, many):
    monkeypatch.setattr(small_scale, "MANY_DEVICES", many)
    network = run().link.network
    return list(network.records.blocks), network.figures()


def assert_same(monkeypatch, run, least):
    compiled, figures = blocks_of(monkeypatch, run, 1)
    assert len(compiled) > least
    plain, plain_figures = blocks_of(monkeypatch, run, 10**9)
    assert compiled == plain
    np.testing.assert_equal(figures, plain_figures)


@pytest.mark.parametrize("name", LIGHT)
def test_light_load(monkeypatch, name):
    settings = NrLinkSettings(record_slots=True, **LIGHT[name])
    assert_same(monkeypatch, lambda: run_light_load(settings, 28, 250, 40.0, warm_up_slots=50), 100)


@pytest.mark.parametrize("name", FULL)
def test_full_buffers(monkeypatch, name):
    settings = NrLinkSettings(record_slots=True, tdd_pattern="F", **FULL[name])
    assert_same(monkeypatch, lambda: run_full_buffer(settings, 20, 60, tuple(Direction), warm_up_slots=20), 60)


def test_a_busy_cell_goes_over_to_compiled_code_and_stays_the_same(monkeypatch):
    """In the middle of a run, of seven cells with few devices, and of one with full buffers."""
    monkeypatch.setattr(small_scale, "MANY_DEVICES", 10**9)
    light = NrLinkSettings(record_slots=True, **LIGHT["two receive antennas"])
    full = NrLinkSettings(record_slots=True, tdd_pattern="F")
    runs = (
        lambda: run_light_load(light, 28, 150, 40.0, warm_up_slots=50),
        lambda: run_full_buffer(full, 8, 60, tuple(Direction), warm_up_slots=20),
    )
    for run in runs:
        found = []
        for busy in (30, 10**9):
            monkeypatch.setattr(small_scale, "BUSY_SLOTS", busy)
            network = run().link.network
            assert network.channel.is_compiled is (busy == 30)
            found.append((list(network.records.blocks), repr(network.figures())))
        assert len(found[0][0]) > 60
        assert found[0] == found[1]


@pytest.mark.parametrize("reuse", [False, True])
def test_a_device_that_is_alone_takes_what_the_plain_steps_take(reuse):
    """100 slots of seven cells, ties of quality among them; devices of other cells stay together."""
    draw, sizes = np.random.default_rng(5), np.array([4, 4, 4, 4, 4, 3])
    rotations = [rotated_groups(6, cell) for cell in range(7)]
    parts = [group_parts(rotation) if reuse else dict.fromkeys(range(6), 0) for rotation in rotations]
    places = np.array(rotations), np.array([[part[group] for group in range(6)] for part in parts])
    for _ in range(100):
        serving, devices = draw.integers(0, 7, 20), np.sort(draw.permutation(20)[:8])
        needed, quality = draw.integers(1, 30, 8), draw.integers(0, 3, (8, 6)) / 2.0
        has_others, cells = draw.random(7) < 0.2, serving[devices]
        alone = np.empty((2, 8), dtype=np.int64), np.empty((8, 6), dtype=np.int64)
        own = np.empty(8, dtype=np.int64), np.empty(8, dtype=np.int64), np.empty((8, 6))
        bounds = np.empty((3, 8), dtype=np.int64)
        queues = devices, needed, quality
        count, num_cells = part_by_cell(queues, serving, has_others, sizes, places, alone, (*own, bounds))
        single = [cell for cell in range(7) if (cells == cell).sum() == 1 and not has_others[cell]]
        assert alone[0][0, :count].tolist() == single
        for cell, device, row in zip(*alone[0][:, :count].tolist(), alone[1][:count].tolist(), strict=True):
            queue, grid = devices.tolist().index(device), ResourceGrid(sizes.tolist(), rotations[cell], reuse)
            assert row == grid.take(min(int(needed[queue]), grid.num_free), grid.order(quality[queue]))
        whole = Candidates(*queues).by_cell(serving, 7)
        assert [*whole] == sorted([*single, *bounds[0, :num_cells].tolist()])
        for cell, start, end in zip(*bounds[:, :num_cells].tolist(), strict=True):
            expected = whole[cell]
            for got, wanted in zip(own, (expected.devices, expected.needed, expected.quality), strict=True):
                np.testing.assert_array_equal(got[start:end], wanted)


def test_numbers_are_added_in_the_order_of_numpy():
    """Rows of 0 to 400 numbers, and of some thousand, are the same to the last bit."""
    draw = np.random.default_rng(6)
    for count in [*range(401), 1140, 5000, 20011]:
        rows = draw.exponential(size=(2, count)) ** 3
        assert [pairwise_sum(row) for row in rows] == np.add.reduce(rows, axis=1).tolist()


def test_error_rates_of_many_blocks():
    """2,000 blocks with SINR from far below to far above their thresholds; other tables have no waterfalls."""
    errors = BlockErrors(Carrier(NrLinkSettings()), "specran", 0.1)
    draw = np.random.default_rng(7)
    mcs, sinr, rates = draw.integers(0, 29, 2000), 10 ** draw.uniform(-3, 5, 2000), np.empty(2000)
    for num_prb, symbols in ((1, 12), (51, 12), (7, 4)):
        waterfalls = errors.waterfalls(symbols)
        error_rates(mcs, waterfalls[:, num_prb], sinr, rates)
        own = zip(mcs.tolist(), sinr.tolist(), strict=True)
        assert rates.tolist() == [errors.error_rate(one, num_prb, symbols, 10 * log10(value)) for one, value in own]
    assert BlockErrors(Carrier(NrLinkSettings()), "sionna", 0.1).waterfalls(12) is None
