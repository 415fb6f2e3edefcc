"""The cells of a link, slot by slot: one process that wakes for the slots in which somebody has something to do."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import simpy

from channels.nr import HeaderModel
from sim.clock import NS_PER_S
from sim.links.base import Delivery, Direction, Packet
from sim.links.nr.adaptation import Adaptation, FixedMcs
from sim.links.nr.air import Air
from sim.links.nr.block_errors import BlockErrors
from sim.links.nr.carrier import Carrier
from sim.links.nr.downlink import Downlink
from sim.links.nr.interference import Interference
from sim.links.nr.kpis import SideKpis
from sim.links.nr.link_adaptation import ReportedChannel
from sim.links.nr.message import Message, Segmenter
from sim.links.nr.radio_receiver import RadioReceiver
from sim.links.nr.receiver import IdealReceiver, Receiver
from sim.links.nr.records import SlotRecords
from sim.links.nr.schedulers.registry import SCHEDULERS
from sim.links.nr.settings import NrLinkSettings
from sim.links.nr.side import Agenda, SideParts
from sim.links.nr.uniform_stream import UniformStream
from sim.links.nr.uplink import Uplink

# SimPy events of equal time run by priority; a slot comes after all messages that were sent at its start.
_AFTER_MESSAGES = 2


def _succeed(event: simpy.Event, delivery: Delivery, _: simpy.Event) -> None:
    event.succeed(delivery)


def _radio(air: Air, uniform: dict[Direction, UniformStream]) -> tuple[dict[Direction, Adaptation], Receiver]:
    """Link adaptation of both directions and the receiver, over one air."""
    settings = air.settings
    errors = BlockErrors(air.carrier, settings.bler_table, settings.target_bler)
    explicit = settings.interference == "explicit" and air.num_cells > 1
    interference = {way: Interference(air, way) for way in Direction} if explicit else None
    adaptations: dict[Direction, Adaptation] = {
        way: ReportedChannel(air, errors, interference[way] if interference else None, way) for way in Direction
    }
    return adaptations, RadioReceiver(air, errors, interference, uniform, settings.harq_combining)


class Network:
    """All cells of one link.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices of all cells.
        seed: Master seed.
        settings: Keys of the link.

    Attributes:
        num_slots_run: Slots that had anything to do.
    """

    def __init__(self, env: simpy.Environment, num_devices: int, seed: int, settings: NrLinkSettings) -> None:
        self.env = env
        self.settings = settings
        self.carrier = Carrier(settings)
        self.agenda = Agenda()
        self.num_slots_run = 0
        self.segmenter = Segmenter(HeaderModel(), settings.segment_headers)
        uniform = {way: UniformStream(seed, f"decoding {way}", num_devices) for way in Direction}
        self.air: Air | None = None
        self.records = SlotRecords(settings.max_records, self.carrier.slot_ns) if settings.record_slots else None
        if settings.channel == "ideal":
            assert settings.mcs is not None
            fixed = FixedMcs(self.carrier, num_devices, settings.mcs)
            self.adaptations: dict[Direction, Adaptation] = dict.fromkeys(Direction, fixed)
            receiver: Receiver = IdealReceiver(settings.block_error_rate, uniform)
            self.num_cells, self.serving = 1, np.zeros(num_devices, dtype=np.int64)
        else:
            self.air = Air(self.carrier, settings, num_devices, seed)
            self.adaptations, receiver = _radio(self.air, uniform)
            self.num_cells, self.serving = self.air.num_cells, self.air.serving
        scheduler = SCHEDULERS.find(settings.scheduler).make(settings.delay_budget_s)
        common: dict[str, Any] = {
            "carrier": self.carrier,
            "settings": settings,
            "agenda": self.agenda,
            "serving": self.serving,
            "num_cells": self.num_cells,
            "scheduler": scheduler,
            "receiver": receiver,
            "segmenter": self.segmenter,
            "deliver": self._deliver,
            "records": self.records,
        }
        up, down = Direction.UPLINK, Direction.DOWNLINK
        self.uplink = Uplink(SideParts(adaptation=self.adaptations[up], uniforms=uniform[up], **common))
        self.downlink = Downlink(SideParts(adaptation=self.adaptations[down], uniforms=uniform[down], **common))
        self._armed: int | None = None
        self._kpis_since_ns = 0
        self._last_slot = -1

    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``."""
        event = self.env.event()
        now = int(self.env.now)
        total = self.segmenter.stream_bytes(-(-packet.payload_bits // 8))
        if packet.direction == Direction.UPLINK:
            self.uplink.push(Message(packet, event, now, now, total))
        else:
            self.downlink.push(Message(packet, event, now, now + self.downlink.transport_ns, total))
        self._arm(max(self._last_slot + 1, self.carrier.first_slot_from(now)))
        return event

    def restart_kpis(self) -> None:
        """Forget the figures so far: they count from now on."""
        for side in (self.uplink, self.downlink):
            side.kpis = SideKpis(len(self.serving), side.delay_parts)
        self._kpis_since_ns = int(self.env.now)

    def figures(self) -> dict[str, float]:
        """Cell figures of both directions, names with direction and unit."""
        now, since, carrier = int(self.env.now), self._kpis_since_ns, self.carrier
        figures: dict[str, float] = {}
        for side in (self.uplink, self.downlink):
            ends = (carrier.num_data_slots(side.direction, carrier.first_slot_from(t)) for t in (since, now))
            begun, ended = ends
            offered = (ended - begun) * carrier.num_prb * self.num_cells
            for name, value in side.kpis.figures((now - since) / NS_PER_S, offered).items():
                figures[f"{side.direction}_{name}"] = value
        return figures

    def expected_bps(self, way: Direction, device: int) -> float:
        """Rate of the whole carrier at a device's last reported channel, its share of the pattern counted [bit/s]."""
        adaptation, carrier = self.adaptations[way], self.carrier
        row = np.array([device])
        adaptation.refresh(row, int(self.env.now) // carrier.slot_ns)
        full_slot_bits = 8 * int(adaptation.wideband_bytes[device])
        return full_slot_bits * carrier.data_fraction(way) * 1e9 / carrier.slot_ns

    def _deliver(self, message: Message, delivery: Delivery, at_ns: int) -> None:
        """Let the message's event succeed at its time of delivery."""
        arrival = self.env.timeout(at_ns - int(self.env.now))
        arrival.callbacks.append(partial(_succeed, message.event, delivery))

    def _arm(self, earliest: int) -> None:
        """Wake up for the next slot in which there is something to do, if any."""
        needed = (self.agenda.next_slot(), self.uplink.next_needed(earliest), self.downlink.next_needed(earliest))
        slot = min((slot for slot in needed if slot is not None), default=None)
        if slot is None or (self._armed is not None and self._armed <= slot):
            return
        self._armed = slot
        wake = self.env.event()
        wake.callbacks.append(partial(self._on_slot, slot))
        wake._ok, wake._value = True, None
        delay = slot * self.carrier.slot_ns - int(self.env.now)
        self.env.schedule(wake, priority=_AFTER_MESSAGES, delay=delay)  # type: ignore[arg-type]

    def _on_slot(self, slot: int, _: simpy.Event) -> None:
        if slot != self._armed:
            return
        self._armed = None
        self._last_slot = slot
        self.num_slots_run += 1
        if self.air is not None and self.air.update(slot):
            for adaptation in self.adaptations.values():
                adaptation.renew()
        self.agenda.run(slot)
        self.uplink.decide(slot)
        self.downlink.run(slot)
        self.uplink.run(slot)
        self._arm(slot + 1)
