"""The schedulers that a scenario may name."""

from __future__ import annotations

from sim.links.nr.mac.schedulers.base import Scheduler
from sim.registry import Registry

SCHEDULERS: Registry[type[Scheduler]] = Registry("scheduler", "sim.links.nr.mac.schedulers")
