"""The servers of one site: replicas alike behind a router, which look like one server to the devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import simpy

from sim.core.clock import NS_PER_S
from sim.decoding.drivers.protocol_run import ComputeRecord
from sim.models.interface import ForwardPass
from sim.nodes.model_server import ModelServer
from sim.nodes.monitor import ServerCounts
from sim.serving.base import RequestInfo, Text
from sim.serving.routing.registry import Routing


class ServerGroup:
    """Replicas of a server; a request stays with the one that it was sent to, where its keys and values are.

    Args:
        replicas: At least one.
        routing: Chooses for each request when its prompt or its first forward pass arrives.
        idle_power_w: What each draws at rest [W]; 0 where that is not known.
    """

    def __init__(self, replicas: Sequence[ModelServer], routing: Routing, idle_power_w: float = 0.0) -> None:
        self.replicas = replicas
        self.idle_power_w = idle_power_w
        self._routing = routing
        self._chosen: dict[int, int] = {}
        self._load = [0] * len(replicas)

    def _replica(self, request: RequestInfo) -> ModelServer:
        chosen = self._chosen.get(request.id)
        if chosen is None:
            chosen = self._chosen[request.id] = self._routing.choose(request, self._load)
            self._load[chosen] += 1
        return self.replicas[chosen]

    def submit(self, record: ComputeRecord, work: ForwardPass | None, request: RequestInfo) -> simpy.Event:
        """Queue a forward pass; the event succeeds with a ``ForwardResult`` when it is done."""
        return self._replica(request).submit(record, work, request)

    def prefill(self, request: RequestInfo, model: str, tokens: int | None = None) -> None:
        """A prompt has arrived, or a text of so many tokens."""
        self._replica(request).prefill(request, model, tokens)

    def held_tokens(self, request: RequestInfo, model: str) -> int | None:
        """Tokens of a request whose keys and values are in memory here; None if servers know no memory."""
        return self._replica(request).engine.held_tokens(request, model)

    def adopt(self, request: RequestInfo, model: str, tokens: int) -> bool:
        """Take keys and values that another site has computed; False if there is no room for them."""
        return self._replica(request).engine.adopt(request, model, tokens)

    def crash(self) -> None:
        """All servers of the site fail, and are up again empty."""
        for replica in self.replicas:
            replica.crash()
        self._chosen.clear()
        self._load = [0] * len(self.replicas)

    def release(self, request: RequestInfo, text: Text | None) -> None:
        """A request has ended, with this text; or was given up, with None."""
        chosen = self._chosen.pop(request.id, None)
        if chosen is not None:
            self._load[chosen] -= 1
            self.replicas[chosen].release(request, text)

    @property
    def names(self) -> list[str]:
        """Names of the replicas."""
        return [replica.monitor.name for replica in self.replicas]

    def finish(self, now_ns: int) -> None:
        """The run has ended.

        Raises:
            RunError: Little's law does not hold of a replica's jobs.
        """
        for replica in self.replicas:
            replica.monitor.finish(now_ns)
            replica.check(now_ns)

    def counts(self, now_ns: int) -> ServerCounts:
        """What all replicas have done up to now."""
        total = ServerCounts()
        for replica in self.replicas:
            replica.monitor.advance(now_ns)
            total = total.plus(replica.monitor.counts)
        return total

    def figures(self, prefix: str, counts: ServerCounts, duration_ns: int) -> dict[str, float]:
        """Columns of a summary, of what was done in a stretch of time; none if nothing was."""
        if not counts.steps:
            return {}
        server_ns = duration_ns * len(self.replicas)
        queries = counts.prefix_queries
        figures = {
            "utilisation": counts.busy_ns / server_ns if server_ns else 0.0,
            "mean_batch": counts.jobs / counts.steps,
            "running_mean": counts.running_area / server_ns if server_ns else 0.0,
            "waiting_mean": counts.waiting_area / server_ns if server_ns else 0.0,
            "kv_share_mean": counts.kv_area / server_ns if server_ns else 0.0,
            "kv_share_max": counts.kv_max,
            "preemptions": counts.preemptions,
            "prefix_hit_share": counts.prefix_hits / queries if queries else float("nan"),
            "busy_energy_j": counts.joules,
            "unattributed_energy_j": counts.unattributed_joules,
        }
        if self.idle_power_w > 0:
            figures["idle_energy_j"] = self.idle_power_w * server_ns / NS_PER_S
        return {f"{prefix}_{name}": value for name, value in figures.items()}

    def watch_steps(self, on_step: Callable[[int, Any], None]) -> None:
        """Report every step, with the replica's index."""
        for index, replica in enumerate(self.replicas):
            replica.on_batch = partial(on_step, index)
