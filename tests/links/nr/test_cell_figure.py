"""The picture of a cell: one rectangle per run of PRBs, where the records say, and files that are written."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from sim.core.errors import RunError
from sim.figures.cell import cell_figure, draw_cell
from sim.links.base import Direction
from tests.links.nr.traffic import run

UP = Direction.UPLINK


@pytest.fixture(scope="module")
def ran():
    return run(4, 20, mean_bytes=6000, gap_s=0.01, directions=(UP,), record_slots=True, los="nlos")


def test_the_grid_shows_every_prb_of_every_block(ran):
    records = ran.link.network.records.blocks
    shown = [record for record in records if 50 <= record.slot < 90]
    figure = cell_figure(ran.link, UP, first_slot=50, num_slots=40)
    # The map, its colour bar, the grid.
    axes = next(one for one in figure.axes if one.get_ylabel() == "PRB")
    drawn = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_width() == 1]
    blocks = [patch for patch in drawn if patch.get_height() >= 1 and patch.get_edgecolor() == (1.0, 1.0, 1.0, 1.0)]
    pale = [patch for patch in drawn if patch.get_alpha() not in (None, 1.0)]
    assert sum(p.get_height() for p in {*blocks, *pale}) == sum(sum(record.prbs_per_group) for record in shown)
    assert {p.get_x() for p in {*blocks, *pale}} == {record.slot for record in shown}
    assert bool(pale) == any(not record.received for record in shown)
    hatched = {p.get_x() for p in blocks if p.get_hatch()}
    assert hatched == {record.slot for record in shown if record.attempt and record.received}
    assert axes.get_ylim() == (0, 51)


def test_files_are_written_and_the_map_has_all_devices(ran, tmp_path):
    files = draw_cell(ran.link, tmp_path, UP, style="one_column")
    assert [path.name for path in files] == ["cell_uplink.png", "cell_uplink.pdf", "cell_uplink.svg"]
    assert all(path.stat().st_size > 5000 for path in files)
    figure = cell_figure(ran.link)
    grid = next(one for one in figure.axes if one.get_ylabel() == "PRB")
    used = np.zeros(2000)
    for record in ran.link.network.records.blocks:
        used[record.slot] += record.num_prb
    first = int(grid.get_xlim()[0])
    assert used[first : first + 60].sum() == np.convolve(used, np.ones(60)).max()
    points = figure.axes[0].collections[0].get_offsets()
    assert np.asarray(points) == pytest.approx(ran.link.network.channel.positions_m(0))


def test_a_run_writes_its_slots_and_pictures_when_asked(tmp_path):
    """``record_slots``: a row per transmission in slots.csv, and a picture per direction; nothing of it otherwise."""
    import pandas as pd

    import sim
    from sim.scenario.loading import load_scenario

    small = {"devices.count": 2, "workload.max_new_tokens": 4, "models": "embedded"}
    folder = sim.run(load_scenario("quickstart", small | {"link.record_slots": True}), tmp_path).folder
    slots = pd.read_csv(folder / "slots.csv")
    assert set(slots["direction"]) == {"uplink", "downlink"}
    assert slots["prbs_by_group"].map(lambda text: sum(map(int, text.split()))).equals(slots["num_prb"])
    assert slots["bler"].between(0, 1).all()
    assert slots["slot"].is_monotonic_increasing
    assert (folder / "figures" / "cell_uplink.png").exists()
    assert (folder / "figures" / "cell_downlink.pdf").exists()
    plain = sim.run(load_scenario("quickstart", small), tmp_path).folder
    assert not (plain / "slots.csv").exists()
    assert not (plain / "figures" / "cell_uplink.png").exists()


def test_nothing_recorded_is_said():
    quiet = run(1, 1, directions=(UP,), channel="ideal", mcs=5)
    with pytest.raises(RunError, match="record_slots: true"):
        cell_figure(quiet.link)
