"""Compute priced by a user's own timings of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field, field_validator

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.registry import COMPUTE, DEFAULT_POWER_W
from sim.compute.roles import PerRole, RoleSettings, single
from sim.compute.table_fit import TableFit, fit_table
from sim.core.errors import InputError
from sim.models.interface import LanguageModel


class TableSettings(RoleSettings):
    """Keys of ``table``."""

    file: PerRole[str]
    """CSV file of timings with the columns new_tokens (of each sequence), context_tokens, batch (sequences), ms; or a
    file for each model role that runs here. Steps of other sizes are priced by a fit, whose error is reported."""
    speed_factor: float = Field(default=1.0, gt=0, le=1e6)
    """How many times faster than the timed machine the simulated one is; 2 halves every time."""
    power_w: float = Field(default=DEFAULT_POWER_W, ge=0, le=1e6)
    """Power drawn above idle while a step runs [W]."""
    idle_power_w: float = Field(default=0.0, ge=0, le=1e6)
    """Power drawn at rest [W]."""
    memory_gb: float | None = Field(default=None, gt=0, le=1e6)
    """Memory that weights, keys and values may fill [10^9 byte]; without it memory is no limit."""
    weights_gb: PerRole[float] | None = None
    """Memory that the model's weights fill [10^9 byte]; or a value for each role."""
    kv_bytes_per_token: PerRole[float] | None = None
    """Memory that keys and values of one token fill [byte]; or a value for each role."""

    @field_validator("file")
    @classmethod
    def _files_are_timings(cls, files: PerRole[str]) -> PerRole[str]:
        try:
            for path in files.values() if isinstance(files, dict) else [files]:
                fit_table(path)
        except InputError as error:
            raise ValueError(str(error)) from error
        return files

    @field_validator("weights_gb", "kv_bytes_per_token")
    @classmethod
    def _sizes_are_positive(cls, sizes: PerRole[float] | None) -> PerRole[float] | None:
        for size in sizes.values() if isinstance(sizes, dict) else [sizes]:
            if size is not None and not 0 < size < 1e12:
                raise ValueError(f"expected a size above 0, got {size:g}")
        return sizes

    def notes_of(self, role: str) -> tuple[str, ...]:
        """The error of the fit."""
        return (_described(fit_table(single(self.for_role(role).file))),)


class TableCompute(ComputeModel):
    """seconds = fitted seconds / speed_factor.

    Args:
        fit: Of the timings.
        settings: Its keys, as they are for one role.
    """

    def __init__(self, fit: TableFit, settings: TableSettings) -> None:
        self.fit = fit
        self.settings = settings
        self.idle_power_w = settings.idle_power_w
        self.memory_bytes = None if settings.memory_gb is None else 1e9 * settings.memory_gb
        weights_gb = None if settings.weights_gb is None else single(settings.weights_gb)
        self.weights_bytes = None if weights_gb is None else 1e9 * weights_gb
        cached = settings.kv_bytes_per_token
        self.kv_bytes_per_token = None if cached is None else single(cached)
        self.notes = (_described(fit),)

    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Cost by the fit, whether or not such a step was ever timed."""
        seconds = self.fit.coefficients.seconds(batch) / self.settings.speed_factor
        return Cost(seconds, seconds * self.settings.power_w)

    def work_of(self, batch: Sequence[WorkSize]) -> list[float]:
        """Seconds of the step by item."""
        return self.fit.coefficients.work_of(batch)

    def describe(self) -> dict[str, object]:
        """The fit with its errors and the content of what was fitted."""
        keys = self.settings.model_dump(exclude={"file"}, mode="json")
        return {"kind": "table", **asdict(self.fit), **keys, "notes": list(self.notes)}


def _described(fit: TableFit) -> str:
    """The error of a fit, in words."""
    unseen = fit.cross_validated_error
    beside = "" if unseen is None else f", {unseen:.1%} on rows left out of the fit"
    return (
        f"fit to {fit.num_rows} timings: mean error {fit.mean_relative_error:.1%}{beside}, "
        f"largest {fit.max_relative_error:.1%} (line {fit.worst_line})"
    )


@COMPUTE.register("table", TableSettings)
def make_table(settings: TableSettings, model: LanguageModel | None = None) -> TableCompute:
    """A fit to timings of the user's own, from a CSV file."""
    return TableCompute(fit_table(single(settings.file)), settings)
