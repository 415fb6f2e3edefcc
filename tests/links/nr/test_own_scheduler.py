"""Mistakes of a scheduler of a user's own end the run in a line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.core.errors import RunError
from sim.core.user_code import user_code_forgotten
from sim.links.nr.mac.schedulers.registry import SCHEDULERS
from sim.runs.world import World
from tests.worlds import inputs, small_scenario

_CODE = """
import numpy as np

from sim.links.nr.mac.schedulers.base import Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


@SCHEDULERS.register("own")
class Own(Scheduler):
    \"\"\"Mine.\"\"\"

"""
_PRIORITY = "    def priority(self, queues):\n        return "


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("queues.backlog[:, None]", r"AttributeError: .*'backlog'.* \(.*own_scheduler_\d\.py:13\)"),
        ("np.zeros(7)", r"returned the shape \[7\]; valid: \[num_queues, num_groups\], here \[\d+, \d+\]"),
        ("queues.rate_bps * np.nan", r"not numbers \(NaN\)"),
        (None, "TypeError: Can't instantiate abstract class Own"),
    ],
)
def test_a_wrong_scheduler_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str | None, says: str
) -> None:
    module = f"own_scheduler_{tmp_path.name[-1]}"
    (tmp_path / f"{module}.py").write_text(_CODE + ("" if body is None else f"{_PRIORITY}{body}\n"))
    monkeypatch.chdir(tmp_path)
    with user_code_forgotten(), SCHEDULERS.restored_afterwards():
        scenario = small_scenario(link={"kind": "nr", "scheduler": f"{module}:Own"})
        with pytest.raises(RunError, match=rf"link\.scheduler '{module}:Own': .*{says}"):
            World(scenario, inputs(scenario)).run()
