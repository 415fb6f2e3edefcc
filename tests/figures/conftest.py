"""What the tests of figures share: a sweep's figures, drawn once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.figures.sweep_figures import draw_sweep
from tests.figures.tables import UPLINK, sweep_table


@pytest.fixture(scope="session")
def sweep_figures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return draw_sweep(sweep_table(), [UPLINK], tmp_path_factory.mktemp("figures"))
