"""Tap profiles of small-scale fading: TDL-A..E (TR 38.901 7.7.2), flat Rayleigh and flat Rician."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_between, require_choice, require_positive

Array = npt.NDArray[np.float64]
TDL_MODELS = ("tdl_a", "tdl_b", "tdl_c", "tdl_d", "tdl_e")
# Doppler shift of the specular path in units of the maximum (TR 38.901 7.7.2).
LOS_DOPPLER_FRACTION = 0.7


@dataclass(frozen=True)
class TapProfile:
    """Mean powers and delays of a channel of unit mean power gain.

    Attributes:
        delays_s: delay of each Rayleigh tap, [num_taps].
        powers: mean power of each Rayleigh tap, linear, [num_taps].
        los_power: power of the specular path at delay zero, 0 without one; los_power + sum(powers) = 1.
    """

    delays_s: Array
    powers: Array
    los_power: float = 0.0

    def __post_init__(self) -> None:
        if self.delays_s.shape != self.powers.shape or self.delays_s.ndim != 1:
            raise ValueError(
                f"delays_s, powers: got {self.delays_s.shape}, {self.powers.shape}; valid: equal [num_taps]"
            )
        total = float(self.powers.sum()) + self.los_power
        if abs(total - 1) > 1e-9:
            raise ValueError(f"powers: sum to {total} with los_power; valid: 1")

    @property
    def k_factor_db(self) -> float:
        """Specular over scattered power at all delays, dB; -inf without a specular path."""
        if self.los_power == 0:
            return float("-inf")
        return float(10 * np.log10(self.los_power / self.powers.sum()))

    @property
    def rms_delay_spread_s(self) -> float:
        """Root-mean-square delay spread of the power profile."""
        mean = float(self.powers @ self.delays_s)
        return float(np.sqrt(max(0.0, float(self.powers @ self.delays_s**2) - mean**2)))

    def frequency_correlation(self, spacing_hz: npt.ArrayLike) -> npt.NDArray[np.complex128]:
        """E[H(f + spacing) H*(f)] of the scattered part plus the specular path. [...]."""
        phase = np.exp(-2j * np.pi * np.multiply.outer(np.asarray(spacing_hz, dtype=np.float64), self.delays_s))
        return np.asarray(phase @ self.powers + self.los_power)


def tdl_profile(model: str, delay_spread_s: float) -> TapProfile:
    """TDL-A..E scaled to an RMS delay spread (TR 38.901 7.7.2, Tables 7.7.2-1..5; scaling 7.7.3).

    Args:
        model: tdl_a, tdl_b, tdl_c (NLoS), tdl_d, tdl_e (LoS).
        delay_spread_s: e.g. 30e-9 short, 100e-9 nominal, 300e-9 long, 1000e-9 very long (Table 7.7.3-1).
    """
    require_choice("model", model, TDL_MODELS)
    require_between("delay_spread_s", delay_spread_s, 0, 1e-5)
    row = load_table("tdl_profiles")["profiles"][model]
    delays = np.array(row["delay"], dtype=np.float64) * delay_spread_s
    powers = 10 ** (np.array(row["power_db"], dtype=np.float64) / 10)
    powers /= powers.sum()
    if row["has_los"]:
        return TapProfile(delays[1:], powers[1:], float(powers[0]))
    return TapProfile(delays, powers)


def with_k_factor(profile: TapProfile, k_linear: float, delay_spread_s: float) -> TapProfile:
    """A LoS profile at another K-factor, its delays scaled to an RMS delay spread (TR 38.901 7.7.6, 7.7.3).

    Args:
        profile: taps with or without a specular path; their relative powers and delays stay.
        k_linear: specular over scattered power at all delays, >= 0.
        delay_spread_s: RMS delay spread, the specular path counted.
    """
    require_between("k_linear", k_linear, 0, 1e6)
    los_power = k_linear / (1 + k_linear)
    scaled = TapProfile(profile.delays_s, profile.powers / profile.powers.sum() * (1 - los_power), los_power)
    if scaled.rms_delay_spread_s == 0:
        return scaled
    return TapProfile(scaled.delays_s * (delay_spread_s / scaled.rms_delay_spread_s), scaled.powers, los_power)


def condensed(profile: TapProfile, num_taps: int) -> TapProfile:
    """Fewer taps of the same power and delay spread, as the simplified profiles of TS 38.101-4 B.2.1 (12 taps).

    Neighbouring taps are merged, at their power-weighted mean delay, always those whose merger takes least from the
    delay spread; in the end delays are stretched to restore it.
    """
    if num_taps < 2:
        raise ValueError(f"num_taps: got {num_taps}; valid: >= 2")
    order = np.argsort(profile.delays_s, kind="stable")
    delays, powers = profile.delays_s[order], profile.powers[order]
    while len(powers) > num_taps:
        pairs = powers[:-1] + powers[1:]
        first = int(np.argmin(powers[:-1] * powers[1:] / pairs * np.diff(delays) ** 2))
        delays[first] = (powers[first : first + 2] @ delays[first : first + 2]) / pairs[first]
        powers[first] = pairs[first]
        delays, powers = np.delete(delays, first + 1), np.delete(powers, first + 1)
    merged = TapProfile(delays, powers, profile.los_power)
    if merged.rms_delay_spread_s == 0:
        return merged
    return TapProfile(delays * (profile.rms_delay_spread_s / merged.rms_delay_spread_s), powers, profile.los_power)


def rayleigh_profile() -> TapProfile:
    """One tap, no specular path: frequency-flat Rayleigh."""
    return TapProfile(np.zeros(1), np.ones(1))


def rician_profile(k_factor_db: float) -> TapProfile:
    """One tap with a specular path `k_factor_db` above the scattered power: frequency-flat Rician."""
    require_between("k_factor_db", k_factor_db, -40, 60)
    k = 10 ** (k_factor_db / 10)
    return TapProfile(np.zeros(1), np.array([1 / (1 + k)]), k / (1 + k))


def fading_profile(model: str, delay_spread_s: float = 100e-9, k_factor_db: float = 9.0) -> TapProfile:
    """The profile named in a scenario: tdl_a .. tdl_e, rayleigh or rician; ValueError lists them."""
    require_choice("fading model", model, (*TDL_MODELS, "rayleigh", "rician"))
    if model == "rayleigh":
        return rayleigh_profile()
    if model == "rician":
        return rician_profile(k_factor_db)
    require_positive("delay_spread_s", delay_spread_s)
    return tdl_profile(model, delay_spread_s)
