"""The cells of a link, slot by slot: one process that wakes for the slots in which somebody has something to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from channels.nr import HeaderModel
from sim.core.clock import NS_PER_S, to_ns
from sim.core.kernel import LAST, FastTimeout
from sim.links.base import Delivery, Direction, LinkFailureError, Packet
from sim.links.nr.mac.adaptation import Adaptation, FixedMcs
from sim.links.nr.mac.counters import MacCounters
from sim.links.nr.mac.deps import MacDeps
from sim.links.nr.mac.downlink import Downlink
from sim.links.nr.mac.drx import DrxTimers
from sim.links.nr.mac.kpm import KpmReports
from sim.links.nr.mac.link_adaptation import ReportedChannel
from sim.links.nr.mac.modems import Modems
from sim.links.nr.mac.pcap import MacCapture
from sim.links.nr.mac.pdcch import ControlChannel
from sim.links.nr.mac.schedulers.checked import make_scheduler
from sim.links.nr.mac.slot_callbacks import SlotCallbacks
from sim.links.nr.mac.uplink import Uplink
from sim.links.nr.mac.xapps.registry import XAPPS
from sim.links.nr.phy import small_scale
from sim.links.nr.phy.block_errors import BlockErrors
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.phy.interference import Interference
from sim.links.nr.phy.radio_receiver import RadioReceiver
from sim.links.nr.phy.receiver import IdealReceiver, Receiver
from sim.links.nr.phy.uniform_stream import UniformStream
from sim.links.nr.records import SlotRecords
from sim.links.nr.rlc.message import Message, Segmenter
from sim.links.nr.rrc.radio_links import RadioLinks
from sim.links.nr.rrc.random_access import RandomAccess
from sim.links.nr.rrc.states import ConnectionStates
from sim.links.nr.settings import NrLinkSettings
from sim.links.nr.traffic.background import BackgroundTraffic
from sim.links.nr.traffic.bearers import Bearers, FlowPlace, placed_users
from sim.links.nr.traffic.flow_meter import FlowMeter


def _succeed(event: simpy.Event, delivery: Delivery, _: simpy.Event) -> None:
    event.succeed(delivery)


def _radio(
    channel: RadioChannel, uniform: dict[Direction, UniformStream]
) -> tuple[dict[Direction, Adaptation], Receiver, dict[Direction, Interference] | None]:
    """Link adaptation of both directions, the receiver, and the interference of both, over one channel."""
    settings = channel.settings
    errors = BlockErrors(channel.carrier, settings.bler_table, settings.target_bler)
    explicit = settings.interference == "explicit" and channel.num_cells > 1
    interference = {direction: Interference(channel, direction) for direction in Direction} if explicit else None
    adaptations: dict[Direction, Adaptation] = {
        direction: ReportedChannel(channel, errors, interference[direction] if interference else None, direction)
        for direction in Direction
    }
    receiver = RadioReceiver(channel, errors, interference, uniform, settings.harq_combining)
    return adaptations, receiver, interference


class Network:
    """All cells of one link.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices of all cells.
        seed: Master seed.
        settings: Keys of the link.
        decoder: Decides which transport blocks are received; by default the radio receiver that the settings describe.

    Attributes:
        interference: Between cells, of each direction; None where there is none.
        num_slots_run: Slots that had anything to do.
    """

    def __init__(
        self,
        env: simpy.Environment,
        num_devices: int,
        seed: int,
        settings: NrLinkSettings,
        decoder: Receiver | None = None,
    ) -> None:
        self.env = env
        self.bearers = Bearers(settings, num_devices)
        self._num_protocol_devices, num_devices = num_devices, self.bearers.num_users
        self.settings = settings = placed_users(settings, self._num_protocol_devices, num_devices)
        self.carrier = Carrier(settings)
        self.callbacks = SlotCallbacks()
        self.num_slots_run = 0
        self.segmenter = Segmenter(HeaderModel(), settings.segment_headers)
        uniform = {direction: UniformStream(seed, f"decoding {direction}", num_devices) for direction in Direction}
        self.channel: RadioChannel | None = None
        self.interference: dict[Direction, Interference] | None = None
        self.records = SlotRecords(settings.max_records, self.carrier.slot_ns) if settings.record_slots else None
        if settings.channel == "ideal":
            assert settings.mcs is not None
            fixed = FixedMcs(self.carrier, num_devices, settings.mcs)
            self.adaptations: dict[Direction, Adaptation] = dict.fromkeys(Direction, fixed)
            receiver: Receiver = IdealReceiver(settings.block_error_rate, uniform)
            self.num_cells, self.serving = 1, np.zeros(num_devices, dtype=np.int64)
        else:
            self.channel = RadioChannel(self.carrier, settings, num_devices, seed)
            self.adaptations, receiver, self.interference = _radio(self.channel, uniform)
            self.num_cells, self.serving = self.channel.num_cells, self.channel.serving
        self.pdcch = self._control_channel(num_devices)
        self._renew_control()
        self.reachable = np.ones(num_devices, dtype=bool)
        self.links = RadioLinks(
            settings,
            self.carrier.slot_ns,
            self.channel,
            None if self.interference is None else self.interference[Direction.DOWNLINK],
            self.callbacks,
            self.reachable,
            self._renew,
        )
        self.capture = self._make_capture()
        self.drx = self._drx_timers(num_devices, seed)
        self.modems = Modems(settings, self.carrier, self.channel, self.drx, num_devices)
        self.states, self.access = self._make_states(seed)
        self.kpm = self._measurements()
        self.uplink, self.downlink = self._make_macs(receiver if decoder is None else decoder, uniform)
        if self.states is not None:
            self.states.attach((self.uplink, self.downlink))
        self.links.attach((self.uplink, self.downlink), self.states)
        # Of the slots that decide about the uplink, the downlink needs the less the more others it has.
        self._downlink_share = 0.5 if self.carrier.every_slot_decides else 0.25
        self._armed: int | None = None
        self._kpis_since_ns = 0
        self._last_slot = -1
        self.background = self._make_background(seed)
        # Devices that no cell reaches from the start have something due.
        self._arm(self.callbacks.next_slot())

    def _make_capture(self) -> MacCapture | None:
        """Decoded MAC PDUs, if they are wanted."""
        if not self.settings.record_pcap:
            return None
        carrier = self.carrier
        return MacCapture(carrier.pattern.is_fdd, carrier.slot_ns, carrier.frame_slot_ns, self.settings.max_records)

    def _make_states(self, seed: int) -> tuple[ConnectionStates | None, RandomAccess | None]:
        """Connection states and random access, if devices are ever released."""
        settings, common = self.settings, (self.carrier, seed)
        if settings.rrc_inactivity_s is None:
            return None, None

        def succeeded(device: int, slot: int) -> None:
            states.access_succeeded(device, slot)

        access = RandomAccess(
            settings,
            *common,
            self.serving,
            self.num_cells,
            self.callbacks,
            self.pdcch,
            self.modems,
            succeeded,
            self.links.access_failed,
        )
        states = ConnectionStates(
            settings, *common, self.callbacks, self.reachable, self.drx, access.start, self.links.is_covered
        )
        return states, access

    def _measurements(self) -> KpmReports | None:
        """Measurement reports of all cells, if they are wanted."""
        settings = self.settings
        if settings.kpm_period_s is None:
            return None
        period_slots = max(1, to_ns(settings.kpm_period_s) // self.carrier.slot_ns)
        xapp = XAPPS.find(settings.xapp).make() if settings.xapp is not None else None
        return KpmReports(
            self.carrier,
            self.serving,
            self.reachable,
            self.states.released if self.states is not None and settings.rrc_release_to == "inactive" else None,
            self.num_cells,
            settings.max_harq_retransmissions,
            period_slots,
            xapp,
            self._set_weights,
        )

    def _set_weights(self, weights: npt.NDArray[np.float64]) -> None:
        """Take a controller's weights. [num_devices]."""
        for mac in (self.uplink, self.downlink):
            mac.control_weight[:] = weights

    def _control_channel(self, num_devices: int) -> ControlChannel:
        """The downlink control channel of all cells; interference between them counts for its aggregation levels."""
        settings, channel = self.settings, self.channel
        control = ControlChannel(
            self.carrier.num_prb, settings.pdcch_symbols, num_devices, self.num_cells, settings.max_grants_per_slot
        )
        if channel is not None and self.interference is not None and settings.pdcch_symbols:
            control.set_snr(channel.mean_snr_db(Direction.DOWNLINK))
            control.follow(self._downlink_sinr_db, settings.csi_period_slots)
        return control

    def _downlink_sinr_db(self, devices: npt.NDArray[np.int64], slot: int) -> npt.NDArray[np.float64]:
        """Mean SINR of the whole carrier at devices, by the running mean of interference. [num_rows]."""
        assert self.channel is not None and self.interference is not None
        snr = self.channel.snr(Direction.DOWNLINK, devices, np.full(len(devices), self.carrier.num_prb))
        over_noise = self.interference[Direction.DOWNLINK].expected_over_noise(slot, devices)
        return np.asarray(10 * np.log10(snr / (1 + over_noise.mean(axis=1))))

    def _make_background(self, seed: int) -> BackgroundTraffic | None:
        """Sources of other traffic, if there is any."""
        flows = self.settings.background
        if not flows:
            return None
        return BackgroundTraffic(self.env, seed, flows, self.bearers.places, self._send_background)

    def _make_macs(self, receiver: Receiver, uniform: dict[Direction, UniformStream]) -> tuple[Uplink, Downlink]:
        """The MAC of both directions."""
        settings = self.settings
        up, down = Direction.UPLINK, Direction.DOWNLINK
        deps = MacDeps(
            carrier=self.carrier,
            settings=settings,
            callbacks=self.callbacks,
            serving=self.serving,
            reachable=self.reachable,
            channels=self.bearers.channels[up],
            bearers=self.bearers.bearers[up],
            drx=self.drx,
            modems=self.modems,
            num_cells=self.num_cells,
            adaptation=self.adaptations[up],
            scheduler=make_scheduler(settings.scheduler, settings.delay_budget_s),
            receiver=receiver,
            uniforms=uniform[up],
            segmenter=self.segmenter,
            pdcch=self.pdcch,
            deliver=self._deliver,
            fail=self._fail,
            give_up=self.links.fail,
            records=self.records,
            kpm=self.kpm,
            capture=self.capture,
            active_slot=None if self.states is None else self.states.active_slot,
        )
        of_downlink = replace(
            deps,
            adaptation=self.adaptations[down],
            uniforms=uniform[down],
            channels=self.bearers.channels[down],
            bearers=self.bearers.bearers[down],
        )
        uplink, downlink = Uplink(deps), Downlink(of_downlink)
        uplink.peer, downlink.peer = downlink, uplink
        return uplink, downlink

    def wrap_receiver(self, wrap: Callable[[Receiver], Receiver]) -> None:
        """Put something around what decides which transport blocks are received."""
        for mac in (self.uplink, self.downlink):
            mac.deps = replace(mac.deps, receiver=wrap(mac.deps.receiver))

    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``."""
        return self._push(self._message(packet))

    def _message(self, packet: Packet) -> Message:
        """A message that is sent now."""
        now = int(self.env.now)
        total = self.segmenter.stream_bytes(-(-packet.payload_bits // 8))
        ready = now if packet.direction == Direction.UPLINK else now + self.downlink.transport_ns
        return Message(packet, self.env.event(), now, ready, total)

    def _push(self, message: Message) -> simpy.Event:
        """Queue a message; returns the event of its delivery."""
        packet = message.packet
        slot = max(self._last_slot + 1, self.carrier.first_slot_from(message.sent_ns))
        if packet.direction == Direction.UPLINK:
            self.uplink.push(message)
            needed = self.uplink.next_needed(slot)
        else:
            needed = self.downlink.push(message)
        if not self.links.is_covered(packet.device):
            self.links.waits(packet.device, slot, is_counted=message.flow is None)
            needed = self._next_needed(slot)
        if self.states is not None:
            if packet.direction == Direction.UPLINK:
                self.states.wants(packet.device, slot)
            else:
                known = max(slot, self.carrier.first_slot_from(message.ready_ns) + self.carrier.decision_slots)
                self.callbacks.schedule(known, self.states.page, packet.device)
            needed = self._next_needed(slot)
        # Whatever else is to be done has been armed for.
        self._arm(needed)
        return message.event

    def _send_background(self, packet: Packet, place: FlowPlace, meter: FlowMeter) -> simpy.Event:
        """Queue a packet of a background flow; its event happens when it has arrived or was given up."""
        message = self._message(packet)
        message.channel, message.bearer, message.flow = place.channel, place.bearer, meter
        return self._push(message)

    def restart_kpis(self) -> None:
        """Forget the figures so far: they count from now on."""
        for mac in (self.uplink, self.downlink):
            mac.kpis = MacCounters(len(self.serving), mac.delay_parts)
            mac.adaptation.restart_figures()
            if mac.acknowledged is not None:
                mac.acknowledged.restart_figures()
        self.links.counters.restart(int(self.env.now))
        if self.states is not None and self.access is not None:
            self.states.restart()
            self.access.restart()
        self.modems.restart(self.carrier.first_slot_from(int(self.env.now)))
        if self.background is not None:
            self.background.restart()
        self._kpis_since_ns = int(self.env.now)

    def figures(self) -> dict[str, float]:
        """Cell figures of both directions, names with direction and unit."""
        now, since, carrier = int(self.env.now), self._kpis_since_ns, self.carrier
        figures: dict[str, float] = {}
        for mac in (self.uplink, self.downlink):
            ends = (carrier.num_data_slots(mac.direction, carrier.first_slot_from(t)) for t in (since, now))
            begun, ended = ends
            offered = (ended - begun) * carrier.num_prb * self.num_cells
            for name, value in mac.kpis.figures((now - since) / NS_PER_S, offered).items():
                figures[f"{mac.direction}_{name}"] = value
            further = mac.adaptation.figures()
            if mac.acknowledged is not None:
                further |= mac.acknowledged.figures()
            for name, value in further.items():
                figures[f"{mac.direction}_{name}"] = value
        figures.update(self.links.figures(now, self._num_protocol_devices))
        figures.update(self.modems.figures(carrier.first_slot_from(now), self._num_protocol_devices))
        if self.states is not None and self.access is not None:
            figures.update(self.states.figures(self._num_protocol_devices))
            figures.update(self.access.figures(self._num_protocol_devices))
        if self.background is not None:
            figures.update(self.background.figures((now - since) / NS_PER_S))
        return figures

    def starving(self, since_ns: int) -> list[int]:
        """Reachable devices with messages sent by a time, if nothing of any protocol's message has arrived since."""
        macs = (self.uplink, self.downlink)
        if self.background is None or max(mac.last_progress_ns for mac in macs) > since_ns:
            return []
        devices = np.flatnonzero(self.reachable[: self._num_protocol_devices]).tolist()
        return [device for device in devices if any(mac.waits_since(device, since_ns) for mac in macs)]

    def flow_rows(self) -> list[dict[str, Any]]:
        """A row per background flow."""
        if self.background is None:
            return []
        return self.background.rows((int(self.env.now) - self._kpis_since_ns) / NS_PER_S)

    def expected_bps(self, direction: Direction, device: int) -> float:
        """Rate of the whole carrier at a device's last reported channel, its share of the pattern counted [bit/s]."""
        adaptation, carrier = self.adaptations[direction], self.carrier
        row = np.array([device])
        adaptation.refresh(row, int(self.env.now) // carrier.slot_ns)
        full_slot_bits = 8 * int(adaptation.widths.full_bytes(row)[0] * adaptation.num_layers[device])
        return full_slot_bits * carrier.data_fraction(direction) * 1e9 / carrier.slot_ns

    def radio_joules(self, device: int) -> float:
        """What a device's modem has drawn since the run began."""
        return self.modems.joules_of(device, self.carrier.first_slot_from(int(self.env.now)))

    def _drx_timers(self, num_devices: int, seed: int) -> DrxTimers:
        settings, slot_ns = self.settings, self.carrier.slot_ns
        cycle, on, inactivity = (
            -(-to_ns(duration_s) // slot_ns)
            for duration_s in (settings.access.drx_cycle_s, settings.drx_on_s, settings.drx_inactivity_s)
        )
        return DrxTimers(seed, num_devices, cycle, on, inactivity)

    def _renew(self) -> None:
        """Mean gains or serving cells have changed."""
        for adaptation in self.adaptations.values():
            adaptation.renew()
        self._renew_control()

    def _renew_control(self) -> None:
        """Aggregation levels follow the mean SNR."""
        if self.channel is not None:
            self.pdcch.set_snr(self.channel.mean_snr_db(Direction.DOWNLINK))

    def _deliver(self, message: Message, delivery: Delivery, at_ns: int) -> None:
        """Let the message's event succeed at its time of delivery."""
        self.links.delivered(message.packet.device)
        if message.flow is not None:
            message.flow.delivered(at_ns - message.sent_ns)
        FastTimeout(self.env, at_ns - int(self.env.now), partial(_succeed, message.event, delivery))

    def _fail(self, message: Message) -> None:
        """Let the message's event fail now; a background flow only counts it."""
        packet = message.packet
        if message.flow is not None:
            message.flow.failed()
            message.event.succeed()
            return
        waited_s = (int(self.env.now) - message.sent_ns) / NS_PER_S
        why = "gets no random access" if self.links.is_covered(packet.device) else "is out of coverage"
        text = f"device {packet.device} {why}: {packet.direction} {packet.kind} waited {waited_s:g} s"
        message.event.fail(LinkFailureError(text, packet.direction))

    def _use_compiled_code(self) -> None:
        """Go on with compiled code: so busy a cell is worth its import."""
        if self.channel is not None:
            self.channel.small_scale.use_compiled_code()
        for mac in (self.uplink, self.downlink):
            mac.use_compiled_code()

    def _arm(self, slot: int | None) -> None:
        """Wake up for a slot in which there is something to do, if any."""
        if slot is None or (self._armed is not None and self._armed <= slot):
            return
        self._armed = slot
        # A slot comes after all messages that were sent at its start.
        delay = slot * self.carrier.slot_ns - int(self.env.now)
        FastTimeout(self.env, delay, partial(self._on_slot, slot), priority=LAST)

    def _next_needed(self, earliest: int) -> int | None:
        """First slot >= ``earliest`` in which there is something to do, if any."""
        slot = self.uplink.next_needed(earliest)
        if slot == earliest:
            return slot
        needed = slot, self.downlink.next_needed(earliest), self.callbacks.next_slot(), self.links.next_needed()
        return min([slot for slot in needed if slot is not None], default=None)

    def _on_slot(self, slot: int, _: simpy.Event) -> None:
        if slot != self._armed:
            return
        self._armed = None
        self._last_slot = slot
        self.num_slots_run += 1
        if self.num_slots_run == small_scale.BUSY_SLOTS:
            self._use_compiled_code()
        if self.kpm is not None:
            self.kpm.advance(slot)
        self.links.update(slot)
        self.callbacks.fire(slot)
        waits = self.downlink.has_work and self.carrier.data_symbols(Direction.DOWNLINK, slot) > 0
        self.pdcch.open(slot, self._downlink_share if waits else 0.0)
        self.uplink.decide(slot)
        self.downlink.run(slot)
        self.uplink.run(slot)
        self._arm(self._next_needed(slot + 1))
