"""Timing a model: the grid feeds what it says it feeds, noise is survived, a slow model gets a smaller grid."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest

from sim.compute.base import WorkSize
from sim.compute.calibration import Coefficients
from sim.compute.measurement import _Timer, describe_host, make_grid, measure_calibration, torch_threads
from tests.compute.conftest import ClockedModel

MakeModel = Callable[..., ClockedModel]


def test_recovers_the_models_law(make_model: MakeModel, law: Coefficients) -> None:
    model = make_model()
    calibration = measure_calibration(model, clock=model.clock)
    np.testing.assert_allclose(astuple(calibration.coefficients), astuple(law), rtol=1e-6)
    assert calibration.median_relative_error < 1e-9
    assert calibration.model_fingerprint == model.fingerprint


def test_survives_noise(make_model: MakeModel, law: Coefficients) -> None:
    """Delays of 20 % in the mean: the median of 3 to 5 delays is 16 % in the mean, and so are prices over 20 hosts."""
    models = [make_model(noise=0.2, seed=seed) for seed in range(20)]
    fits = [measure_calibration(model, clock=model.clock).coefficients for model in models]
    for batch in ([WorkSize(1, 80, 1)], [WorkSize(5, 100, 5)] * 6):
        ratios = np.array([coefficients.seconds(batch) / law.seconds(batch) for coefficients in fits])
        assert 1.10 < ratios.mean() < 1.20
        assert ratios.std() < 0.08


def test_a_slow_spell_does_not_count(make_model: MakeModel, law: Coefficients) -> None:
    """One round at ten times the time leaves the medians, and so the fit, as they were."""
    model = make_model()
    start = len(make_grid(model.max_context)) + 6  # the probes, then the untimed round
    spell = range(start, start + len(make_grid(model.max_context)))
    run = model._run

    def slow(batch: list) -> list:  # type: ignore[type-arg]
        before = model.now
        result = run(batch)
        if model.num_forwards in spell:
            model.now += 9 * (model.now - before)
        return result

    model._run = slow  # type: ignore[method-assign, assignment]
    calibration = measure_calibration(model, clock=model.clock)
    np.testing.assert_allclose(astuple(calibration.coefficients), astuple(law), rtol=1e-6)


@pytest.mark.parametrize("max_context", [2, 5, 16, 100, 300, 1024])
def test_grid_points_are_what_the_model_feeds(make_model: MakeModel, max_context: int) -> None:
    """The sizes that the fit is told are those that the model itself counts, at any context length."""
    model = make_model(max_context=max_context)
    timer = _Timer(model, model.clock)
    grid = make_grid(max_context)
    for point in grid:
        timer.run(point)
    for point in grid:
        forwards = [timer._forward(point, slot) for slot in range(point.batch)]
        if point.is_prefill:
            model.close(forwards[0].session)
        for forward in forwards:
            counted = WorkSize(model.new_tokens(forward), forward.text_length, forward.num_rows)
            assert counted == timer.size(point)
        timer.run(point)
    timer.close()
    assert not model._texts


def test_full_grid_spans_the_work_that_rounds_ask_for() -> None:
    grid = make_grid(1024)
    assert {point.batch for point in grid} >= {1, 2, 4, 8, 16}
    assert {point.new_tokens for point in grid} >= {1, 2, 4, 8, 16, 32}
    assert max(point.context_tokens for point in grid) == 512
    assert any(point.is_prefill for point in grid)


def test_a_slow_model_gets_a_smaller_grid(make_model: MakeModel, law: Coefficients) -> None:
    fast, slow = make_model(), make_model(Coefficients(*(200 * value for value in astuple(law))))
    points = [measure_calibration(model, clock=model.clock).num_points for model in (fast, slow)]
    assert points[1] < points[0] == len(make_grid(1024))


def test_budget_bounds_the_time(make_model: MakeModel) -> None:
    """A model of the embedded size (3 ms a forward) is measured within 4 s of its own time."""
    model = make_model()
    calibration = measure_calibration(model, clock=model.clock)
    assert model.now < 4.0
    assert 3 <= calibration.num_repeats <= 15


def test_own_sessions_are_left_alone(make_model: MakeModel) -> None:
    from sim.models.interface import ForwardPass

    model = make_model()
    forward = ForwardPass("mine", [1, 2, 3, 4])
    model.forward([forward])
    measure_calibration(model, clock=model.clock)
    assert set(model._texts) == {"mine"}
    assert model.new_tokens(forward) == 1


def test_threads_are_set_and_set_back() -> None:
    import torch

    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    assert "torch" in sys.modules


def test_host_says_what_a_timing_depends_on() -> None:
    import torch

    host = describe_host(3)
    assert host.cpu
    assert host.threads == 3
    assert torch.__version__.startswith(host.torch_version.split("+")[0])
    assert replace(host, threads=1) == describe_host(1)
