"""The picture of a calibration: distributions of coupling loss and geometry, with 3GPP's curves where they exist."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channels.calibration import QUANTITIES, reference
from sim.figures.style import COLOURS, new_figure, save_all, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
_HEIGHT_IN = 2.6
_LABELS = {"coupling_loss_db": "Coupling loss (dB)", "sir_db": "Geometry without noise (dB)"}


def draw_calibration(
    drops: Mapping[str, Array], scenario: str, carrier_ghz: float, folder: Path, name: str = "calibration"
) -> list[Path]:
    """Draw the distributions of a drop into ``folder``; returns the files, PNG, PDF and SVG.

    Args:
        drops: "coupling_loss_db" and "sir_db" of all devices, [num_devices] each.
        scenario, carrier_ghz: What published curves are looked up by.
        folder: Made if it is missing.
        name: Name of the files.
    """
    with styled():
        return save_all(calibration_figure(drops, scenario, carrier_ghz), folder, name)


@styled()
def calibration_figure(drops: Mapping[str, Array], scenario: str, carrier_ghz: float) -> Figure:
    """The figure of ``draw_calibration``, not saved."""
    figure = new_figure("two_column", _HEIGHT_IN)
    for axes, quantity in zip(figure.subplots(1, 2, sharey=True), QUANTITIES, strict=True):
        values = np.sort(drops[quantity])
        axes.plot(values, 100 * (np.arange(len(values)) + 0.5) / len(values), color=COLOURS[0], label="this drop")
        published = reference(quantity, scenario, carrier_ghz)
        if published is not None:
            percentiles, curve = published
            axes.plot(curve, percentiles, ls="none", marker="o", color=COLOURS[1], label="3GPP R1-165974, median")
        axes.set_xlabel(_LABELS[quantity])
        axes.set_ylim(0, 100)
    figure.axes[0].set_ylabel("Share of devices below (%)")
    figure.axes[1].legend(loc="lower right")
    return figure
