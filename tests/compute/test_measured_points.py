"""Prices against published measurements: the whole table within 8 % on average, no point off by more than a quarter."""

from __future__ import annotations

import pytest

from sim.compute.base import WorkSize
from sim.compute.roofline import RooflineSettings, price_model
from tests.compute.measured_points import MeasuredPoint, mean_absolute_error, rows

POINTS = rows()


def test_mean_error_over_all_points() -> None:
    assert len(POINTS) >= 68
    assert mean_absolute_error(POINTS) <= 0.08


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.what)
def test_no_point_is_off_by_more_than_a_quarter(point: MeasuredPoint) -> None:
    assert abs(point.error) <= 0.25, f"{point.expected:g} {point.unit} measured, {point.got:.4g} priced"


def test_most_points_were_not_in_sight_of_the_fits() -> None:
    """Those that were fitted to other points are priced as well as the whole."""
    judged = [point for point in POINTS if point.use == "judged"]
    assert len(judged) >= 0.8 * len(POINTS)
    assert mean_absolute_error(judged) <= 0.06
    assert {point.use for point in POINTS} == {"judged", "fit"}


def test_joules_per_token_of_a_server_with_its_idle_power() -> None:
    energies = [point for point in POINTS if point.unit == "J/token" and "H100" in point.what]
    assert [point.expected for point in energies] == [0.455, 0.119, 0.077]
    assert all(abs(point.error) <= 0.2 for point in energies)


# Single-stream speeds and energies of devices that the table has no row for: [token/s], [J/token].
DEVICES = {
    # arXiv 2603.23640: Qwen2.5-1.5B at 4 bits on an RTX 4050 laptop, 131.7 token/s at 34.1 W.
    "rtx-4050-laptop": ({"model_size": "1.5B", "weights": "int4"}, 131.7, 0.259),
    # Users' reports for LFM2-1.2B on a Galaxy S25 Ultra: 90 token/s and 9000 tokens per percent of its battery (5 Ah at
    # 3.85 V) on the NPU; 37 falling to 19 token/s and 2443 tokens per percent on the CPU.
    "snapdragon-8-elite-npu": ({"model_size": "1.17B", "weights": "int4"}, 90, 0.077),
    "snapdragon-8-elite-cpu": ({"model_size": "1.17B", "weights": "int4"}, 28, 0.284),
}


@pytest.mark.parametrize("hardware", DEVICES)
def test_published_decoding_speed_and_energy_of_devices(hardware: str) -> None:
    settings, tokens_per_s, joules_per_token = DEVICES[hardware]
    model = price_model(RooflineSettings(hardware=hardware, **settings))
    price = model.price([WorkSize(1, 256, 1)])
    assert price.seconds * tokens_per_s == pytest.approx(1.0, abs=0.25)
    joules = price.joules + model.idle_power_w * price.seconds
    assert joules / joules_per_token == pytest.approx(1.0, abs=0.25)
