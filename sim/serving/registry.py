"""The engines that YAML may name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.core.registry import Registry
from sim.serving.base import Engine, EngineMemory

EngineFactory = Callable[[Any, EngineMemory], Engine]
"""Makes an engine from its keys and the memory it may fill."""

ENGINES: Registry[EngineFactory] = Registry("engine", "sim.serving")
