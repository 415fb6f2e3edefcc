"""Even out: devices that were sent less than the mean in the last interval get a larger weight."""

from __future__ import annotations

import numpy as np

from sim.links.nr.mac.xapps.base import Array, Indication, XApp
from sim.links.nr.mac.xapps.registry import XAPPS


@XAPPS.register("even_out")
class EvenOut(XApp):
    """Weights move by the root of the mean over the own bits of the period, within 1/8 and 8."""

    def weights(self, indication: Indication) -> Array:
        """W sqrt(mean / own), for devices that had any data."""
        own = indication.uplink_bits + indication.downlink_bits
        if not own.any():
            return indication.weights
        step = np.where(own > 0, np.sqrt(own[own > 0].mean() / np.maximum(own, 1.0)), 1.0)
        return np.clip(indication.weights * step, 1 / 8, 8)
