"""The links that a scenario may name."""

from __future__ import annotations

from sim.links.base import Link
from sim.registry import Registry

LINKS: Registry[type[Link]] = Registry("link", "sim.links")
