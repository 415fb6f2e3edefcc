"""The schema of a distribution of lengths."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sim.core.settings import Settings

# More than any model's context.
MAX_LENGTH = 10_000_000


class LengthSettings(Settings):
    """A distribution of lengths in tokens; what falls outside the bounds is moved to them."""

    distribution: Literal["constant", "uniform", "geometric", "lognormal", "gamma"] = "constant"
    """`constant` (the mean), `uniform` between min and max, `geometric` (each token is the last with equal
    probability), `lognormal` or `gamma` of a mean and a coefficient of variation."""
    mean: float | None = Field(default=None, ge=1, le=MAX_LENGTH)
    """Mean length [tokens], before the bounds; not for `uniform`."""
    cv: float = Field(default=1.0, ge=0.01, le=10)
    """Standard deviation over mean, for `lognormal` and `gamma`."""
    min: int = Field(default=1, ge=1, le=MAX_LENGTH)
    """Shortest length [tokens]."""
    max: int | None = Field(default=None, ge=1, le=MAX_LENGTH)
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
