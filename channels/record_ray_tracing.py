"""Records ray-traced channels with Sionna RT, an optional extra; tried in another process, as LLVM may abort it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_points, require_positive
from channels.recorded import FadingTrace, normalised

Array = npt.NDArray[np.float64]
SCENES = ("simple_street_canyon", "munich", "etoile", "florence", "san_francisco")
_PROBE = """
import sionna.rt as rt
scene = rt.load_scene(rt.scene.box)
scene.tx_array = scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
scene.add(rt.Transmitter("tx", position=[0, 0, 2]))
scene.add(rt.Receiver("rx", position=[1, 1, 2]))
rt.PathSolver()(scene=scene, max_depth=1, samples_per_src=1000)
print("traced")
"""


class RayTracingUnavailable(RuntimeError):
    """Sionna RT is missing or cannot trace on this machine; the message says what to do."""


def check_ray_tracing(timeout_s: float = 120.0) -> None:
    """Return if Sionna RT traces a box here, else raise RayTracingUnavailable.

    The trial runs in a process of its own: an unsuitable libLLVM (16 and older) aborts it instead of raising.
    """
    if importlib.util.find_spec("sionna.rt") is None:
        raise RayTracingUnavailable(
            "ray tracing needs Sionna RT: install the extra with  pip install 'specran[raytracing]'"
        )
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise RayTracingUnavailable(f"Sionna RT did not trace a box within {timeout_s:g} s") from None
    if trial.returncode == 0 and "traced" in trial.stdout:
        return
    lines = [line.strip() for line in trial.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    reason = (errors or lines or [f"exit status {trial.returncode}"])[-1]
    if trial.returncode < 0 or "LLVM" in trial.stderr:
        reason += (
            ". libLLVM 17 or newer is needed (older ones abort): install one, e.g. the system package libllvm19, "
            "and set DRJIT_LIBLLVM_PATH to its libLLVM.so"
        )
    raise RayTracingUnavailable(f"Sionna RT is installed but cannot trace here: {reason}")


def record_ray_traced(
    scene: str,
    bs_position_m: tuple[float, float, float],
    ut_positions_m: npt.ArrayLike,
    velocities_m_s: npt.ArrayLike,
    carrier_ghz: float,
    frequencies_hz: npt.ArrayLike,
    duration_s: float,
    sample_period_s: float,
    seed: int,
    ut_height_m: float = 1.5,
    max_depth: int = 3,
    num_samples_per_source: int = 100_000,
) -> FadingTrace:
    """|H|^2 from one base station to devices in a bundled scene: LoS and specular paths, Doppler from velocities.

    Args:
        scene: one of SCENES.
        ut_positions_m, velocities_m_s: [num_devices, 2] each.
        duration_s: paths are traced once and turn by their Doppler; keep it to what a device crosses unchanged
            (about a metre).

    Raises:
        RayTracingUnavailable: see `check_ray_tracing`.

    Notes: a device that no path reaches has gain 0 and mean_gain_db -inf.
    """
    require_choice("scene", scene, SCENES)
    positions = require_points("ut_positions_m", ut_positions_m).reshape(-1, 2)
    velocities = np.broadcast_to(require_points("velocities_m_s", velocities_m_s), positions.shape)
    require_positive("sample_period_s", sample_period_s)
    require_positive("duration_s", duration_s)
    require_between("max_depth", max_depth, 0, 20)
    check_ray_tracing()

    frequencies = np.atleast_1d(np.asarray(frequencies_hz, dtype=np.float64))
    provenance = {
        "tool": "sionna.rt.PathSolver",
        "version": importlib.metadata.version("sionna-rt"),
        "scene": scene,
        "bs_position_m": list(map(float, bs_position_m)),
        "carrier_ghz": carrier_ghz,
        "max_depth": max_depth,
        "samples_per_source": num_samples_per_source,
        "seed": seed,
    }
    world = _world(scene, bs_position_m, positions, velocities, carrier_ghz, ut_height_m)
    paths = _traced(world, max_depth, num_samples_per_source, seed)
    num_samples = int(np.ceil(duration_s / sample_period_s)) + 1
    return normalised(
        _power_gains(paths, frequencies, num_samples, sample_period_s), sample_period_s, frequencies, provenance
    )


def _world(
    scene: str, bs_m: tuple[float, float, float], ut_m: Array, ut_m_s: Array, ghz: float, ut_height_m: float
) -> Any:
    """A bundled scene with the base station and the moving devices in it, one isotropic antenna each."""
    from sionna import rt

    world = rt.load_scene(getattr(rt.scene, scene))
    world.frequency = ghz * 1e9
    world.tx_array = world.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    world.add(rt.Transmitter("bs", position=list(bs_m)))
    for device, (position, velocity) in enumerate(zip(ut_m, ut_m_s, strict=True)):
        place, speed = [*map(float, position), ut_height_m], [*map(float, velocity), 0.0]
        world.add(rt.Receiver(f"ue{device}", position=place, velocity=speed))
    return world


def _traced(world: Any, max_depth: int, num_samples: int, seed: int) -> Any:
    """Line of sight and specular reflections from the base station to every device."""
    from sionna import rt

    return rt.PathSolver()(
        scene=world,
        max_depth=max_depth,
        los=True,
        specular_reflection=True,
        refraction=False,
        samples_per_src=num_samples,
        seed=seed,
    )


def _power_gains(paths: Any, frequencies_hz: Array, num_samples: int, sample_period_s: float) -> Array:
    """|H|^2 at the sampled times and frequencies. [num_devices, num_samples, num_groups]."""
    import mitsuba as mi

    response = paths.cfr(
        frequencies=mi.Float(frequencies_hz),
        sampling_frequency=1 / sample_period_s,
        num_time_steps=num_samples,
        normalize=False,
        normalize_delays=False,
        out_type="numpy",
    )
    # [rx, rx_ant, tx, tx_ant, samples, groups]
    return np.asarray(np.abs(np.asarray(response)[:, 0, 0, 0]).astype(np.float64) ** 2)
