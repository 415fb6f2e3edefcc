"""Tap profiles of many links, each with a delay spread and a K-factor of its own, from one bank of scaled profiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_choice
from channels.fading import ProfileBank
from channels.tap_profiles import TDL_MODELS, TapProfile, condensed, rayleigh_profile, tdl_profile

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
MODELS = ("tdl", *TDL_MODELS, "rayleigh", "rician")
# Delays are scaled in steps of 5 %, so that links can share what is evaluated of a profile.
_LG_STEP = float(np.log10(1.05))
# No tap is later than this, however small the scattered part of a delay spread with a strong direct path.
_MAX_SCALE_S = 1e-5
_MIN_SCALE_S = 1e-10
_TAPS = 12


class LinkProfiles:
    """The profiles of a fading model for links in and out of line of sight.

    ``tdl`` takes TDL-A for links out of sight and TDL-D for those in sight, its K-factor and delay spread scaled (TR
    38.901 7.7.3, 7.7.6); any other model is the same for all links. Profiles have 12 taps (TS 38.101-4 B.2.1), or as
    many as asked for.

    Args:
        model: one of MODELS.
        frequencies_hz: PRB group centres relative to the carrier, [num_groups].
        num_taps: taps of a profile; 1 for the flat models.

    Attributes:
        bank: the scaled profiles met so far.
    """

    def __init__(self, model: str, frequencies_hz: npt.ArrayLike, num_taps: int = _TAPS) -> None:
        require_choice("fading model", model, MODELS)
        self._is_flat = model in ("rayleigh", "rician")
        self._kinds = [_unit_profile(name, num_taps) for name in _names(model)]
        self._has_specular = [name in ("tdl_d", "tdl_e", "rician") for name in _names(model)]
        self.bank = ProfileBank(frequencies_hz, max(len(kind.powers) for kind in self._kinds))
        self._index: dict[tuple[int, int], int] = {}

    def of(self, is_los: npt.NDArray[np.bool_], delay_spread_s: Array, k_linear: Array) -> tuple[Indices, Array]:
        """(profile in the bank, K) of links; K is 0 where the model has no direct path. [num_links] each.

        Args:
            is_los: state of each link.
            delay_spread_s: RMS delay spread of each, its direct path counted.
            k_linear: K-factor that a link has if its profile has a direct path.
        """
        kind = is_los.astype(np.int64) if len(self._kinds) > 1 else np.zeros(len(is_los), dtype=np.int64)
        k = np.where(np.array(self._has_specular)[kind], k_linear, 0.0)
        if self._is_flat:
            return np.full(len(kind), self._profile(0, 0), dtype=np.int64), k
        means = np.array([one.powers @ one.delays_s for one in self._kinds])[kind]
        squares = np.array([one.powers @ one.delays_s**2 for one in self._kinds])[kind]
        scattered = 1 / (1 + k)
        rms = np.sqrt(scattered * squares - (scattered * means) ** 2)
        scale = np.clip(delay_spread_s / rms, _MIN_SCALE_S, _MAX_SCALE_S)
        steps = np.rint(np.log10(scale) / _LG_STEP).astype(np.int64)
        pairs, inverse = np.unique(np.stack([kind, steps], axis=1), axis=0, return_inverse=True)
        indices = np.array([self._profile(int(which), int(step)) for which, step in pairs], dtype=np.int64)
        return indices[inverse.reshape(-1)], k

    def _profile(self, kind: int, step: int) -> int:
        held = self._index.get((kind, step))
        if held is None:
            unit, scale = self._kinds[kind], 10 ** (step * _LG_STEP)
            held = self._index[kind, step] = self.bank.add([TapProfile(unit.delays_s * scale, unit.powers)])[0]
        return held


def _names(model: str) -> tuple[str, ...]:
    """Models of links out of sight and, if it differs, in sight."""
    return ("tdl_a", "tdl_d") if model == "tdl" else (model,)


def _unit_profile(name: str, num_taps: int) -> TapProfile:
    """Scattered taps of unit power; delays are those of a delay spread of one second."""
    if name in ("rayleigh", "rician"):
        return rayleigh_profile()
    whole = tdl_profile(name, 1e-5)
    scattered = TapProfile(whole.delays_s * 1e5, whole.powers / whole.powers.sum())
    return condensed(scattered, num_taps) if len(scattered.powers) > num_taps else scattered
