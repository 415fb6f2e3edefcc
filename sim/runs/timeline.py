"""The timeline of a run as a Chrome trace, which Perfetto opens: devices, a cell's slots and PRBs, batches, arrows.

Arrows follow a round: from its draft's first bit wanted through every transport block that carried some of it,
retransmissions included, to the batch that verified it, and through the verdict's blocks back to the device.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.clock import to_ns
from sim.core.errors import InputError
from sim.core.files import write_atomically

if TYPE_CHECKING:
    from sim.nodes.model_server import Batch
    from sim.runs.world import World
    from sim.scenario.schema import Scenario

# Events kept at most; a trace of this size is some 100 MB and about what a browser can show.
MAX_EVENTS = 500_000
MAX_TIME_S = 1e6
"""Latest end of a window [s]: the longest time that a scenario can give."""

_DEVICES, _CELL, _SITES = 1, 2, 3  # processes of the trace
_SPANS_PER_DEVICE = 2  # tracks of a device: what it computes, what is on its way

Sent = tuple[int, str, int]  # a message: device, direction, when it was sent [ns]


def parse_window(text: str) -> tuple[float, float]:
    """Two times in seconds from ``FROM:TO``.

    Raises:
        InputError: It is no such pair, not in order, or beyond what a simulation lasts.
    """
    start, _, end = text.partition(":")
    try:
        window = float(start), float(end)
    except ValueError:
        window = (0.0, 0.0)
    if not 0 <= window[0] < window[1] < math.inf:
        raise InputError(f"--window expects FROM:TO in simulated seconds, such as 0:10, got {text!r}")
    if window[1] > MAX_TIME_S:
        raise InputError(f"--window {text}: the end must be at most {MAX_TIME_S:g} s of simulated time")
    return window


class Timeline:
    """Notes what begins in a window of simulated time.

    Args:
        start_s: Beginning of the window.
        end_s: End of it.
        max_events: Events kept; later ones are counted only.
    """

    def __init__(self, start_s: float = 0.0, end_s: float = 10.0, max_events: int = MAX_EVENTS) -> None:
        self.start_ns, self.end_ns = to_ns(start_s), to_ns(end_s)
        self.max_events = max_events
        self.dropped = 0
        self.events: list[dict[str, Any]] = []
        self._names: dict[tuple[int, int], str] = {}
        self._open: dict[int, int] = {}  # device -> flow of the draft whose verdict is awaited
        self._flow_of: dict[Sent, int] = {}
        self._flows = 0
        self._sites: dict[str, int] = {}
        self._names_of_servers: list[str] = []
        self._world: World | None = None
        self._keeps_all_slots = False

    def with_slots(self, scenario: Scenario) -> Scenario:
        """The scenario with a link that notes its slots, if it is of a kind that can; its results are the same."""
        if "record_slots" not in type(scenario.link.settings).model_fields:
            return scenario
        # Those that the scenario itself asks for are not only the timeline's.
        self._keeps_all_slots = getattr(scenario.link.settings, "record_slots", False)
        return scenario.replace("link.record_slots", True).replace("link.max_records", self.max_events)

    def watch(self, world: World) -> None:
        """Follow a world that is about to run."""
        self._world = world
        if not self._keeps_all_slots:
            world.link.record_only(self.start_ns, self.end_ns)
        for devices in world.groups:
            devices.context.on_span = self._device_span
        for site, group in world.sites.items():
            self._sites[site.value] = first = len(self._names_of_servers)
            self._names_of_servers += group.names

            def on_step(index: int, batch: Batch, first: int = first) -> None:
                args = {"forwards": batch.size, "new_tokens": batch.new_tokens}
                title = self._names_of_servers[first + index]
                self._span(_SITES, first + index, title, f"{batch.model} batch", batch.start_ns, batch.end_ns, args)

            group.watch_steps(on_step)

    def _device_span(self, device: int, name: str, start_ns: int, end_ns: int, args: dict[str, Any]) -> None:
        where = name.partition(" ")[0]
        if where in self._sites:
            # The batch has a span of its own; the round passes through it.
            if device in self._open and self._is_inside(start_ns):
                self._arrow("t", self._open[device], _SITES, self._sites[where], start_ns)
            return
        sent = where in ("uplink", "downlink")
        track = device * _SPANS_PER_DEVICE + sent
        title = f"device {device} radio" if sent else f"device {device}"
        if not self._span(_DEVICES, track, title, name, start_ns, end_ns, args):
            return
        if where == "uplink":
            self._flows += 1
            self._open[device] = self._flow_of[device, where, start_ns] = self._flows
            self._arrow("s", self._flows, _DEVICES, track, start_ns)
        elif where == "downlink" and device in self._open:
            flow = self._flow_of[device, where, start_ns] = self._open.pop(device)
            self._arrow("t", flow, _DEVICES, track, start_ns)
            # Inside the span, which the arrow is to point at.
            self._arrow("f", flow, _DEVICES, track, max(start_ns, end_ns - 1))

    def _arrow(self, phase: str, flow: int, process: int, track: int, at_ns: int) -> None:
        event: dict[str, Any] = {"ph": phase, "id": flow, "name": "round", "cat": "round"}
        self._add({**event, "pid": process, "tid": track, "ts": at_ns / 1e3, **({"bp": "e"} if phase == "f" else {})})

    def _is_inside(self, start_ns: float) -> bool:
        return self.start_ns <= start_ns < self.end_ns

    def _span(
        self, process: int, track: int, title: str, name: str, start_ns: int, end_ns: int, args: dict[str, Any]
    ) -> bool:
        if not self._is_inside(start_ns):
            return False
        self._names.setdefault((process, track), title)
        times = {"ts": start_ns / 1e3, "dur": (end_ns - start_ns) / 1e3}
        return self._add({"ph": "X", "pid": process, "tid": track, "name": name, **times, "args": args})

    def _add(self, event: dict[str, Any]) -> bool:
        if len(self.events) >= self.max_events:
            self.dropped += 1
            return False
        self.events.append(event)
        return True

    def trace(self) -> dict[str, Any]:
        """The whole trace in the Chrome trace event format, times in microseconds."""
        spans = self._world.link.timeline() if self._world is not None else []
        tracks = {track: number for number, track in enumerate(sorted({str(s["track"]) for s in spans}, key=_natural))}
        prbs: Counter[tuple[str, int, int]] = Counter()
        for span in spans:
            number = tracks[str(span["track"])]
            # JSON knows no such numbers; an ideal channel has no SINR.
            args = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in span.get("args", {}).items()
            }
            start_ns = span["start_ns"]
            if self._span(_CELL, number, str(span["track"]), span["name"], start_ns, span["end_ns"], args):
                for message in span.get("flows", ()):
                    if message in self._flow_of:
                        self._arrow("t", self._flow_of[message], _CELL, number, start_ns)
                prbs[str(span["track"]).rpartition(" ")[2], start_ns, span["end_ns"]] += span.get("args", {}).get(
                    "prbs", 0
                )
        self._count_prbs(prbs)
        shown = {event["pid"] for event in self.events}
        names: list[dict[str, Any]] = [
            {"ph": "M", "pid": process, "tid": 0, "name": "process_name", "args": {"name": title}}
            for process, title in ((_DEVICES, "devices"), (_CELL, "cell"), (_SITES, "sites"))
            if process in shown
        ]
        for (process, track), title in sorted(self._names.items()):
            names.append({"ph": "M", "pid": process, "tid": track, "name": "thread_name", "args": {"name": title}})
        events = sorted(self.events, key=lambda event: float(event["ts"]))
        return {
            "displayTimeUnit": "ms",
            "otherData": {"window_s": [self.start_ns / 1e9, self.end_ns / 1e9], "events_dropped": self.dropped},
            "traceEvents": names + events,
        }

    def _count_prbs(self, prbs: Counter[tuple[str, int, int]]) -> None:
        """How many PRBs of all cells were in use when: a counter per direction, nought where no slot follows."""
        begun = {(direction, start_ns) for direction, start_ns, _ in prbs}
        for (direction, start_ns, end_ns), count in sorted(prbs.items()):
            for at_ns, value in ((start_ns, count), (end_ns, 0)):
                if value or (direction, at_ns) not in begun:
                    event = {"ph": "C", "pid": _CELL, "tid": 0, "name": f"{direction} PRBs", "args": {"PRBs": value}}
                    self._add({**event, "ts": at_ns / 1e3})

    def write(self, path: Path) -> None:
        """Write the trace.

        Raises:
            OSError: The file cannot be written.
        """
        write_atomically(path, json.dumps(self.trace(), separators=(",", ":")).encode())


def _natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts numbers within names by their values."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
