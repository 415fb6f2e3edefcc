"""The schedulers that a scenario may name."""

from __future__ import annotations

from sim.core.registry import Registry
from sim.links.nr.mac.schedulers.base import Scheduler

SCHEDULERS: Registry[type[Scheduler]] = Registry("scheduler", "sim.links.nr.mac.schedulers")
