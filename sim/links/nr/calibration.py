"""Drops of devices over the cells of a link, as 3GPP calibrates channel models: no slot is simulated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from channels.calibration import coupling_loss_db, sir_db
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drop:
    """Where devices of one or several drops came to stand, in decibels.

    Attributes:
        coupling_loss_db: Gain to the serving cell, negative, [num_devices].
        sir_db: Serving cell over the sum of all others, [num_devices].
    """

    coupling_loss_db: Array
    sir_db: Array


def calibration_drop(settings: NrLinkSettings, num_devices: int, seed: int, num_drops: int = 1) -> Drop:
    """Drop devices by a link's own geometry, propagation and antennas.

    Args:
        settings: Keys of the link; fading, powers and the carrier's width play no part.
        num_devices: Devices of each drop.
        seed: Seed of the first drop; the others follow.
        num_drops: Drops with shadowing and lines of sight of their own.

    Raises:
        ValueError: The link has one cell, or a fixed SNR instead of a geometry.
    """
    if settings.snr_db is not None:
        raise ValueError("snr_db replaces geometry and propagation; leave it out to calibrate them")
    # Gains do not depend on the width, which another carrier than the scenario's may not have.
    keys = {
        "bandwidth_mhz": 100.0,
        "scs_khz": 60,
        "fading": "none",
        "fading_trace": None,
        "num_rx": 1,
        "num_tx": 1,
        "beam_ports": 0,
    }
    plain = settings.model_copy(update={**keys, "uplink_num_rx": None, "uplink_num_tx": None})
    carrier = Carrier(plain)
    gains = [RadioChannel(carrier, plain, num_devices, seed + drop).gain_db for drop in range(num_drops)]
    gain_db = np.concatenate(gains)
    return Drop(coupling_loss_db(gain_db), sir_db(gain_db))
