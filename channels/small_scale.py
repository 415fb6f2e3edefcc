"""Delay spread, azimuth spread and Rician K by scenario, state and frequency (TR 38.901 Table 7.5-6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from channels._tables import load_table
from channels._validation import require_between, require_choice
from channels.addressed import uniforms
from channels.propagation import SCENARIOS

Array = npt.NDArray[np.float64]
STATES = ("los", "nlos", "o2i")
# Drawn normal numbers are cut at this many standard deviations, so that no link is absurd.
_MAX_SIGMAS = 3.0


@dataclass(frozen=True)
class SmallScaleParameters:
    """Log-normal delay spread and K-factor of one scenario, state and frequency.

    Attributes:
        lg_delay_spread, lg_delay_spread_sigma: mean and standard deviation of lg(DS / 1 s).
        azimuth_spread_deg: median azimuth spread of departure at the base station.
        k_factor_db, k_factor_sigma_db: mean and standard deviation of the Rician K-factor [dB]; None without a direct
            path.
        delay_k_correlation: correlation coefficient of the two.
    """

    lg_delay_spread: float
    lg_delay_spread_sigma: float
    azimuth_spread_deg: float
    k_factor_db: float | None = None
    k_factor_sigma_db: float = 0.0
    delay_k_correlation: float = 0.0

    @property
    def median_delay_spread_s(self) -> float:
        """10^mean: half of all links have less."""
        return float(10**self.lg_delay_spread)

    @property
    def median_k_linear(self) -> float:
        """K of the median link, linear; 0 without a direct path."""
        return 0.0 if self.k_factor_db is None else float(10 ** (self.k_factor_db / 10))

    def draw(self, normals: npt.ArrayLike) -> tuple[Array, Array]:
        """(delay spread [s], K linear) of links from two standard normal numbers each, [2, ...] -> [...]."""
        first, second = np.clip(np.asarray(normals, dtype=np.float64), -_MAX_SIGMAS, _MAX_SIGMAS)
        spread = 10 ** (self.lg_delay_spread + self.lg_delay_spread_sigma * first)
        if self.k_factor_db is None:
            return spread, np.zeros(np.shape(spread))
        rho = self.delay_k_correlation
        k_db = self.k_factor_db + self.k_factor_sigma_db * (rho * first + np.sqrt(1 - rho**2) * second)
        return spread, np.asarray(10 ** (k_db / 10))


def small_scale_parameters(scenario: str, state: str, carrier_ghz: float) -> SmallScaleParameters:
    """Parameters of one scenario and state.

    Args:
        scenario: as in `channels.propagation.SCENARIOS`.
        state: "los", "nlos" or "o2i" (device indoors); where a scenario has no O2I parameters (inh, inf), that of NLoS.
        carrier_ghz: 0.5 to 100.
    """
    require_choice("scenario", scenario, SCENARIOS)
    require_choice("state", state, STATES)
    require_between("carrier_ghz", carrier_ghz, 0.5, 100)
    table = load_table("small_scale")
    family = "inf" if scenario.startswith("inf") else scenario
    states = table["laws"][family]
    row = states.get(state, states["nlos"])
    carrier = max(float(carrier_ghz), float(table["min_carrier_ghz"][family]))

    def at(name: str) -> float:
        slope, offset, constant = row[name]
        return float(slope * np.log10(offset + carrier) + constant)

    k_mean, k_sigma = row.get("k_factor_db", (None, 0.0))
    return SmallScaleParameters(
        at("lg_delay_spread"),
        at("lg_delay_spread_sigma"),
        10 ** at("lg_azimuth_spread"),
        k_mean,
        k_sigma,
        float(row.get("delay_k_correlation", 0.0)),
    )


def draw_small_scale(
    scenario: str, state: str, carrier_ghz: float, seed: int, link_ids: npt.ArrayLike
) -> tuple[Array, Array]:
    """(delay spread [s], K linear) of links in one state, drawn once by (seed, state, link). [num_links] each.

    Notes: the draws are independent of shadowing and of neighbouring links; each link keeps its own while it moves.
    """
    draws = uniforms(seed, "small scale", state, entities=link_ids, count=2)
    normals = ndtri(np.clip(draws, 1e-12, 1 - 1e-12))
    return small_scale_parameters(scenario, state, carrier_ghz).draw(normals.T)
