"""The figures of a shared GPU: by second of a run, and over a day."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sim.figures.gpu import draw_gpu
from sim.figures.shared_gpu import day_at_shared_gpu, orchestrators


def seconds(count: int) -> pd.DataFrame:
    row = {"site": 0, "layer1_gpu_share": 0.3, "model_gpu_share": 0.5, "layer1_kept_share": 0.4, "layer1_slots": 2000}
    return pd.DataFrame([{"time_s": time_s, **row, "layer1_late": time_s % 2} for time_s in range(count)])


def test_a_run_of_seconds_is_drawn_and_a_shorter_one_is_not(tmp_path: Path) -> None:
    assert draw_gpu(seconds(2), tmp_path) == [] and draw_gpu(pd.DataFrame(), tmp_path) == []
    assert sorted(path.name for path in draw_gpu(seconds(1200), tmp_path)) == ["gpu.pdf", "gpu.png", "gpu.svg"]


def test_a_day_has_a_line_per_variant_with_its_means() -> None:
    keys = [(variant, hour) for variant in ("alone", "first") for hour in (0, 6, 12) for _ in range(2)]
    table = pd.DataFrame(
        {
            "variant": variant,
            "edge.ran_sharing.day_begins_s": hour * 3600.0,
            "tokens_per_s": 100.0 + hour + index % 2,
            "gpu_energy_per_token_j": 1.0,
            "layer1_gpu_share": 0.2,
            "model_gpu_share": 0.1,
        }
        for index, (variant, hour) in enumerate(keys)
    )
    figure = day_at_shared_gpu(table, ["edge.ran_sharing.day_begins_s"])
    shares, tokens, joules = figure.axes
    assert [len(panel.lines) for panel in (shares, tokens, joules)] == [2, 2, 2]
    line = tokens.lines[1]
    assert list(line.get_xdata()) == [0, 6, 12] and list(line.get_ydata()) == pytest.approx([100.5, 106.5, 112.5])


def test_orchestrators_have_a_bar_each_with_its_mean() -> None:
    rows = [{"variant": name, "tokens_per_s": 100.0 + run} for name in ("static", "by load") for run in range(3)]
    table = pd.DataFrame(rows).assign(layer1_late_per_1e5=0.0, gpu_energy_per_token_j=1.0)
    figure = orchestrators(table, [])
    assert len(figure.axes) == 3
    assert [bar.get_width() for bar in figure.axes[1].patches] == pytest.approx([101, 101])  # type: ignore[attr-defined]
