"""The event kernel: recorded requests replayed over links, simulated seconds per wall second on one core."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

from sim.compute.fixed import FixedCompute, FixedSettings
from sim.decoding.core.steps import Hop, Location, Round
from sim.decoding.drivers.protocol_run import ComputeRecord, EmitRecord, Record, TransmitRecord
from sim.inputs.workload import PlannedRequest
from sim.models.info import ModelInfo
from sim.results.tables import RunTables
from sim.runs.inputs import SimulationInputs
from sim.runs.world import World
from sim.scenario.schema import Scenario
from sim.tape.store import TapeStore
from tests.bench.measure import result

DEVICES = 64
ROUNDS_PER_REQUEST = 20
ROUNDS_PER_S = 150
SIMULATED_S = 240

LINKS: dict[str, dict[str, Any]] = {
    "fixed": {"kind": "fixed", "uplink_mbps": 20, "downlink_mbps": 100, "one_way_delay_s": 0.005},
    "shannon": {"kind": "shannon", "uplink_bandwidth_mhz": 10, "downlink_bandwidth_mhz": 20, "snr_db": 10},
}


def request_records() -> list[Record]:
    """What a tslt request with four drafted tokens and top-64 rows does, as the tape has it."""
    records: list[Record] = [TransmitRecord(Hop.UPLINK, "prompt", 840, 840, 1)]
    for _ in range(ROUNDS_PER_REQUEST):
        records += [ComputeRecord(Location.DEVICE, "draft", 1, 80 + i, 1) for i in range(4)]
        records += [
            TransmitRecord(Hop.UPLINK, "draft", 6288, 6288, 5),
            ComputeRecord(Location.EDGE, "target", 5, 84, 5),
            TransmitRecord(Hop.DOWNLINK, "verdict", 16, 16, 1),
            EmitRecord(Round((1, 2, 3), 4, 3, 2, (("overlap", 0.6), ("tail_mass", 0.3)))),
        ]
    return records


class OneRecording(TapeStore):
    """A tape on which every request is the same one."""

    def __init__(self) -> None:
        super().__init__(Path())
        self._records = request_records()

    def get(self, key: str) -> list[Record] | None:
        """The one recording."""
        return self._records


def world(link: dict[str, Any], simulated_s: float, tables: RunTables | None = None) -> World:
    """An open loop of 64 devices with 150 rounds per second in all, which no device leaves before the time is up."""
    expected = simulated_s * ROUNDS_PER_S / ROUNDS_PER_REQUEST / DEVICES
    requests = math.ceil(expected + 6 * math.sqrt(expected))
    scenario = Scenario.from_dict(
        {
            "devices": {
                "count": DEVICES,
                "requests": requests,
                "arrivals": "poisson",
                "arrival_rate_hz": ROUNDS_PER_S / ROUNDS_PER_REQUEST / DEVICES,
            },
            "link": link,
            "edge": {"max_batch": 16, "batch_window_s": 0.002},
        }
    )
    fixed = FixedCompute(FixedSettings(per_forward_s=0.003, per_token_s=0.0001))
    cost_models = {site: {"draft": fixed, "target": fixed} for site in ("device", "edge", "cloud")}
    models_info = {role: ModelInfo(role, 8192, 1024, frozenset(), 0, role, 1) for role in ("draft", "target")}
    planned = [PlannedRequest(d, i, (1, 2, 3)) for d in range(DEVICES) for i in range(requests)]
    inputs = SimulationInputs(planned, models_info, cost_models, tape=OneRecording())
    return World(scenario, inputs, tables)


def speed(link: str) -> tuple[float, float]:
    """Simulated seconds per wall second, and rounds per simulated second as they really were."""
    ready = world(LINKS[link], SIMULATED_S)
    start = perf_counter()
    output = ready.run(SIMULATED_S)
    return output.simulated_s / (perf_counter() - start), len(output.rounds) / output.simulated_s


def run() -> list[dict[str, Any]]:
    """Medians of five runs per link, rows of both tables included."""
    results = []
    for link, floor, aim in (("fixed", 60, 100), ("shannon", 25, 40)):
        runs = [speed(link) for _ in range(5)]
        results.append(
            result(
                f"event kernel, 64 devices, recorded requests, {link}",
                statistics.median(r[0] for r in runs),
                "simulated s / wall s",
                at_least=floor,
                aim=aim,
                rounds_per_simulated_s=statistics.median(r[1] for r in runs),
            )
        )
    return results
