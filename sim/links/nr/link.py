"""The link ``nr``: protocol messages over 5G NR cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import simpy

from sim.links.base import ChannelReport, Direction, Link, LinkMeter, Packet
from sim.links.nr.settings import NrLinkSettings
from sim.links.registry import LINKS

if TYPE_CHECKING:
    from sim.links.nr.phy.receiver import Receiver

_SMALL_BYTES = 40
_CALM_MCS = 10


@LINKS.register("nr", settings=NrLinkSettings, per_device=("positions_m", "distances_m", "snr_db", "speed_kmh"))
class NrLink(Link):
    """5G NR cells: grants, TDD, HARQ, link adaptation and schedulers, slot by slot.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices of all cells.
        seed: Master seed.
        settings: Keys of the link.
        decoder: Decides which transport blocks are received; by default the radio receiver that the settings describe.

    Notes: antennas are arrays of columns, beams or both (``AntennaSettings``), with one user per PRB and slot.
    Bytes are conserved through segmentation, HARQ and RLC, and messages of a device arrive in order (PDCP). Not
    modelled: multi-user MIMO, closed-loop power commands, control-channel errors.
    """

    has_modems = True
    has_shares = True

    def __init__(
        self,
        env: simpy.Environment,
        num_devices: int,
        seed: int,
        settings: NrLinkSettings,
        decoder: Receiver | None = None,
    ) -> None:
        from sim.links.nr.network import Network

        super().__init__(env, num_devices, seed)
        self.settings = settings
        self.network = Network(env, num_devices, seed, settings, decoder)
        self.has_background = self.network.background is not None
        self.num_cells = self.network.num_cells

    def send(self, packet: Packet) -> simpy.Event:
        """Accept a message now; the event returned succeeds at its delivery with a ``Delivery``.

        Raises:
            ValueError: The device does not exist, or the payload is negative.
        """
        self._require_device(packet.device)
        if packet.payload_bits < 0:
            raise ValueError(f"payload_bits: got {packet.payload_bits}; valid: >= 0")
        return self.network.send(packet)

    def report(self, device: int) -> ChannelReport:
        """The channel state that a device would have measured by now."""
        self._require_device(device)
        up, down = (
            self.network.expected_bps(direction, device) for direction in (Direction.UPLINK, Direction.DOWNLINK)
        )
        return ChannelReport(up, down, self._idle_round_trip_s)

    def set_uplink_share(self, device: int, share: float) -> None:
        """Give a device another weight on the uplink, by which the scheduler ``qos`` divides PRBs."""
        self._require_device(device)
        self.network.uplink.control_weight[device] = share

    @cached_property
    def _idle_round_trip_s(self) -> float:
        """A small message each way in an idle, error-free cell, sent at the start of the pattern."""
        from sim.links.nr.idle import idle_delivery

        calm = {
            "channel": "ideal",
            "mcs": _CALM_MCS,
            "block_error_rate": 0.0,
            "record_slots": False,
            "drx_cycle_s": 0.0,
            "rrc_inactivity_s": None,
            "background": [],
        }
        settings = self.settings.model_copy(update=calm)
        return sum(idle_delivery(settings, _SMALL_BYTES, direction).total_ns for direction in Direction) / 1e9

    def meter(self, device: int) -> LinkMeter:
        """Handovers of a device and joules of its modem so far."""
        return LinkMeter(self.network.links.counters.handovers_of(device), self.network.radio_joules(device))

    def cell_of(self, device: int) -> int:
        """The cell that serves a device now."""
        return int(self.network.serving[device])

    def watch_cells(self, on_change: Callable[[int, int], None]) -> None:
        """Have every handover and every choice of another cell told: device, new cell."""
        self.network.links.on_cell_change = on_change

    def summary(self) -> dict[str, float]:
        """Per direction: throughput, PRB utilisation, error rate, HARQ rounds, access delays, fairness."""
        return self.network.figures()

    def flows(self) -> list[dict[str, Any]]:
        """A row per background flow: load, throughput, delays, share within the delay budget."""
        return self.network.flow_rows()

    def starving(self, since_ns: int) -> list[int]:
        """Devices in coverage whose messages background traffic keeps waiting."""
        return self.network.starving(since_ns)

    def measurements(self) -> list[dict[str, float]]:
        """A row per cell and period of ``kpm_period_s`` in which anything was sent, names as in TS 28.552."""
        kpm = self.network.kpm
        return kpm.all_rows(-(-int(self.env.now) // self.network.carrier.slot_ns)) if kpm is not None else []

    def capture(self) -> bytes | None:
        """Decoded MAC PDUs as a file for Wireshark, if ``record_pcap`` is set."""
        capture = self.network.capture
        return capture.file_bytes() if capture is not None else None

    def slots(self) -> list[dict[str, Any]]:
        """A row per transmission with PRBs, MCS, SINR and error rate, if ``record_slots`` is set."""
        records = self.network.records
        return records.rows() if records is not None else []

    def record_only(self, start_ns: int, end_ns: int) -> None:
        """Keep the transmissions of this window only, the first ones if they are too many."""
        if self.network.records is not None:
            self.network.records.only(start_ns, end_ns)

    def timeline(self) -> list[dict[str, Any]]:
        """A span per transmission, newest last, if ``record_slots`` is set."""
        records = self.network.records
        return records.spans() if records is not None else []

    def _require_device(self, device: int) -> None:
        if not 0 <= device < self.num_devices:
            raise ValueError(f"device: got {device}; valid: 0 to {self.num_devices - 1}")
