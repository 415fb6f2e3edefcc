"""Timings of the user's own: fits that find what was put in, say what they miss, and refuse what is no timing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sim.compute.base import WorkSize
from sim.compute.registry import COMPUTE
from sim.compute.table import TableCompute, TableSettings, make_table
from sim.compute.table_fit import TableCoefficients, fit_table
from sim.core.errors import InputError

LAW = TableCoefficients(token_s=2e-5, pair_s=1e-9, weights_s=6e-3, context_s=4e-8, sequence_s=5e-5, step_s=1e-3)
GRID = [(n, c, b) for n in (1, 5, 64, 512) for c in (600, 2000, 8000) for b in (1, 4, 16, 64)]


def timings(folder: Path, noise: float = 0.0, grid: Any = GRID) -> Path:
    rng = np.random.Generator(np.random.Philox(1))
    rows = ["new_tokens,context_tokens,batch,ms"]
    for new, context, batch in grid:
        seconds = LAW.seconds([WorkSize(new, context, new)] * batch) * (1 + noise * rng.standard_normal())
        rows.append(f"{new},{context},{batch},{1e3 * seconds:.9g}")
    path = folder / "timings.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def table(path: Path, **keys: Any) -> TableCompute:
    return make_table(TableSettings(file=str(path), **keys), None)


def test_exact_timings_are_met_exactly_and_mixed_steps_too(tmp_path: Path) -> None:
    fit = fit_table(timings(tmp_path))
    assert fit.max_relative_error < 1e-4
    assert fit.cross_validated_error is not None and fit.cross_validated_error < 1e-3
    mixed = [WorkSize(1, 700, 1)] * 9 + [WorkSize(300, 900, 0)]
    assert fit.coefficients.seconds(mixed) == pytest.approx(LAW.seconds(mixed), rel=1e-3)


def test_noise_is_told(tmp_path: Path) -> None:
    fit = fit_table(timings(tmp_path, noise=0.05))
    assert 0.02 < fit.mean_relative_error < 0.06
    assert fit.cross_validated_error is not None and fit.cross_validated_error < 0.08
    worst = fit.worst_line
    assert 2 <= worst <= len(GRID) + 1
    model = table(tmp_path / "timings.csv")
    assert model.notes == (
        f"fit to {len(GRID)} timings: mean error {fit.mean_relative_error:.1%}, {fit.cross_validated_error:.1%} on "
        f"rows left out of the fit, largest {fit.max_relative_error:.1%} (line {worst})",
    )
    described = model.describe()
    assert described["mean_relative_error"] == fit.mean_relative_error
    assert json.loads(json.dumps(described)) == described
    assert str(tmp_path) not in json.dumps(described)


def test_a_fit_to_the_roofline_meets_the_roofline(tmp_path: Path) -> None:
    """Timings of a priced H100: the table finds them within 3 %, mixed steps within 6 %."""
    entry = COMPUTE.find("roofline")
    model: Any = entry.make(entry.settings(hardware="h100", model_size="8B"), None)
    rows = ["batch,ms,new_tokens,context_tokens"]
    rows += [f"{b},{1e3 * model.price([WorkSize(n, c, 1)] * b).seconds},{n},{c}" for n, c, b in GRID]
    (tmp_path / "h100.csv").write_text("\n".join(rows))
    fitted = table(tmp_path / "h100.csv")
    assert fitted.fit.mean_relative_error < 0.03
    mixed = [WorkSize(1, 700, 1)] * 30 + [WorkSize(400, 1500, 0)]
    assert fitted.price(mixed).seconds == pytest.approx(model.price(mixed).seconds, rel=0.06)


@pytest.mark.parametrize("grid", [[(1, 100, 1), (1, 100, 8)], [(1, 50, 1), (32, 50, 1)], [(1, 9, 1), (1, 9, 1)]])
def test_few_timings_are_fitted_with_as_few_coefficients(tmp_path: Path, grid: Any) -> None:
    fit = fit_table(timings(tmp_path, grid=grid))
    assert fit.cross_validated_error is None
    assert fit.mean_relative_error < 0.02
    for new, context, batch in grid:
        price = fit.coefficients.seconds([WorkSize(new, context, 1)] * batch)
        assert price == pytest.approx(LAW.seconds([WorkSize(new, context, 1)] * batch), rel=0.02)


def test_keys_change_the_price(tmp_path: Path) -> None:
    path, work = timings(tmp_path), [WorkSize(5, 700, 5)] * 3
    base = table(path).price(work)
    assert table(path, speed_factor=2).price(work).seconds == pytest.approx(base.seconds / 2)
    assert table(path, power_w=100).price(work).joules == pytest.approx(100 * base.seconds)
    assert table(path, idle_power_w=7).idle_power_w == 7
    memory = table(path, memory_gb=24, weights_gb=13.5, kv_bytes_per_token=524288)
    assert memory.kv_capacity_tokens(1.0) == int(10.5e9 // 524288)
    assert table(path).kv_capacity_tokens() is None


def test_a_file_for_each_role(tmp_path: Path) -> None:
    path = str(timings(tmp_path))
    settings = TableSettings(file={"draft": path}, weights_gb={"draft": 1.0})
    assert settings.for_role("draft").file == path
    assert settings.problem_of("target") == "file is given for draft only, not for the target model"


def test_work_of_a_mixed_step_follows_its_coefficients() -> None:
    batch = [WorkSize(1, 700, 1)] * 9 + [WorkSize(300, 900, 0)]
    work = LAW.work_of(batch)
    assert len(work) == 10 and min(work) > 0
    assert work[-1] > 5 * sum(work[:-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"timings\.csv:1: expected the columns new_tokens, context_tokens, batch, ms, got nothing"),
        ("a,b\n1,2\n", r"timings\.csv:1: expected the columns .*, got a, b"),
        ("new_tokens,context_tokens,batch,ms\n1,2,3\n", r"timings\.csv:2: expected 4 values, got 3"),
        (
            "new_tokens,context_tokens,batch,ms\n1,2,3,fast\n",
            r"timings\.csv:2: ms must be a number above 0, got 'fast'",
        ),
        ("new_tokens,context_tokens,batch,ms\n1,2,\r3,4\n", r"timings\.csv:2: not a line of comma-separated values"),
        ("new_tokens,context_tokens,batch,ms\n1,2,3,nan\n", r"timings\.csv:2: ms must be a number above 0"),
        ("new_tokens,context_tokens,batch,ms\n1,2,3,-4\n", r"timings\.csv:2: ms must be a number above 0"),
        (
            "new_tokens,context_tokens,batch,ms\n1,9,1,4\n\n0,2,3,4\n",
            r"timings\.csv:4: new_tokens must be a whole number",
        ),
        ("new_tokens,context_tokens,batch,ms\n1,2,1.5,4\n", r"timings\.csv:2: batch must be a whole number from 1"),
        ("new_tokens,context_tokens,batch,ms\n8,2,1,4\n", r"timings\.csv:2: context_tokens counts the new tokens, too"),
        ("new_tokens,context_tokens,batch,ms\n1,2,1,4\n", r"a fit needs two timings or more, got 1"),
    ],
)
def test_what_is_no_timing_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "timings.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        fit_table(path)
    with pytest.raises(ValidationError, match=message):
        TableSettings(file=str(path))


def test_a_missing_file_is_refused_and_a_byte_order_mark_is_not(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv: cannot be read: No such file"):
        fit_table(tmp_path / "nothing.csv")
    path = timings(tmp_path)
    path.write_text("﻿" + path.read_text().replace("\n", "\r\n"), encoding="utf-8")
    assert fit_table(path).max_relative_error < 1e-4


def test_same_contents_anywhere_are_the_same_fit(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    here, there = fit_table(timings(tmp_path)), fit_table(timings(tmp_path / "there"))
    assert here == there
    assert math.isfinite(here.coefficients.weights_s)
