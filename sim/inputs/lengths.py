"""Lengths of prompts and answers, drawn from a distribution."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from sim.core.settings import Settings


class LengthSettings(Settings):
    """A distribution of lengths in tokens; what falls outside the bounds is moved to them."""

    distribution: Literal["constant", "uniform", "geometric", "lognormal", "gamma"] = "constant"
    """`constant` (the mean), `uniform` between min and max, `geometric` (each token is the last with equal
    probability), `lognormal` or `gamma` of a mean and a coefficient of variation."""
    mean: float | None = Field(default=None, ge=1)
    """Mean length [tokens], before the bounds; not for `uniform`."""
    cv: float = Field(default=1.0, gt=0, le=10)
    """Standard deviation over mean, for `lognormal` and `gamma`."""
    min: int = Field(default=1, ge=1)
    """Shortest length [tokens]."""
    max: int | None = Field(default=None, ge=1)
    """Longest length [tokens]; no bound if not set."""

    @model_validator(mode="after")
    def _keys_fit(self) -> LengthSettings:
        if self.distribution == "uniform":
            if self.max is None or self.mean is not None:
                raise ValueError("uniform is given by min and max, and no mean")
        elif self.mean is None:
            raise ValueError(f"{self.distribution} needs a mean")
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max ({self.max}) must not be below min ({self.min})")
        return self

    def draw(self, rng: np.random.Generator) -> int:
        """One length."""
        if self.distribution == "uniform":
            assert self.max is not None
            return int(rng.integers(self.min, self.max + 1))
        assert self.mean is not None
        length = self._draw_unbounded(self.mean, rng)
        return max(self.min, length if self.max is None else min(length, self.max))

    def _draw_unbounded(self, mean: float, rng: np.random.Generator) -> int:
        if self.distribution == "geometric":
            return int(rng.geometric(1 / mean))
        if self.distribution == "lognormal":
            variance = math.log1p(self.cv**2)
            return round(rng.lognormal(math.log(mean) - variance / 2, math.sqrt(variance)))
        if self.distribution == "gamma":
            shape = 1 / self.cv**2
            return round(rng.gamma(shape, mean / shape))
        return round(mean)
