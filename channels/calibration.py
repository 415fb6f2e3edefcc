"""Coupling loss and geometry of a drop of devices, beside the curves of 3GPP's calibration (TR 38.901 7.8.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_choice

Array = npt.NDArray[np.float64]
QUANTITIES = ("coupling_loss_db", "sir_db")
SHOWN_PERCENTILES = (5, 25, 50, 75, 95)
# A carrier this near to a published one is compared with it: 0.1 dB of free-space loss.
_SAME_CARRIER = 0.01


def coupling_loss_db(gain_db: Array) -> Array:
    """Gain between each device and its strongest cell, antennas included; negative, as 3GPP draws it. [num_devices].

    Args:
        gain_db: mean gain of each device to each cell, [num_devices, num_cells].
    """
    return np.asarray(gain_db.max(axis=1))


def sir_db(gain_db: Array) -> Array:
    """Geometry without noise: the strongest cell over the sum of all others, all at equal power. [num_devices]."""
    if gain_db.shape[1] < 2:
        raise ValueError(f"gain_db: got {gain_db.shape[1]} cell; valid: at least 2, whose interference is counted")
    strongest = gain_db.max(axis=1)
    power = 10 ** ((gain_db - strongest[:, None]) / 10)
    return np.asarray(-10 * np.log10(power.sum(axis=1) - 1))


def reference(quantity: str, scenario: str, carrier_ghz: float) -> tuple[Array, Array] | None:
    """(percentiles, values) of the median of 3GPP's companies (R1-165974); None where none is published.

    Args:
        quantity: "coupling_loss_db" or "sir_db".
        scenario: published for umi and uma.
        carrier_ghz: published for 6, 30 and 70 GHz.
    """
    require_choice("quantity", quantity, QUANTITIES)
    table = load_table("calibration")
    for carrier, values in table[quantity].get(scenario, {}).items():
        if abs(float(carrier_ghz) / float(carrier) - 1) < _SAME_CARRIER:
            return np.array(table["percentiles"], dtype=np.float64), np.array(values, dtype=np.float64)
    return None


def shown(values: Array) -> dict[str, float]:
    """Percentiles 5, 25, 50, 75 and 95 of a drop's values."""
    return {str(p): float(v) for p, v in zip(SHOWN_PERCENTILES, np.percentile(values, SHOWN_PERCENTILES), strict=True)}


def shown_reference(quantity: str, scenario: str, carrier_ghz: float) -> dict[str, float] | None:
    """The same percentiles of 3GPP's median; None where none is published."""
    published = reference(quantity, scenario, carrier_ghz)
    if published is None:
        return None
    percentiles, values = published
    return {str(p): float(values[percentiles == p][0]) for p in SHOWN_PERCENTILES}
