"""Compute priced by the host's own forward passes, timed once: real in kind, the same at every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.calibration import Calibration
from sim.compute.calibration_files import load_or_measure
from sim.compute.registry import COMPUTE, DEFAULT_POWER_W
from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.models.interface import LanguageModel


class CalibratedSettings(Settings):
    """Keys of ``calibrated``."""

    file: str | None = None
    """Calibration file made by ``specran calibrate --out FILE``: the same times on every host. Without it, this host
    is timed once and the result is kept in the user's cache."""
    threads: int = Field(default=1, ge=1, le=1024)
    """PyTorch threads that this host's forwards are timed on; of no effect with a calibration file."""
    speed_factor: float = Field(default=1.0, gt=0)
    """How many times faster than the calibrated host the simulated machine is; 2 halves every time."""
    power_w: float = Field(default=DEFAULT_POWER_W, ge=0)
    """Power drawn above idle while a forward runs [W]. The default is the base power of a laptop processor (Intel Core
    U series); state the power of the machine that you mean."""


class CalibratedCompute(ComputeModel):
    """seconds = fitted seconds of the calibrated host / speed_factor."""

    def __init__(self, calibration: Calibration, settings: CalibratedSettings) -> None:
        self.calibration = calibration
        self.settings = settings

    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Cost by the fit, whether or not such a batch was ever timed."""
        seconds = self.calibration.coefficients.seconds(batch) / self.settings.speed_factor
        return Cost(seconds, seconds * self.settings.power_w)

    def describe(self) -> dict[str, object]:
        """The calibration with its content hash and fit errors, and the power assumed."""
        calibration = self.calibration
        return {
            "kind": "calibrated",
            "content_hash": calibration.content_hash,
            "model_fingerprint": calibration.model_fingerprint,
            "coefficients": asdict(calibration.coefficients),
            "median_relative_error": calibration.median_relative_error,
            "max_relative_error": calibration.max_relative_error,
            "host": asdict(calibration.host),
            "speed_factor": self.settings.speed_factor,
            "power_w": self.settings.power_w,
        }


@COMPUTE.register("calibrated", CalibratedSettings)
def make_calibrated(settings: CalibratedSettings, model: LanguageModel | None = None) -> CalibratedCompute:
    """This host's real forward passes, timed once and fitted; repeatable."""
    if model is None:
        raise InputError("calibrated compute needs the model whose forwards it prices")
    return CalibratedCompute(load_or_measure(model, settings.file, settings.threads), settings)
