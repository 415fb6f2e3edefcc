"""Shadowing and line-of-sight state as fixed random fields over the plane: functions of position, never redrawn.

A unit-variance Gaussian field with autocorrelation exp(-d / d_corr) (TR 38.901 7.4.4) is the sum of M plane waves whose
wave numbers follow its isotropic spectrum, S(k) ~ d_corr^2 (1 + k^2 d_corr^2)^(-3/2). Waves are addressed by (seed,
site, state), so moving a device along any path, or evaluating many devices at once, reads the same field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_between, require_choice, require_points, require_positive
from channels.addressed import generator
from channels.propagation import SCENARIOS

Array = npt.NDArray[np.float64]
_DEFAULT_WAVES = 256
# Points evaluated together: few enough that the work stays in cache.
_CHUNK = 128


class CorrelatedField:
    """A fixed Gaussian field of zero mean and unit variance over the plane.

    Args:
        correlation_m: distance at which the autocorrelation has fallen to 1/e.
        seed, address: what the waves are keyed by.
        num_waves: more waves make the field more Gaussian at one point; the excess kurtosis is -1.5 / num_waves.
    """

    def __init__(self, correlation_m: float, seed: int, *address: int | str, num_waves: int = _DEFAULT_WAVES) -> None:
        require_positive("correlation_m", correlation_m)
        require_between("num_waves", num_waves, 8, 65536)
        draw = generator(seed, "shadowing", *address)
        # Radial distribution P(k < K) = 1 - 1 / sqrt(1 + K^2 d^2), inverted on one jittered point per equal slice.
        share = (np.arange(num_waves) + draw.random(num_waves)) / num_waves
        wave_number = np.sqrt(1 / (1 - share) ** 2 - 1) / correlation_m
        direction = 2 * np.pi * (draw.permutation(num_waves) + draw.random(num_waves)) / num_waves
        # Turns per metre, [2, num_waves], and turns.
        self._waves = wave_number / (2 * np.pi) * np.stack([np.cos(direction), np.sin(direction)])
        self._phases = draw.random(num_waves)
        self._amplitude = float(np.sqrt(2 / num_waves))
        self.correlation_m = float(correlation_m)

    def values(self, positions_m: npt.ArrayLike) -> Array:
        """The field at positions [..., 2] in metres. [...]."""
        positions = require_points("positions_m", positions_m)
        points = positions.reshape(-1, 2)
        result = np.empty(len(points))
        for start in range(0, len(points), _CHUNK):
            x, y = points[start : start + _CHUNK].T
            # Elementwise, not a matrix product: a position's value must not depend on how many are asked for.
            turns = x[:, None] * self._waves[0] + y[:, None] * self._waves[1] + self._phases
            # Within one turn single precision is exact to 1e-7, and its cosine several times faster.
            angle = ((turns - np.rint(turns)) * (2 * np.pi)).astype(np.float32)
            result[start : start + _CHUNK] = np.cos(angle).sum(axis=1, dtype=np.float64)
        return np.asarray(self._amplitude * result.reshape(positions.shape[:-1]))


@dataclass(frozen=True)
class ShadowingParameters:
    """Standard deviation [dB] and decorrelation distance [m] of one scenario and state."""

    sigma_db: float
    correlation_m: float


def shadowing_parameters(scenario: str, state: str) -> ShadowingParameters:
    """sigma_SF and decorrelation distance (TR 38.901 Tables 7.4.1-1, 7.5-6). RMa LoS is 6 dB beyond the breakpoint.

    Args:
        state: "los", "nlos" or, for umi, uma, rma, "o2i" (device indoors).
    """
    require_choice("scenario", scenario, SCENARIOS)
    table = load_table("shadowing")
    require_choice(f"state of {scenario}", state, tuple(table["sigma_db"][scenario]))
    return ShadowingParameters(
        float(table["sigma_db"][scenario][state]), float(table["correlation_m"][scenario][state])
    )


def shadowing_states(scenario: str) -> tuple[str, ...]:
    """States with shadowing of their own in a scenario: los, nlos and, outdoors, o2i."""
    require_choice("scenario", scenario, SCENARIOS)
    return tuple(load_table("shadowing")["sigma_db"][scenario])


def rma_los_sigma_db(is_beyond_breakpoint: npt.ArrayLike) -> Array:
    """sigma_SF of RMa LoS: 4 dB up to the breakpoint, 6 dB beyond."""
    near = shadowing_parameters("rma", "los").sigma_db
    far = float(load_table("shadowing")["rma_los_beyond_breakpoint_sigma_db"])
    return np.where(np.asarray(is_beyond_breakpoint, dtype=bool), far, near)


def los_state_correlation_m(scenario: str) -> float:
    """Correlation distance of the LoS state (TR 38.901 Table 7.6.3.1-2; InF at the clutter of Table 7.8-7)."""
    require_choice("scenario", scenario, SCENARIOS)
    return float(load_table("shadowing")["los_state_correlation_m"][scenario])


class ShadowingMap:
    """Shadow fading in dB between one site and any position, one independent field per state.

    Fields of different sites are independent; sectors of one site share theirs.
    """

    def __init__(self, scenario: str, seed: int, site: int, num_waves: int = _DEFAULT_WAVES) -> None:
        self._scenario = scenario
        self._fields = {
            state: CorrelatedField(
                shadowing_parameters(scenario, state).correlation_m, seed, scenario, site, state, num_waves=num_waves
            )
            for state in shadowing_states(scenario)
        }

    def shadowing_db(self, positions_m: npt.ArrayLike, state: str, sigma_db: npt.ArrayLike | None = None) -> Array:
        """Shadow fading at positions [..., 2] in one state; `sigma_db` overrides the scenario's. [...]."""
        parameters = shadowing_parameters(self._scenario, state)
        sigma = parameters.sigma_db if sigma_db is None else np.asarray(sigma_db, dtype=np.float64)
        return np.asarray(sigma * self._fields[state].values(positions_m))


class LineOfSightMap:
    """Spatially consistent LoS state between one site and any position (TR 38.901 7.6.3.3).

    A Gaussian field with the LoS state's correlation distance, mapped to a uniform one, stands at every position;
    LoS holds where it is below P(LoS).
    """

    def __init__(self, scenario: str, seed: int, site: int, num_waves: int = _DEFAULT_WAVES) -> None:
        correlation_m = los_state_correlation_m(scenario)
        self._field = CorrelatedField(correlation_m, seed, "line of sight", scenario, site, num_waves=num_waves)

    def is_los(self, positions_m: npt.ArrayLike, probability: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether positions [..., 2] see the site, given P(LoS) [...]."""
        from scipy.special import ndtr

        uniform = ndtr(self._field.values(positions_m))
        return np.asarray(uniform < np.asarray(probability, dtype=np.float64), dtype=np.bool_)
