"""The NR cell: slots per second under full buffers, against real time and against a plain loop of Sionna SYS blocks.

Seconds are those of one core: on a quiet machine wall time is the same, on others it is not the cell's.
"""

from __future__ import annotations

import os
import resource
import statistics
from collections.abc import Sequence
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from tests.bench.measure import result

if TYPE_CHECKING:
    from sim.links.nr.full_buffer import FullBufferRun


def sionna_slots_per_s(num_devices: int, num_prb: int, num_slots: int) -> float:
    """The same steps with Sionna SYS as its tutorial has them: fading, power, PF, OLLA, EESM, transport blocks.

    PRB-granular SINR goes through EESM, and its result with the true number of resource elements into the PHY
    abstraction, as the abstraction's interface asks for. Fading is one exponential draw per device and PRB, which
    costs less than any channel model.
    """
    import torch
    from sionna.phy.nr.utils import MCSDecoderNR
    from sionna.sys import (
        EESM,
        OuterLoopLinkAdaptation,
        PFSchedulerSUMIMO,
        PHYAbstraction,
        open_loop_uplink_power_control,
    )

    assert MCSDecoderNR is not None
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    phy, eesm = PHYAbstraction(), EESM()
    olla = OuterLoopLinkAdaptation(phy, num_devices)
    scheduler = PFSchedulerSUMIMO(num_devices, num_prb, 1)
    path_loss = 10 ** (torch.linspace(9.5, 11.5, num_devices))
    noise_w = 10 ** (-174 / 10 - 3 + 0.5) * 360e3
    rate = torch.zeros(num_devices)
    feedback = torch.full((num_devices,), -1, dtype=torch.int32)
    sinr_eff = torch.ones(num_devices)
    start = 0.0
    with torch.inference_mode():
        for slot in range(num_slots + 5):
            if slot == 5:
                start = process_time()
            gain = torch.empty(1, num_prb, num_devices).exponential_(generator=generator)
            achievable = torch.log2(1 + gain / path_loss * 0.2 / num_prb / noise_w)
            scheduled = scheduler(rate, achievable)
            prbs = scheduled[..., 0].sum(dim=(0, 1))
            power_w = open_loop_uplink_power_control(path_loss, prbs * 12)
            per_prb = power_w / prbs.clamp(min=1)
            sinr = gain * scheduled[..., 0] * per_prb / path_loss / noise_w
            elements = (prbs * 132).to(torch.int32)
            mcs = olla(elements, feedback, sinr_eff)
            effective = eesm(sinr[..., None], mcs)
            bits, feedback, _, _, _ = phy(mcs, sinr_eff=effective, num_allocated_re=elements, mcs_category=1)
            sinr_eff = torch.where(prbs > 0, effective, sinr_eff)
            rate = bits.to(torch.float32)
    return num_slots / (process_time() - start)


def run() -> list[dict[str, Any]]:
    """Medians over repeats, Sionna and the cell in turn; then size, idleness and memory."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from sim.links.nr.full_buffer import loaded_cell

    four = [loaded_cell(100, 2000, num_rx=4) for _ in range(5)]
    pairs = [(loaded_cell(100, 2000), sionna_slots_per_s(100, 51, 150)) for _ in range(5)]
    hundred, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(ours.slots_per_cpu_s / their for ours, their in pairs)
    thousand = [loaded_cell(1000, 500) for _ in range(3)]
    return [
        _slots("NR cell, 100 full-buffer devices, 51 PRB, TDL, PF, OLLA, HARQ", hundred, 6000.0),
        _slots("the same with 4 receive antennas", four, 3000.0),
        result("the same over a plain Sionna SYS loop", ratio, "x", at_least=12.0,
               sionna_slots_per_s=statistics.median(theirs)),
        _slots("NR cell, 1,000 full-buffer devices", thousand, 500.0),
        _idle(),
        _memory(),
        _look_ups(),
    ]  # fmt: skip


def _look_ups() -> dict[str, Any]:
    """Microseconds of a slot's hundred block error rates; best of many, since other load is not the table's."""
    import numpy as np

    from channels.bler import BlerTable

    table, rng = BlerTable.load("specran"), np.random.default_rng(0)
    mcs, size, snr_db = rng.integers(0, 29, 100), rng.integers(40, 8448, 100), rng.uniform(-5, 25, 100)
    times_s = []
    for _ in range(300):
        start = perf_counter()
        table.bler(1, mcs, size, snr_db)
        times_s.append(perf_counter() - start)
    return result("100 block error rates from the table", 1e6 * min(times_s), "us", at_most=50.0)


def _slots(what: str, runs: Sequence[FullBufferRun], at_least: float) -> dict[str, Any]:
    """Median slots per second of processor time, and of wall time beside it."""
    per_cpu_s = statistics.median(run.slots_per_cpu_s for run in runs)
    per_s = statistics.median(run.slots_per_s for run in runs)
    return result(what, per_cpu_s, "slots per core second", at_least=at_least, slots_per_wall_s=per_s)


def _idle() -> dict[str, Any]:
    """Events that an hour of an idle cell costs."""
    import simpy

    from sim.links.nr import NrLink, NrLinkSettings

    env = simpy.Environment()
    link = NrLink(env, 100, 1, NrLinkSettings())
    steps = 0
    env.timeout(3_600_000_000_000)
    while env.peek() < 3_600_000_000_000:
        env.step()
        steps += 1
    assert link.num_devices == 100
    return result("events of an idle hour of a cell with 100 devices", steps, "events", at_most=10.0)


def _memory() -> dict[str, Any]:
    """Growth of the peak memory over a run four times as long."""
    from sim.links.nr.full_buffer import loaded_cell

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    loaded_cell(100, 2000)
    before = peak()
    loaded_cell(100, 8000)
    return result("peak memory after a run four times as long", peak() / before, "ratio", at_most=1.05)
