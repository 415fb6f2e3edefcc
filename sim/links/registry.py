"""The links that a scenario may name."""

from __future__ import annotations

from sim.core.registry import Registry
from sim.links.base import Link

LINKS: Registry[type[Link]] = Registry("link", "sim.links")
