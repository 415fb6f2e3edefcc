"""Recorded traces: files, reading at any time, and the recorders that call Sionna."""

import numpy as np
import pytest

from channels.record_cdl import record_cdl
from channels.record_ray_tracing import SCENES, RayTracingUnavailable, record_ray_traced
from channels.recorded import FadingTrace, RecordedFading, normalised


def small_trace():
    gains = np.random.default_rng(0).exponential(1.0, (3, 11, 2))
    return FadingTrace(gains.astype(np.float32), 1e-3, np.array([-1e6, 1e6]), np.zeros(3), {"tool": "test"})


def test_file_round_trip(tmp_path):
    trace = small_trace()
    trace.save(tmp_path / "trace.npz")
    back = FadingTrace.load(tmp_path / "trace.npz")
    np.testing.assert_array_equal(back.power_gain, trace.power_gain)
    assert (back.sample_period_s, back.provenance) == (1e-3, {"tool": "test"})


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=1)
    (tmp_path / "text.npz").write_text("not a trace")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(ValueError, match="not a fading trace"):
            FadingTrace.load(tmp_path / name)


def test_reading():
    trace = small_trace()
    channel = RecordedFading(trace, 3)
    np.testing.assert_array_equal(channel.power_gains(4e-3), trace.power_gain[:, 4])
    np.testing.assert_allclose(channel.power_gains(4.5e-3), trace.power_gain[:, 4:6].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(channel.power_gains(4.5e-3, np.array([2])), channel.power_gains(4.5e-3)[[2]])
    # Mirrored at the end of 10 ms: continuous, and periodic in 20 ms.
    np.testing.assert_allclose(channel.power_gains(13e-3), trace.power_gain[:, 7], rtol=1e-5)
    np.testing.assert_allclose(channel.power_gains(21e-3), trace.power_gain[:, 1], rtol=1e-5)
    strict = RecordedFading(trace, 2, at_end="error")
    assert strict.power_gains(10e-3).shape == (2, 2)
    with pytest.raises(ValueError, match=r"valid: 0 to 0\.01"):
        strict.power_gains(10.5e-3)
    with pytest.raises(ValueError, match="num_devices: got 4; valid: 1 to 3"):
        RecordedFading(trace, 4)


def test_normalisation_splits_off_the_mean():
    gains = np.stack([np.full((5, 2), 1e-9), np.zeros((5, 2))])
    trace = normalised(gains, 1e-3, np.zeros(2), {})
    np.testing.assert_allclose(trace.mean_gain_db, [-90.0, -np.inf])
    np.testing.assert_allclose(trace.power_gain[0], 1.0)
    assert np.all(trace.power_gain[1] == 0.0)


def test_cdl_recording_is_addressed_and_fades():
    """Unit mean power over devices, rays independent of other devices and of the length, torch's random state kept."""
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    arguments = {"model": "cdl_c", "delay_spread_s": 100e-9, "carrier_ghz": 3.5, "speed_m_s": 30 / 3.6, "seed": 1}
    grid = {"frequencies_hz": [-5e6, 0.0, 5e6], "sample_period_s": 1e-3}
    long = record_cdl(num_devices=12, duration_s=1.0, **arguments, **grid)
    short = record_cdl(num_devices=2, duration_s=0.2, **arguments, **grid)
    assert torch.rand(1) == expected
    np.testing.assert_allclose(short.power_gain, long.power_gain[:2, :201], rtol=1e-4, atol=1e-5)
    assert long.power_gain.shape == (12, 1001, 3)
    # 12 devices x 1 s at fd 97 Hz: each device's mean has a spread of about 0.15.
    assert long.power_gain.mean() == pytest.approx(1.0, abs=0.2)
    assert long.power_gain.std() > 0.5
    assert long.provenance["model"] == "cdl_c"
    with pytest.raises(ValueError, match="eighth of the Doppler period"):
        record_cdl(num_devices=1, duration_s=1.0, frequencies_hz=[0.0], sample_period_s=5e-3, **arguments)


def test_ray_tracing_says_what_is_missing(monkeypatch):
    """Without the extra, one clear message; with an aborting LLVM, the process survives and is told about it."""
    import importlib.util
    import subprocess
    import types

    call = {
        "bs_position_m": (0.0, 0.0, 10.0),
        "ut_positions_m": [[10.0, 0.0]],
        "velocities_m_s": [[1.0, 0.0]],
        "carrier_ghz": 3.5,
        "frequencies_hz": [0.0],
        "duration_s": 0.1,
        "sample_period_s": 1e-3,
        "seed": 1,
    }
    with pytest.raises(ValueError, match="simple_street_canyon"):
        record_ray_traced("moon", **call)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RayTracingUnavailable, match=r"specran\[raytracing\]"):
        record_ray_traced(SCENES[0], **call)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    aborted = types.SimpleNamespace(returncode=-6, stdout="", stderr="LLVM ERROR: Cannot select: f32 = fmaximum\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: aborted)
    with pytest.raises(RayTracingUnavailable, match=r"Cannot select.*DRJIT_LIBLLVM_PATH"):
        record_ray_traced(SCENES[0], **call)


def test_a_street_canyon_is_traced_where_it_can_be_and_else_the_reason_is_said():
    """A trace of two receivers with Sionna RT; where it is missing or its LLVM unsuitable, the message of that.

    A receiver in sight of the base station loses free space's 32.4 + 20 lg d + 20 lg f dB give or take what the street
    reflects (6 dB).
    """
    positions = np.array([[15.0, 0.0], [30.0, 2.0]])
    call = {
        "bs_position_m": (0.0, 0.0, 10.0),
        "ut_positions_m": positions,
        "velocities_m_s": [[10.0, 0.0]],
        "carrier_ghz": 3.5,
        "frequencies_hz": np.linspace(-9e6, 9e6, 13),
        "duration_s": 0.02,
        "sample_period_s": 1e-3,
        "seed": 1,
    }
    try:
        trace = record_ray_traced("simple_street_canyon", **call)
    except RayTracingUnavailable as error:
        assert "specran[raytracing]" in str(error) or "DRJIT_LIBLLVM_PATH" in str(error)
        return
    assert trace.power_gain.shape == (2, 21, 13)
    assert trace.power_gain.mean(axis=(1, 2)) == pytest.approx(np.ones(2), rel=1e-5)
    distance_m = np.hypot(np.linalg.norm(positions, axis=1), 8.5)
    free_space_db = 32.4 + 20 * np.log10(distance_m) + 20 * np.log10(3.5)
    np.testing.assert_allclose(-trace.mean_gain_db, free_space_db, atol=6.0)
    # Reflections make it vary over the band, and the Doppler over time.
    assert trace.power_gain.std(axis=2).min() > 0.01
    assert trace.power_gain.std(axis=1).min() > 0.001
