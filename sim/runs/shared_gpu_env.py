"""A Gymnasium environment over a scenario's world: an agent moves the shares of a GPU between layer 1 and a model.

It needs the extra ``learning`` (``pip install specran[learning]``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from sim.core.clock import to_ns
from sim.core.errors import InputError
from sim.inputs.workload import PlannedRequest
from sim.runs.inputs import SimulationInputs
from sim.runs.prepare import prepare, record_all
from sim.runs.world import World
from sim.scenario.schema import Scenario
from sim.serving.ran_sharing.orchestration import Orchestration
from sim.serving.ran_sharing.orchestrators.base import Report

ObservationArray = npt.NDArray[np.float32]
SHARES = tuple(slices / 7 for slices in range(1, 7))
"""What an action may keep for layer 1: sevenths, the slices of MIG."""
OBSERVED = ("layer 1", "model", "kept", "late", "PRBs", "fullest slot", "waiting", "missed objectives", "sin", "cos")


def reward_of(report: Report) -> float:
    """Tokens per second of the requests that have ended, less 100 for each per cent of slots that are late."""
    return report.tokens / report.period_s - 1e4 * report.late_share


class SharedGpuEnv(gymnasium.Env[ObservationArray, np.int64]):
    """Episodes are runs of a scenario with ``edge.ran_sharing``, steps its periods (``period_s``).

    An action is an index into ``shares``. An observation holds, of the period that has ended, what ``OBSERVED`` names:
    shares of the GPU that layer 1 and the model had, the share kept for layer 1, late slots of all, PRBs in use and
    those of the fullest slot over those of all cells, n / (n + 10) of n jobs that wait, requests that missed an
    objective of all, and the time of day as an angle. ``info`` holds the numbers of the ``Report``.

    Args:
        scenario: A scenario with a window (``devices.duration_s``) and mode ``mig`` or ``mps``.
        reward: Of a period.
        inputs: Makes what a scenario's world needs; by default as ``specran run`` does.

    Attributes:
        shares: What actions keep for layer 1, within the bounds of the scenario's keys.
        world: The world of the episode.

    Raises:
        InputError: The scenario has no window, or no shares that can be moved.
    """

    def __init__(
        self,
        scenario: Scenario,
        reward: Callable[[Report], float] = reward_of,
        inputs: Callable[[Scenario], SimulationInputs] = prepare,
    ) -> None:
        settings = getattr(scenario.edge.settings, "ran_sharing", None)
        if settings is None or settings.mode not in ("mig", "mps"):
            raise InputError("shares of a GPU can be moved with mode mig or mps", "edge.ran_sharing.mode")
        if scenario.devices.end_s is None:
            raise InputError("an episode needs a window", "devices.duration_s")
        if scenario.edge_sites is not None and scenario.edge_sites.placement != "central":
            raise InputError("an environment moves the shares of one GPU; valid: central", "edge.sites.placement")
        self._scenario, self._reward, self._inputs = scenario, reward, inputs
        self._end_ns = to_ns(scenario.devices.end_s)
        low, high = settings.min_layer1_share - 1e-9, settings.max_layer1_share + 1e-9
        self.shares = [share for share in SHARES if low <= share <= high]
        self.action_space = gymnasium.spaces.Discrete(len(self.shares))
        bounds = np.ones(len(OBSERVED), dtype=np.float32)
        self.observation_space = gymnasium.spaces.Box(np.where(np.arange(len(OBSERVED)) < 8, 0, -bounds), bounds)
        self.world: World | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObservationArray, dict[str, Any]]:
        """A new run; with the scenario's seed unless another one is given. The first period has begun."""
        super().reset(seed=seed, options=options)
        scenario = self._scenario if seed is None else self._scenario.replace("seed", seed)
        inputs = self._inputs(scenario)

        def record_more(part: Scenario, planned: list[PlannedRequest]) -> None:
            assert inputs.tape is not None
            record_all([(part, planned)], inputs.tape)

        self.world = World(scenario, inputs, record=record_more, outside=True)
        return self._observe(self._orchestration.report()), {}

    @property
    def _orchestration(self) -> Orchestration:
        assert self.world is not None and self.world.orchestrations, "reset comes first"
        return self.world.orchestrations[0]

    def step(self, action: np.int64) -> tuple[ObservationArray, float, bool, bool, dict[str, Any]]:
        """Keep a share for layer 1 for a period; the episode is truncated when the scenario's window ends."""
        orchestration = self._orchestration
        orchestration.move(self.shares[int(action)])
        env = orchestration.env
        until_ns = min(int(env.now) + orchestration.period_ns, self._end_ns)
        env.run(until_ns)
        report = orchestration.report()
        is_over = int(env.now) >= self._end_ns
        return self._observe(report), self._reward(report), False, is_over, _info(report)

    def _observe(self, report: Report) -> ObservationArray:
        angle, cells = 2 * math.pi * report.time_of_day, max(1, report.num_cells)
        values = [
            report.layer1_gpu_share,
            report.model_gpu_share,
            report.kept_share,
            report.late_share,
            report.full_cells / cells,
            report.peak_cells / cells,
            report.waiting / (report.waiting + 10),
            report.slo_deficit,
        ]
        clipped = np.clip(values, 0, 1).tolist()
        return np.array([*clipped, math.sin(angle), math.cos(angle)], dtype=np.float32)


def _info(report: Report) -> dict[str, Any]:
    """The numbers of a report by name."""
    return {field.name: getattr(report, field.name) for field in fields(report) if field.name != "slot_s"}
