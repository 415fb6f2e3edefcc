"""The controllers that a scenario may name."""

from __future__ import annotations

from sim.core.registry import Registry
from sim.links.nr.mac.xapps.base import XApp

XAPPS: Registry[type[XApp]] = Registry("xApp", "sim.links.nr.mac.xapps")
