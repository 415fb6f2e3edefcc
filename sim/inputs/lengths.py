"""Lengths of prompts and answers, drawn from a distribution."""

from __future__ import annotations

import math

import numpy as np

from sim.scenario.lengths import LengthSettings


def draw_length(settings: LengthSettings, rng: np.random.Generator) -> int:
    """One length [tokens].

    Args:
        settings: The distribution.
        rng: Where it comes from.
    """
    if settings.distribution == "uniform":
        assert settings.max is not None
        return int(rng.integers(settings.min, settings.max + 1))
    assert settings.mean is not None
    length = _draw_unbounded(settings, settings.mean, rng)
    return max(settings.min, length if settings.max is None else min(length, settings.max))


def _draw_unbounded(settings: LengthSettings, mean: float, rng: np.random.Generator) -> int:
    if settings.distribution == "geometric":
        return int(rng.geometric(1 / mean))
    if settings.distribution == "lognormal":
        variance = math.log1p(settings.cv**2)
        return round(rng.lognormal(math.log(mean) - variance / 2, math.sqrt(variance)))
    if settings.distribution == "gamma":
        shape = 1 / settings.cv**2
        return round(rng.gamma(shape, mean / shape))
    return round(mean)
