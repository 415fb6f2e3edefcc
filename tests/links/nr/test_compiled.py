"""Cells by compiled code are those of the plain steps: every transmission, its PRBs, its MCS and its outcome."""

import numpy as np
import pytest

from sim.links.base import Direction
from sim.links.nr.full_buffer import run_full_buffer, run_light_load
from sim.links.nr.mac.allocation import ResourceGrid, group_parts, rotated_groups
from sim.links.nr.mac.share_out import place_alone
from sim.links.nr.phy import small_scale
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
    """100 slots of seven cells, ties of quality among them; cells with two devices are left out."""
    draw, sizes = np.random.default_rng(5), np.array([4, 4, 4, 4, 4, 3])
    rotations = [rotated_groups(6, cell) for cell in range(7)]
    parts = [group_parts(rotation) if reuse else dict.fromkeys(range(6), 0) for rotation in rotations]
    places = np.array(rotations), np.array([[part[group] for group in range(6)] for part in parts])
    for _ in range(100):
        cells, needed = draw.integers(0, 7, 6), draw.integers(1, 30, 6)
        quality = draw.integers(0, 3, (6, 6)) / 2.0
        queues, given = place_alone(cells, 7, needed, quality, sizes, places)
        assert cells[queues].tolist() == [cell for cell in range(7) if (cells == cell).sum() == 1]
        for queue, row in zip(queues.tolist(), given.tolist(), strict=True):
            grid = ResourceGrid(sizes.tolist(), rotations[cells[queue]], reuse)
            assert row == grid.take(min(int(needed[queue]), grid.num_free), grid.order(quality[queue]))
