"""The orchestrators that a scenario may name."""

from __future__ import annotations

from sim.core.registry import Registry
from sim.serving.ran_sharing.orchestrators.base import Orchestrator

ORCHESTRATORS: Registry[type[Orchestrator]] = Registry("orchestrator", "sim.serving.ran_sharing.orchestrators")
