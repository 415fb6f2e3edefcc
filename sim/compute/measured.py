"""Compute that takes what the call took on this host: the most direct timing, and different at every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field
from typing_extensions import override

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.registry import COMPUTE, DEFAULT_POWER_W
from sim.core.settings import Settings
from sim.models.interface import LanguageModel


class MeasuredSettings(Settings):
    """Keys of ``measured``."""

    speed_factor: float = Field(default=1.0, gt=0)
    """How many times faster than this host the simulated machine is; 2 halves every measured time."""
    power_w: float = Field(default=DEFAULT_POWER_W, ge=0)
    """Power drawn above idle while a forward runs [W]."""


class MeasuredCompute(ComputeModel):
    """seconds = measured seconds / speed_factor."""

    needs_wall_clock: ClassVar[bool] = True

    def __init__(self, settings: MeasuredSettings) -> None:
        self.settings = settings

    @override
    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Refuse: what the forwards take is known only by running them.

        Raises:
            TypeError: Always; time the call and use ``price_measured``.
        """
        raise TypeError("measured compute has no price by size; time the forwards and use price_measured(seconds)")

    def price_measured(self, seconds: float) -> Cost:
        """Cost of forwards that took ``seconds`` on this host.

        Raises:
            ValueError: The measured time is negative, infinite or not a number.
        """
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds must be finite and not negative, got {seconds!r}")
        simulated_s = seconds / self.settings.speed_factor
        return Cost(simulated_s, simulated_s * self.settings.power_w)

    def describe(self) -> dict[str, object]:
        """The settings; a run timed in this way cannot be repeated to the byte."""
        return {"kind": "measured", "repeatable": False, **self.settings.model_dump()}


@COMPUTE.register("measured", MeasuredSettings)
def make_measured(settings: MeasuredSettings, model: LanguageModel | None = None) -> MeasuredCompute:
    """What each call really took on this host; not repeatable."""
    return MeasuredCompute(settings)
