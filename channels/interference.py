"""Interference at a receiver: none, a stated rise over thermal, or explicit from who really transmits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice

Array = npt.NDArray[np.float64]
INTERFERENCE_MODELS = ("none", "rise_over_thermal", "explicit")


def check_interference_model(model: str) -> str:
    """`model` if known; ValueError lists none, rise_over_thermal, explicit."""
    require_choice("interference", model, INTERFERENCE_MODELS)
    return model


def rise_over_thermal_mw(noise_mw: npt.ArrayLike, rise_db: float) -> Array:
    """Interference power that lifts noise + interference `rise_db` above the noise: N (10^(rise/10) - 1)."""
    require_between("rise_db", rise_db, 0, 60)
    return np.asarray(np.asarray(noise_mw, dtype=np.float64) * np.expm1(rise_db * np.log(10) / 10))


def explicit_interference_mw(
    transmit_mw: npt.ArrayLike,
    gain_db: npt.ArrayLike,
    serving_cell: npt.ArrayLike,
    fading_gain: npt.ArrayLike | None = None,
) -> Array:
    """Power that each cell receives per PRB group from the transmitters of all other cells. [num_cells, num_groups].

    Args:
        transmit_mw: power of each transmitter in each PRB group of this slot, 0 where it sends nothing,
            [num_transmitters, num_groups].
        gain_db: large-scale gain to every cell, antennas included, [num_transmitters, num_cells].
        serving_cell: cell that each transmitter belongs to; its own signal is no interference, [num_transmitters].
        fading_gain: small-scale power gain, [num_transmitters, num_cells, num_groups]; None is 1.

    Notes: for the uplink transmitters are devices and receivers base stations; for the downlink pass cells as
    transmitters and devices as the "cells" that receive.
    """
    power = np.asarray(transmit_mw, dtype=np.float64)
    gain = 10 ** (np.asarray(gain_db, dtype=np.float64) / 10)
    serving = np.asarray(serving_cell, dtype=np.int64)
    if power.ndim != 2 or gain.ndim != 2 or len(power) != len(gain) or serving.shape != (len(power),):
        raise ValueError(
            f"transmit_mw, gain_db, serving_cell: got {power.shape}, {gain.shape}, {serving.shape}; valid: "
            "[transmitters, groups], [transmitters, cells], [transmitters]"
        )
    if np.any((serving < 0) | (serving >= gain.shape[1])):
        raise ValueError(f"serving_cell: got {serving.min()} to {serving.max()}; valid: 0 to {gain.shape[1] - 1}")
    foreign = gain.copy()
    foreign[np.arange(len(serving)), serving] = 0.0
    if fading_gain is None:
        return np.asarray(foreign.T @ power)
    return np.asarray(np.einsum("tc,tcg,tg->cg", foreign, np.asarray(fading_gain, dtype=np.float64), power))


def sinr(signal_mw: npt.ArrayLike, interference_mw: npt.ArrayLike, noise_mw: npt.ArrayLike) -> Array:
    """S / (I + N), linear. Broadcasts."""
    return np.asarray(
        np.asarray(signal_mw, dtype=np.float64)
        / (np.asarray(interference_mw, dtype=np.float64) + np.asarray(noise_mw, dtype=np.float64))
    )
