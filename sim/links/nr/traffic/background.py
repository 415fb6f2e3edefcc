"""Background traffic of a network: a source per flow and user, and what became of their packets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import simpy

from channels.addressed import generator
from channels.nr.five_qi import five_qi
from sim.core.clock import NS_PER_S, to_ns
from sim.core.kernel import FastTimeout, start
from sim.links.base import Direction, Packet
from sim.links.nr.traffic.bearers import FlowPlace
from sim.links.nr.traffic.flow_meter import FlowMeter
from sim.links.nr.traffic.settings import FlowSettings
from sim.links.nr.traffic.sources import SOURCES, Process, offered_bps, step_ns

Send = Callable[[Packet, FlowPlace, FlowMeter], simpy.Event]


class _StoppedError(Exception):
    """Raised into a source that is to make no more packets."""


class _Port:
    """Where one source hands its packets over (``Port``)."""

    def __init__(self, traffic: BackgroundTraffic, place: FlowPlace, settings: FlowSettings) -> None:
        self._traffic, self._place = traffic, place
        self._meter = traffic.meters[place.flow]
        self._direction = Direction(settings.direction)
        self._kind = str(getattr(settings, "kind", "background"))

    @property
    def now_s(self) -> float:
        return int(self._traffic.env.now) / NS_PER_S

    def wait(self, duration_s: float) -> simpy.Event:
        self._check()
        return FastTimeout(self._traffic.env, step_ns(duration_s))

    def send(self, num_bytes: int) -> simpy.Event:
        self._check()
        deadline_ns = int(self._traffic.env.now) + self._meter.budget_ns
        packet = Packet(self._place.device, self._direction, 8 * num_bytes, self._kind, 0, deadline_ns)
        self._meter.sent(packet.payload_bits)
        return self._traffic.send(packet, self._place, self._meter)

    def _check(self) -> None:
        if self._traffic.is_stopped:
            raise _StoppedError


class BackgroundTraffic:
    """Sources of all background flows.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        seed: Master seed; each source has random numbers of its own, keyed by flow and device.
        flows: Keys of the flows.
        places: Who carries them.
        send: Sends a packet; its event happens when the packet has arrived or was given up.

    Attributes:
        meters: Figures of each flow, over its users.
        is_stopped: Whether no more packets are made.
    """

    def __init__(
        self, env: simpy.Environment, seed: int, flows: Sequence[FlowSettings], places: Sequence[FlowPlace], send: Send
    ) -> None:
        self.env, self.send = env, send
        self.is_stopped = False
        self._flows = flows
        self._users = [sum(place.flow == index for place in places) for index in range(len(flows))]
        self.meters = [FlowMeter(to_ns(five_qi(flow.five_qi).delay_budget_s)) for flow in flows]
        for place in places:
            settings = flows[place.flow]
            rng = generator(seed, "background traffic", place.flow, place.device)
            source = SOURCES[str(getattr(settings, "kind", ""))]
            start(env, self._until_stopped(source(settings, _Port(self, place, settings), rng)))

    def _until_stopped(self, source: Process) -> Process:
        try:
            yield from source
        except _StoppedError:
            return

    def stop(self) -> None:
        """Make no more packets; those under way still arrive."""
        self.is_stopped = True

    def restart(self) -> None:
        """Count from now on."""
        for meter in self.meters:
            meter.restart()

    def figures(self, elapsed_s: float) -> dict[str, float]:
        """Figures of all flows of a direction together, names with direction and unit."""
        figures: dict[str, float] = {}
        for direction in Direction:
            meters = [
                meter for flow, meter in zip(self._flows, self.meters, strict=True) if flow.direction == direction
            ]
            if meters:
                total = FlowMeter(0)
                for meter in meters:
                    total.add(meter)
                for name, value in total.figures(elapsed_s).items():
                    figures[f"{direction}_background_{name}"] = value
        return figures

    def rows(self, elapsed_s: float) -> list[dict[str, Any]]:
        """A row per flow."""
        return [
            {
                "flow": index,
                "kind": str(getattr(flow, "kind", "")),
                "five_qi": flow.five_qi,
                "direction": flow.direction,
                "users": users,
                "nominal_bps": users * offered_bps(flow),
                **meter.figures(elapsed_s),
            }
            for index, (flow, users, meter) in enumerate(zip(self._flows, self._users, self.meters, strict=True))
        ]
