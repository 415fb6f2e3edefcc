"""TR 38.901 path loss by scenario (Table 7.4.1-1), pure functions over arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_positive

Array = npt.NDArray[np.float64]

# The reference vectors of public simulators are met with the rounded speed of light that the clause's examples use.
SPEED_OF_LIGHT_M_S = 3.0e8
# Effective environment height h_E of UMi, and of most UMa links (Table 7.4.1-1 note 1).
ENVIRONMENT_HEIGHT_M = 1.0
# RMa: average building height h and street width W (defaults of Table 7.4.1-1).
_RMA_BUILDING_HEIGHT_M = 5.0
_RMA_STREET_WIDTH_M = 20.0


def _breakpoint_m(bs_height_m: Array, ut_height_m: Array, carrier_ghz: Array, environment_m: Array) -> Array:
    """D'BP = 4 (hBS - hE)(hUT - hE) fc / c."""
    heights = (bs_height_m - environment_m) * (ut_height_m - environment_m)
    return 4 * heights * carrier_ghz * 1e9 / SPEED_OF_LIGHT_M_S


def rma_breakpoint_m(bs_height_m: npt.ArrayLike, ut_height_m: npt.ArrayLike, carrier_ghz: npt.ArrayLike) -> Array:
    """DBP = 2 pi hBS hUT fc / c of RMa (Table 7.4.1-1 note 5)."""
    product = np.asarray(bs_height_m) * np.asarray(ut_height_m) * np.asarray(carrier_ghz)
    return np.asarray(2 * np.pi * product * 1e9 / SPEED_OF_LIGHT_M_S)


def _umi(d2: Array, d3: Array, fc: Array, bs: Array, ut: Array, env: Array) -> tuple[Array, Array]:
    near = 32.4 + 21 * np.log10(d3) + 20 * np.log10(fc)
    bp = _breakpoint_m(bs, ut, fc, env)
    far = 32.4 + 40 * np.log10(d3) + 20 * np.log10(fc) - 9.5 * np.log10(bp**2 + (bs - ut) ** 2)
    los = np.where(d2 <= bp, near, far)
    nlos = 22.4 + 35.3 * np.log10(d3) + 21.3 * np.log10(fc) - 0.3 * (ut - 1.5)
    return los, np.maximum(los, nlos)


def _uma(d2: Array, d3: Array, fc: Array, bs: Array, ut: Array, env: Array) -> tuple[Array, Array]:
    near = 28.0 + 22 * np.log10(d3) + 20 * np.log10(fc)
    bp = _breakpoint_m(bs, ut, fc, env)
    far = 28.0 + 40 * np.log10(d3) + 20 * np.log10(fc) - 9 * np.log10(bp**2 + (bs - ut) ** 2)
    los = np.where(d2 <= bp, near, far)
    nlos = 13.54 + 39.08 * np.log10(d3) + 20 * np.log10(fc) - 0.6 * (ut - 1.5)
    return los, np.maximum(los, nlos)


def _rma(d2: Array, d3: Array, fc: Array, bs: Array, ut: Array, env: Array) -> tuple[Array, Array]:  # noqa: ARG001
    h, w = _RMA_BUILDING_HEIGHT_M, _RMA_STREET_WIDTH_M

    def near(d: Array) -> Array:
        return np.asarray(
            20 * np.log10(40 * np.pi * d * fc / 3)
            + min(0.03 * h**1.72, 10) * np.log10(d)
            - min(0.044 * h**1.72, 14.77)
            + 0.002 * np.log10(h) * d
        )

    bp = rma_breakpoint_m(bs, ut, fc)
    los = np.where(d2 <= bp, near(d3), near(bp) + 40 * np.log10(d3 / bp))
    nlos = (
        161.04
        - 7.1 * np.log10(w)
        + 7.5 * np.log10(h)
        - (24.37 - 3.7 * (h / bs) ** 2) * np.log10(bs)
        + (43.42 - 3.1 * np.log10(bs)) * (np.log10(d3) - 3)
        + 20 * np.log10(fc)
        - (3.2 * np.log10(11.75 * ut) ** 2 - 4.97)
    )
    return los, np.maximum(los, nlos)


def _inh(d2: Array, d3: Array, fc: Array, bs: Array, ut: Array, env: Array) -> tuple[Array, Array]:  # noqa: ARG001
    los = 32.4 + 17.3 * np.log10(d3) + 20 * np.log10(fc)
    nlos = 17.3 + 38.3 * np.log10(d3) + 24.9 * np.log10(fc)
    return los, np.maximum(los, nlos)


# NLoS intercept and slope of the factory halls; each adds 20 log10 fc.
_INF_NLOS = {"inf_sl": (33.0, 25.5), "inf_dl": (18.6, 35.7), "inf_sh": (32.4, 23.0), "inf_dh": (33.63, 21.9)}


def _inf(scenario: str, d3: Array, fc: Array) -> tuple[Array, Array]:
    los = 31.84 + 21.5 * np.log10(d3) + 19 * np.log10(fc)
    # Dense clutter with a low BS is bounded below by the sparse case as well; a high-high hall has LoS only.
    bounds = {"inf_dl": ("inf_sl", "inf_dl"), "inf_hh": ()}.get(scenario, (scenario,))
    nlos = los
    for name in bounds:
        intercept, slope = _INF_NLOS[name]
        nlos = np.maximum(nlos, intercept + slope * np.log10(d3) + 20 * np.log10(fc))
    return los, nlos


_Model = Callable[[Array, Array, Array, Array, Array, Array], tuple[Array, Array]]
_MODELS: dict[str, _Model] = {"umi": _umi, "uma": _uma, "rma": _rma, "inh": _inh}
SCENARIOS = (*_MODELS, *_INF_NLOS, "inf_hh")


def path_loss_db(
    scenario: str,
    distance_2d_m: npt.ArrayLike,
    carrier_ghz: npt.ArrayLike,
    los: npt.ArrayLike,
    bs_height_m: npt.ArrayLike,
    ut_height_m: npt.ArrayLike,
    environment_height_m: npt.ArrayLike = ENVIRONMENT_HEIGHT_M,
) -> Array:
    """Median outdoor (or in-hall) path loss in dB, no shadowing (TR 38.901 Table 7.4.1-1). Broadcasts.

    Args:
        scenario: umi, uma, rma, inh, inf_sl, inf_dl, inf_sh, inf_dh or inf_hh.
        distance_2d_m: horizontal distance, >= 0; the 3-D distance must not be zero.
        carrier_ghz: 0.5 to 100.
        los: True for line of sight; NLoS is never below LoS.
        environment_height_m: h_E of umi and uma, below both antennas; 1 m, but for UMa devices at 13 m and above,
            see `draw_environment_height_m`.

    Notes: the formulas are also evaluated outside the table's distance range (10 m to 5 km outdoors).
    """
    require_choice("scenario", scenario, SCENARIOS)
    require_between("carrier_ghz", carrier_ghz, 0.5, 100)
    require_between("distance_2d_m", distance_2d_m, 0, np.inf)
    require_positive("bs_height_m", bs_height_m)
    require_positive("ut_height_m", ut_height_m)
    if scenario in ("umi", "uma"):
        require_between(f"ut_height_m of {scenario}", ut_height_m, np.nextafter(ENVIRONMENT_HEIGHT_M, 2), 22.5)
        require_between(f"bs_height_m of {scenario}", bs_height_m, np.nextafter(ENVIRONMENT_HEIGHT_M, 2), np.inf)
        require_positive("ut_height_m - environment_height_m", np.subtract(ut_height_m, environment_height_m))
        require_positive("bs_height_m - environment_height_m", np.subtract(bs_height_m, environment_height_m))
    d2, fc, bs, ut, env = (
        np.asarray(value, dtype=np.float64)
        for value in (distance_2d_m, carrier_ghz, bs_height_m, ut_height_m, environment_height_m)
    )
    d3 = distance_3d_m(d2, bs, ut)
    require_positive("3-D distance", d3)
    los_db, nlos_db = _MODELS[scenario](d2, d3, fc, bs, ut, env) if scenario in _MODELS else _inf(scenario, d3, fc)
    return np.where(np.asarray(los, dtype=bool), los_db, nlos_db)


def draw_environment_height_m(distance_2d_m: npt.ArrayLike, ut_height_m: npt.ArrayLike, draws: npt.ArrayLike) -> Array:
    """Effective environment height h_E of UMa links (TR 38.901 Table 7.4.1-1 note 1). Broadcasts.

    1 m with probability 1 / (1 + C(d2D, hUT)), else one of 12, 15, ... m up to hUT - 1.5 m, all alike. C is 0 below
    13 m and up to 18 m of distance, else ((hUT - 13) / 10)^1.5 (5/4) (d2D / 100)^3 exp(-d2D / 150).

    Args:
        distance_2d_m, ut_height_m: horizontal distance and height of the device.
        draws: two uniform numbers in [0, 1) for each link, [2, ...].
    """
    distance, height = np.asarray(distance_2d_m, dtype=np.float64), np.asarray(ut_height_m, dtype=np.float64)
    first, second = np.asarray(draws, dtype=np.float64)
    raised = np.where(distance > 18, 1.25 * (distance / 100) ** 3 * np.exp(-distance / 150), 0.0)
    factor = (np.maximum(height - 13, 0) / 10) ** 1.5 * raised
    num_steps = np.maximum(np.floor((height - 1.5 - 12) / 3) + 1, 1)
    drawn = 12 + 3 * np.floor(second * num_steps)
    # Between 13 and 13.5 m no step fits below the device.
    is_low = (first < 1 / (1 + factor)) | (height < 13.5)
    return np.where(is_low, ENVIRONMENT_HEIGHT_M, drawn)


def distance_3d_m(distance_2d_m: npt.ArrayLike, bs_height_m: npt.ArrayLike, ut_height_m: npt.ArrayLike) -> Array:
    """sqrt(d2D^2 + (hBS - hUT)^2). Broadcasts."""
    return np.asarray(np.hypot(np.asarray(distance_2d_m, dtype=np.float64), np.subtract(bs_height_m, ut_height_m)))
