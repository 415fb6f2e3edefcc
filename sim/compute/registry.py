"""The names of compute models that YAML may use, and what a factory behind such a name looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.compute.base import ComputeModel
from sim.core.registry import Registry
from sim.models.interface import LanguageModel

# (settings, model) -> compute model. The model is the one whose forwards are priced; None where a caller has none,
# which an entry that has to look at the model refuses with an InputError.
ComputeFactory = Callable[[Any, LanguageModel | None], ComputeModel]

COMPUTE: Registry[ComputeFactory] = Registry("compute model", "sim.compute")

# Intel's processor base power of its laptop U series, such as the Core i7-1365U (15 W): one busy package above idle.
DEFAULT_POWER_W = 15.0
