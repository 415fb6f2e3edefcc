"""The registry of controllers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.decoding.controllers.base import Controller
from sim.registry import Registry

CONTROLLERS: Registry[Callable[[Any], Controller]] = Registry("controller", "sim.decoding.controllers")
