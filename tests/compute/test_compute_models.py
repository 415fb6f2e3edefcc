"""The registered compute models: names, settings, prices, and how each refuses what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from sim.compute import calibration_files
from sim.compute.base import ComputeModel, WorkSize
from sim.compute.calibrated import CalibratedSettings, make_calibrated
from sim.compute.calibration import Coefficients
from sim.compute.calibration_files import calibrate
from sim.compute.fixed import FixedSettings, make_fixed
from sim.compute.measured import MeasuredSettings, make_measured
from sim.compute.measurement import measure_calibration
from sim.compute.registry import COMPUTE
from sim.compute.roofline import RooflineSettings, make_roofline
from sim.core.errors import InputError
from sim.core.settings import field_docstrings
from tests.compute.conftest import ClockedModel

MakeModel = Callable[..., ClockedModel]
BATCH = [WorkSize(5, 64, 5), WorkSize(1, 200, 1)]


@pytest.fixture
def file(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A calibration file of the clocked model."""
    monkeypatch.setattr(
        calibration_files, "measure_calibration", lambda model, threads: measure_calibration(model, clock=model.clock)
    )
    calibrate([make_model()], tmp_path / "times.json", cache=tmp_path / "cache")
    return tmp_path / "times.json"


def test_registered_names_and_their_lines() -> None:
    entries = {entry.name: entry for entry in COMPUTE}
    assert set(entries) == {"calibrated", "fixed", "measured", "roofline", "table"}
    for entry in entries.values():
        assert entry.summary
        described = field_docstrings(entry.settings)
        for name in entry.settings.model_fields:
            assert described.get(name), f"{entry.name}.{name}"
    with pytest.raises(InputError, match="did you mean 'roofline'"):
        COMPUTE.find("rooflin")


def test_fixed_is_the_stated_sum() -> None:
    compute = make_fixed(FixedSettings(per_forward_s=0.01, per_token_s=0.002, power_w=5), None)
    price = compute.price(BATCH)
    assert price.seconds == pytest.approx(0.01 + 6 * 0.002)
    assert price.joules == pytest.approx(5 * price.seconds)


def test_calibrated_prices_by_the_fit(make_model: MakeModel, law: Coefficients, file: Path) -> None:
    compute = make_calibrated(CalibratedSettings(file=str(file), power_w=10), make_model())
    price = compute.price(BATCH)
    assert price.seconds == pytest.approx(law.seconds(BATCH), rel=1e-6)
    assert price.joules == pytest.approx(10 * price.seconds)
    twice = make_calibrated(CalibratedSettings(file=str(file), speed_factor=2), make_model())
    assert twice.price(BATCH).seconds == pytest.approx(price.seconds / 2)
    described = compute.describe()
    assert described["content_hash"] == compute.calibration.content_hash
    assert described["median_relative_error"] == compute.calibration.median_relative_error


def test_calibrated_and_roofline_need_a_model(make_model: MakeModel) -> None:
    with pytest.raises(InputError, match="needs the model"):
        make_calibrated(CalibratedSettings(), None)
    with pytest.raises(InputError, match="model_size"):
        make_roofline(RooflineSettings(hardware="l4"), None)
    model = make_model()
    model.num_parameters = 8_030_300_000
    at_hand = make_roofline(RooflineSettings(hardware="l4"), model).price(BATCH).seconds
    assert at_hand == pytest.approx(
        make_roofline(RooflineSettings(hardware="l4", model_size="8B"), None).price(BATCH).seconds
    )


def test_measured_takes_the_wall_clock() -> None:
    compute = make_measured(MeasuredSettings(speed_factor=4, power_w=8), None)
    assert compute.needs_wall_clock
    price = compute.price_measured(0.2)
    assert (price.seconds, price.joules) == pytest.approx((0.05, 0.4))
    with pytest.raises(TypeError, match="price_measured"):
        compute.price(BATCH)
    for bad in (-1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds"):
            compute.price_measured(bad)


def test_others_refuse_the_wall_clock(make_model: MakeModel, file: Path) -> None:
    models: list[ComputeModel] = [
        make_fixed(FixedSettings(), None),
        make_calibrated(CalibratedSettings(file=str(file)), make_model()),
        make_roofline(RooflineSettings(hardware="l4", model_size="1B"), None),
    ]
    for compute in models:
        assert not compute.needs_wall_clock
        with pytest.raises(TypeError, match="by size"):
            compute.price_measured(0.1)


def test_descriptions_are_plain_data(make_model: MakeModel, file: Path) -> None:
    for compute in (
        make_fixed(FixedSettings(), None),
        make_measured(MeasuredSettings(), None),
        make_calibrated(CalibratedSettings(file=str(file)), make_model()),
        make_roofline(RooflineSettings(hardware="l4", model_size="1B"), None),
    ):
        described = compute.describe()
        assert json.loads(json.dumps(described)) == described
        assert described["kind"] in COMPUTE.names()


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (FixedSettings, {"per_forward_s": -1}),
        (FixedSettings, {"per_token_s": float("inf")}),
        (FixedSettings, {"power": 3}),
        (MeasuredSettings, {"speed_factor": 0}),
        (CalibratedSettings, {"threads": 0}),
        (CalibratedSettings, {"power_w": -5}),
        (RooflineSettings, {}),
        (RooflineSettings, {"hardware": "h100", "bytes_per_weight": 0}),
        (RooflineSettings, {"hardware": "h100", "bandwidth_efficiency": 1.5}),
        (RooflineSettings, {"hardware": "h100", "num_processors": 0}),
    ],
)
def test_impossible_settings_are_refused(settings: type, values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**values)
