"""Layer 1 on a GPU against public figures of AI-RAN systems: cells per GPU, slices, cycles reclaimed, slots lost."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from sim.compute.hardware import hardware_of
from sim.core.kernel import Environment
from sim.serving.ran_sharing.gpu import SharedGpu
from sim.serving.ran_sharing.layer1_cost import layer1_cost
from sim.serving.ran_sharing.registry import SHARING_MODES
from sim.serving.ran_sharing.settings import RanSharingSettings
from tests.saturated_gpu import SLOT_NS, saturated
from tests.validation.published import SYSTEMS
from tests.validation.registry import Row, between, same, section, within_factor

_V100_BYTES_PER_S = 900e9  # NVIDIA, data sheet
_AERIAL = "NVIDIA Aerial SDK 23-1, release notes, performance"


def _most_cells(gpu: str, load: float) -> int:
    """Cells of so much load in every slot that layer 1 does in time, a GPU to itself."""
    cost = layer1_cost(gpu)
    return max(n for n in range(1, 200) if cost.seconds(cost.load(n * load)) <= SLOT_NS / 1e9 * (1 + 1e-9))


def _late_per_1e5(cells: int, load: float) -> float:
    keys = {"mode": "dedicated", "other_cells": cells, "other_load": load}
    gpu = SharedGpu(Environment(), RanSharingSettings.model_validate(keys), SLOT_NS)
    gpu.advance(200_000 * SLOT_NS)
    return gpu.counts.late_per_1e5


@section(SYSTEMS)
def cells_per_gpu() -> Iterable[Row]:
    """Cells of 4T4R and 100 MHz that a GPU holds."""
    fitted = "the cost was fitted to this figure"
    for name, load, cells in (("full", 1.0, 4), ("half full", 0.5, 8)):
        yield between(
            f"A100, {cells} {name} cells: late slots of 1e5", _AERIAL, 0, 1, _late_per_1e5(cells, load), fitted
        )
        more = cells * 3 // 2
        yield between(
            f"A100, {more} {name} cells: late slots of 1e5", _AERIAL, 1, inf, _late_per_1e5(more, load), fitted
        )
    note = (
        "the A100X has the A100's bandwidth, by which the cost scales, and a network card that feeds the GPU directly"
    )
    yield same("A100X: full cells in time", _AERIAL, 6, _most_cells("a100", 1.0), note, deviates=True)
    for compute, memory, low, high in ((3, 4, 40 / 108, 52 / 82), (4, 4, 42 / 108, 58 / 82)):
        mode = SHARING_MODES.find("mig").make(
            RanSharingSettings(mode="mig", layer1_compute_slices=compute, layer1_memory_slices=memory)
        )
        what = f"speed of layer 1 on {compute}g.48gb over the whole GPU, between its shares of SMs for PUSCH and PDSCH"
        yield between(what, "NVIDIA Aerial, note on MIG", low, high, 1 / float(mode.layer1_s(1.0, False, 0.0)))
    source = "SoftBank and NVIDIA, AITRAS, November 2024"
    held = 2 * _most_cells("gb200", 1.0)
    yield between("two GB200: full cells in time, beside 20 radio units that they ran", source, 20, inf, held)


@section(SYSTEMS)
def single_blocks() -> Iterable[Row]:
    """What a transport block takes that is alone on a GPU, against measured times, and beside those of full cells."""
    source = (
        "CloudRIC, MobiCom 2024, its artefacts: blocks decoded alone on a V100, cuBB Alpha-3, at most 10 iterations"
    )
    cost, to_v100 = layer1_cost("a100"), hardware_of("a100").memory_bandwidth_bytes_per_s / _V100_BYTES_PER_S
    note = (
        "median over the file's blocks of that size; all 2,786 are 60 us + 4.5 us per code block (median error 2 %). "
        "Here: a slot with nothing else, by bandwidth from the A100; the measured time has copies in it, and no PRBs"
    )
    for code_blocks, measured_us in ((1, 54.7), (10, 106.6), (35, 209.0)):
        alone_s = (cost.fixed_s + cost.per_code_block_s * code_blocks) * to_v100
        what = f"time of a transport block of {code_blocks} code blocks alone on a GPU (us)"
        yield within_factor(what, source, measured_us, 1e6 * alone_s, 2, note)
    peak = cost.peak.code_blocks
    note = (
        "a block alone leaves most of the GPU idle: the time of full cells, not this one, is what the cost is fitted to"
    )
    what = "time of a code block among those of 4 full cells, over that of one more in a block alone (by bandwidth)"
    yield between(what, source + "; Aerial SDK 23-1", 0, 1, SLOT_NS / 1e9 / (4 * peak) / (4.52e-6 / to_v100), note)


@section(SYSTEMS)
def idle_cycles() -> Iterable[Row]:
    """What a model reclaims of the GPU that layer 1 leaves idle, and what naive sharing costs the radio."""
    priority, mps = saturated("priority"), saturated("mps")
    source = "Concordia, SIGCOMM 2021"
    yield between("share of idle cycles reclaimed, priority", source, 0.7, 1, priority["idle_reclaimed_share"])
    yield between("late slots of 1e5, priority", source, 0, 1, priority["layer1_late_per_1e5"])
    source = "YinYangRAN: 5G more reliable by over 50 % than with MPS-like sharing"
    lost = 1 - priority["layer1_late_per_1e5"] / mps["layer1_late_per_1e5"]
    yield between("late slots that priority avoids, of those of mps", source, 0.5, 1, lost)
    kept = priority["model_gpu_share"] / mps["model_gpu_share"]
    yield between("GPU of the model with priority, over that with mps", "YinYangRAN: minimal loss", 0.9, inf, kept)
