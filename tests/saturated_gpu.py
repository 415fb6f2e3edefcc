"""A GPU on which a model computes step after step beside cells that are not simulated."""

from __future__ import annotations

from sim.core.kernel import Environment
from sim.serving.ran_sharing.gpu import SharedGpu
from sim.serving.ran_sharing.settings import RanSharingSettings
from sim.serving.ran_sharing.site_gpus import SiteGpus

SLOT_NS = 500_000
BURSTY = {"other_load": 1.0, "other_active_share": 0.5}
"""Cells that are full in half of their slots."""


def saturated(mode: str, cells: int = 3, slots: int = 120_000, step_ns: int = 20_000_000) -> dict[str, float]:
    """Columns of a summary after so many slots beside so many cells that are full in half of them."""
    env = Environment()
    gpu = SharedGpu(
        env, RanSharingSettings.model_validate({"mode": mode, "other_cells": cells, **BURSTY}), SLOT_NS, cells=0
    )
    while env.now < slots * SLOT_NS:
        more_ns = gpu.begin_step() + step_ns
        while more_ns:
            since_ns = int(env.now)
            env.run(since_ns + more_ns)
            more_ns = gpu.lost_ns(since_ns, int(env.now))
        gpu.end_step()
    return SiteGpus([gpu]).figures(gpu.counts, int(env.now), 0.0, 1)
