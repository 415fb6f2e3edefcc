"""Shares of a GPU that move: a report every period, an orchestrator's answer, and the change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy

from sim.core.clock import NS_PER_S, to_ns
from sim.core.errors import RunError
from sim.core.kernel import LAST, FastTimeout
from sim.serving.ran_sharing.counts import shares
from sim.serving.ran_sharing.gpu import SharedGpu
from sim.serving.ran_sharing.orchestrators.base import Orchestrator, Report


class Orchestration:
    """Asks an orchestrator at the end of every period.

    Args:
        env: SimPy environment in nanoseconds.
        gpu: Whose shares it moves.
        orchestrator: Decides; None where somebody outside calls ``report`` and ``move``.
        num_waiting: Says how many jobs wait at the model server.
    """

    def __init__(
        self, env: simpy.Environment, gpu: SharedGpu, orchestrator: Orchestrator | None, num_waiting: Callable[[], int]
    ) -> None:
        self.env, self.gpu, self._orchestrator, self._num_waiting = env, gpu, orchestrator, num_waiting
        self.period_ns = to_ns(gpu.settings.period_s)
        self._before = gpu.counts.copy()
        self._since_ns = 0
        self._requests = self._slo_met = self._tokens = 0
        if orchestrator is not None:
            self._wait()

    def _wait(self) -> None:
        FastTimeout(self.env, self.period_ns, self._period_over, priority=LAST)

    def _period_over(self, _: simpy.Event) -> None:
        assert self._orchestrator is not None
        self.move(self._orchestrator.share(self.report()))
        self._wait()

    def on_request(self, row: dict[str, Any]) -> None:
        """A request has ended."""
        self._requests += 1
        self._slo_met += int(row["slo_met"])
        self._tokens += int(row["tokens"])

    def move(self, share: float) -> None:
        """Keep a share of the GPU for layer 1, within the bounds of the keys.

        Raises:
            RunError: It is no number.
        """
        settings = self.gpu.settings
        if not 0 <= share < float("inf"):
            raise RunError(f"an orchestrator must return a share of the GPU, 0 or more, got {share!r}")
        self.gpu.move(min(max(float(share), settings.min_layer1_share), settings.max_layer1_share))

    def report(self) -> Report:
        """What has been done since the last one."""
        gpu, now_ns = self.gpu, int(self.env.now)
        gpu.advance(now_ns)
        counts, passed_ns = gpu.counts.since(self._before), now_ns - self._since_ns
        slots = passed_ns / gpu.slot_ns
        report = Report(
            time_s=gpu.settings.day_begins_s + now_ns / NS_PER_S,
            period_s=passed_ns / NS_PER_S,
            day_s=gpu.settings.day_s,
            kept_share=gpu.mode.layer1_share,
            deadline_s=gpu.settings.deadline_s,
            **shares(counts, passed_ns),
            slots=counts.slots,
            late=counts.late,
            full_cells=counts.prb_share / slots if slots else 0.0,
            peak_cells=gpu.peak_cells,
            waiting=self._num_waiting(),
            requests=self._requests,
            slo_met=self._slo_met,
            tokens=self._tokens,
            slot_s=self._slot_s,
            num_cells=gpu.num_cells,
        )
        self._before, self._since_ns = gpu.counts.copy(), now_ns
        self._requests = self._slo_met = self._tokens = 0
        gpu.peak_cells = 0.0
        return report

    def _slot_s(self, full_cells: float) -> float:
        return self.gpu.cost.seconds(self.gpu.cost.load(full_cells))
