"""Compute that takes a stated time: for closed forms, queueing tests and what-if studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from sim.compute.base import ComputeModel, Cost, WorkSize
from sim.compute.registry import COMPUTE, DEFAULT_POWER_W
from sim.compute.roles import PerRole, RoleSettings, single
from sim.models.interface import LanguageModel


class FixedSettings(RoleSettings):
    """Keys of ``fixed``."""

    per_forward_s: PerRole[Annotated[float, Field(ge=0)]] = 0.0
    """Time of one batched forward, whatever its size [s]; or a time for each model role that runs here, such as
    ``{draft: 0.002, target: 0.03}``."""
    per_token_s: PerRole[Annotated[float, Field(ge=0)]] = 0.0
    """Time added by every token fed to the model [s]; or a time for each role."""
    power_w: float = Field(default=DEFAULT_POWER_W, ge=0)
    """Power drawn above idle while a forward runs [W]."""


class FixedCompute(ComputeModel):
    """seconds = per_forward_s + per_token_s * sum(new_tokens)."""

    def __init__(self, settings: FixedSettings) -> None:
        self.settings = settings
        self._per_forward_s = single(settings.per_forward_s)
        self._per_token_s = single(settings.per_token_s)

    def price(self, batch: Sequence[WorkSize]) -> Cost:
        """Cost by the stated times."""
        new_tokens = sum(work.new_tokens for work in batch)
        seconds = self._per_forward_s + self._per_token_s * new_tokens
        return Cost(seconds, seconds * self.settings.power_w)

    def describe(self) -> dict[str, object]:
        """The stated times and power."""
        return {"kind": "fixed", **self.settings.model_dump()}


@COMPUTE.register("fixed", FixedSettings)
def make_fixed(settings: FixedSettings, model: LanguageModel | None = None) -> FixedCompute:
    """A stated time per forward and per token."""
    return FixedCompute(settings)
