"""Arrival processes against their moments, and the time of day against its integral."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from sim.core.errors import InputError
from sim.inputs.arrivals import Arrivals, RateProfile, arrival_times_s, gap_distribution, think_times_s, weibull_shape
from sim.inputs.lengths import draw_length
from sim.scenario.devices import DevicesSettings
from sim.scenario.lengths import LengthSettings


def rng(key: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


@pytest.mark.parametrize(("process", "cv"), [("poisson", 1.0), ("gamma", 0.5), ("gamma", 3.0), ("weibull", 2.0)])
def test_gaps_have_mean_one_and_the_variation_asked_for(process: str, cv: float) -> None:
    gaps = gap_distribution(process, cv)(rng(), 400_000)
    assert gaps.mean() == pytest.approx(1, abs=4 * cv / 400_000**0.5)
    assert gaps.std() == pytest.approx(cv, rel=0.03)


def test_weibull_of_variation_one_is_exponential() -> None:
    assert weibull_shape(1.0) == pytest.approx(1, abs=1e-9)
    assert weibull_shape(2.0) == pytest.approx(0.5427, abs=1e-4)
    assert weibull_shape(0.5) == pytest.approx(2.1013, abs=1e-4)


def test_constant_gaps_begin_anywhere() -> None:
    times = list(islice(arrival_times_s(2.0, gap_distribution("constant"), rng(), phase=True), 600))
    assert np.diff(times) == pytest.approx(0.5) and 0 <= times[0] <= 0.5
    others = list(islice(arrival_times_s(2.0, gap_distribution("constant"), rng(2), phase=True), 1))
    assert others[0] != times[0]


def test_think_times_are_exponential_of_the_mean_asked_for() -> None:
    times = list(islice(think_times_s(DevicesSettings(think_time_s=3.0), 1, 7), 20_000))
    assert np.mean(times) == pytest.approx(3, rel=0.03) and np.std(times) == pytest.approx(3, rel=0.05)


def test_unknown_processes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown arrival process 'pareto'; valid: poisson, gamma, weibull, constant"):
        gap_distribution("pareto")


def test_a_profile_and_its_inverse_agree() -> None:
    profile = RateProfile([0, 10, 20], [1.0, 0.0, 4.0], 30)
    assert profile.mean_factor == pytest.approx(50 / 30)
    times = np.linspace(0.0, 300.0, 1_000)
    busy = np.array([profile.factor_at(float(time_s)) > 0 for time_s in times])
    elapsed = np.array([profile.elapsed(float(time_s)) for time_s in times])
    assert profile.times_s(elapsed)[busy] == pytest.approx(times[busy], abs=1e-9)


def test_arrivals_follow_the_time_of_day() -> None:
    profile = RateProfile([0, 10, 20], [1.0, 0.0, 4.0], 30)
    times = np.array(list(islice(arrival_times_s(10.0, gap_distribution("poisson"), rng(), profile), 20_000)))
    assert np.all(np.diff(times) >= 0)
    part = np.histogram(times % 30, bins=[0, 10, 20, 30])[0] / len(times)
    assert part == pytest.approx([0.2, 0.0, 0.8], abs=0.012)
    assert len(times) / times[-1] == pytest.approx(10 * 50 / 30, rel=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        {"distribution": "constant", "mean": 40},
        {"distribution": "geometric", "mean": 40},
        {"distribution": "lognormal", "mean": 40, "cv": 0.8},
        {"distribution": "gamma", "mean": 40, "cv": 0.8},
        {"distribution": "uniform", "min": 20, "max": 60},
    ],
)
def test_lengths_have_the_mean_asked_for(settings: dict[str, object]) -> None:
    lengths, source = LengthSettings.model_validate(settings), rng()
    drawn = [draw_length(lengths, source) for _ in range(20_000)]
    assert min(drawn) >= 1 and np.mean(drawn) == pytest.approx(40, rel=0.03)


def test_lengths_keep_their_bounds() -> None:
    lengths, source = LengthSettings(distribution="gamma", mean=40, cv=2, min=10, max=50), rng()
    drawn = [draw_length(lengths, source) for _ in range(1_000)]
    assert min(drawn) == 10 and max(drawn) == 50
    for wrong in ({"distribution": "uniform"}, {"distribution": "gamma"}, {"mean": 5, "min": 9, "max": 8}):
        with pytest.raises(ValueError, match=r"uniform is given by|gamma needs a mean|must not be below"):
            LengthSettings.model_validate(wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,device\n0,1\n1,9\n", r"a\.csv:3: device must be a whole number, 0 to 1, got 9"),
        ("time_s\n0\n", r"a\.csv: 0 arrivals for device 1, which issues 1 requests"),
    ],
    ids=["no such device", "too few"],
)
def test_a_file_that_does_not_fit_the_devices_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    devices = DevicesSettings(count=2, requests=1, arrivals=str(tmp_path / "a.csv"))
    (stream,) = Arrivals(devices, seed=1).streams()
    with pytest.raises(InputError, match=message):
        list(stream)
