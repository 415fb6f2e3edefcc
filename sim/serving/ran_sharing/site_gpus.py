"""The GPUs of all edge sites, each shared by layer 1 of its site's cells and that site's model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from sim.core.clock import NS_PER_S
from sim.serving.ran_sharing.counts import GpuCounts, shares
from sim.serving.ran_sharing.gpu import SharedGpu

if TYPE_CHECKING:
    from sim.links.nr.phy.block import TransportBlock


class SiteGpus:
    """One GPU per edge site; a single one without ``edge.sites``.

    Args:
        gpus: By number of the site.
        site_of: Site of a cell.
    """

    def __init__(self, gpus: Sequence[SharedGpu], site_of: Callable[[int], int] = lambda _: 0) -> None:
        self.gpus, self.site_of = list(gpus), site_of

    def of_blocks(self, blocks: list[TransportBlock]) -> Iterator[tuple[SharedGpu, list[TransportBlock]]]:
        """The GPUs that process a slot's blocks, each with its own ones, which are those of its cells."""
        if len(self.gpus) == 1:
            yield self.gpus[0], blocks
            return
        own: dict[int, list[TransportBlock]] = {}
        for block in blocks:
            own.setdefault(self.site_of(block.cell), []).append(block)
        for site, some in own.items():
            yield self.gpus[site], some

    def counts(self, now_ns: int) -> GpuCounts:
        """What all of them have done so far."""
        for gpu in self.gpus:
            gpu.advance(now_ns)
        names = [field.name for field in fields(GpuCounts)]
        return GpuCounts(**{name: sum([getattr(gpu.counts, name) for gpu in self.gpus]) for name in names})

    def finish(self) -> None:
        """The run has ended."""
        for gpu in self.gpus:
            gpu.finish()

    def figures(self, counts: GpuCounts, duration_ns: int, model_j: float, tokens: int) -> dict[str, float]:
        """Columns of the summary; shares are means over the sites' GPUs, counts and joules are sums.

        Args:
            counts: What was done in the measurement window.
            duration_ns: Its length.
            model_j: Energy of the models' steps in it, above idle.
            tokens: Tokens that reached devices in it.
        """
        first, num_gpus = self.gpus[0], len(self.gpus)
        found = shares(counts, duration_ns * num_gpus)
        left = 1 - found["layer1_gpu_share"]
        idle_j = num_gpus * first.mode.num_gpus * first.cost.idle_w * duration_ns / NS_PER_S
        layer1_j = first.cost.busy_w * counts.layer1_s
        all_j = idle_j + layer1_j + model_j
        return {
            "layer1_slots": counts.slots,
            "layer1_late_per_1e5": counts.late_per_1e5,
            "layer1_own_late_per_1e5": counts.own_late_per_1e5,
            **found,
            "idle_reclaimed_share": found["model_gpu_share"] / left if left > 0 else 0.0,
            "layer1_changes": counts.changes,
            "layer1_energy_j": layer1_j,
            "layer1_energy_per_cell_j": layer1_j / sum(gpu.num_cells for gpu in self.gpus),
            "gpu_energy_j": all_j,
            "gpu_energy_per_token_j": all_j / tokens if tokens else math.nan,
        }
