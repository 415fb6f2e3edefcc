"""Paired comparison: shared noise cancels, intervals are over what is independent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.core.errors import InputError
from sim.figures.compare import compare
from sim.results.reading import read_table
from tests.figures.tables import UPLINK, requests_table, sweep_table


def _scheme(name: str) -> pd.DataFrame:
    table = sweep_table()
    return table[table["variant"] == name]


def test_shared_randomness_cancels() -> None:
    """Both schemes have the same noise, so the difference at one rate is that of the airtimes, known to rounding."""
    result = compare(_scheme("edge only"), _scheme("top-8"), "e2e_mean_s").set_index("condition")
    row = result.loc[f"{UPLINK}=0.5"]
    airtime_s = (600 - 20) / 0.5e6
    assert row["difference"] == pytest.approx(airtime_s, abs=1e-12)
    assert row["difference_low"] == pytest.approx(airtime_s, abs=1e-12)
    assert row["pairs"] == row["independent"] == 3


def test_interval_is_over_seeds_not_points() -> None:
    a = _scheme("top-8")
    b = a.assign(e2e_mean_s=a["e2e_mean_s"] + 0.1 * a["seed"])
    row = compare(a, b, "e2e_mean_s").iloc[0]
    assert (row["pairs"], row["independent"]) == (12, 3)
    low, high = stats.t.interval(0.95, 2, loc=0.2, scale=stats.sem([0.1, 0.2, 0.3]))
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((low, high))


def test_requests_are_paired_by_device_and_request() -> None:
    a = requests_table()
    b = a.assign(e2e_s=2 * a["e2e_s"]).sample(frac=1.0, random_state=1)
    row = compare(a, b, "e2e_s").iloc[0]
    assert row["ratio"] == pytest.approx(2.0)
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx((2.0, 2.0))
    assert row["difference"] == pytest.approx(a["e2e_s"].mean())


def test_ratio_is_undefined_for_zeros_and_the_difference_is_not() -> None:
    a = requests_table()
    row = compare(a, a, "uplink_access_s").iloc[0]
    assert row["difference"] == 0.0
    assert np.isnan(row["ratio"])


@pytest.mark.parametrize(
    ("table", "metric"),
    [(sweep_table(), "seed"), (sweep_table(), UPLINK), (requests_table(), "device"), (requests_table(), "request")],
)
def test_what_rows_are_paired_by_is_no_metric(table: pd.DataFrame, metric: str) -> None:
    with pytest.raises(InputError, match=rf"--metric: '{metric}' is a key of the rows.*; valid: .*_s"):
        compare(table, table, metric)


@pytest.mark.parametrize(
    ("a", "b", "metric", "message"),
    [
        (sweep_table(), sweep_table(), "e2e_mean", "--metric: unknown column .*'e2e_mean_s'"),
        (sweep_table(), sweep_table().assign(seed=99), "e2e_mean_s", "belong together"),
        (sweep_table(), requests_table(), "e2e_mean_s", r"A is a sweep .*, B is a run .a row per request.: compare"),
        (requests_table(), sweep_table(), "e2e_s", "A is a run .*, B is a sweep"),
        (pd.DataFrame({"e2e_s": [1.0]}), pd.DataFrame({"e2e_s": [1.0]}), "e2e_s", "nothing to pair"),
        (sweep_table().rename(columns={UPLINK: "x.y"}), sweep_table(), "e2e_mean_s", f"x.y in A alone; {UPLINK} in B"),
        (pd.concat([requests_table()] * 2), requests_table(), "e2e_s", "pairs are not unique"),
    ],
)
def test_what_cannot_be_paired_is_refused(a: pd.DataFrame, b: pd.DataFrame, metric: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(a, b, metric)


def test_numbers_and_names_on_one_axis_are_paired_by_what_they_say() -> None:
    numbers = sweep_table()
    names = numbers.assign(**{UPLINK: numbers[UPLINK].map(lambda value: "auto" if value == 0.5 else f"{value}")})
    alike = compare(numbers, names, "e2e_mean_s").iloc[0]
    assert alike["pairs"] == (numbers[UPLINK] != 0.5).sum() and alike["difference"] == 0


def test_names_in_a_csv_stay_names(tmp_path) -> None:
    table = sweep_table().assign(variant=["", "NA"] * (len(sweep_table()) // 2), run_id="1234e5678901")
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "b.parquet")
    a, b = (read_table(tmp_path / name) for name in ("a.csv", "b.parquet"))
    assert list(a["run_id"]) == list(b["run_id"]) and list(a["variant"]) == list(b["variant"])
    a, b = (one.drop_duplicates([UPLINK, "seed"]) for one in (a, b))
    assert compare(a, b, "e2e_mean_s").iloc[0]["pairs"] == len(a)
