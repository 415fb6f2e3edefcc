"""What the radios of devices draw, slot by slot, by the power states of TR 38.840."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.energy import SLEEP_STATES, UeModemPower
from sim.links.base import Direction
from sim.links.nr.mac.drx import DrxTimers
from sim.links.nr.phy.block import TransportBlock
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.channel import RadioChannel
from sim.links.nr.settings import NrLinkSettings

_FR1_GHZ = 7.125
_STATES = ("transmit", "receive", "listen", "sleep")
_PREAMBLE_PRB = 12
"""PRBs of a short preamble (TS 38.211 Table 6.3.3.2-1), and about those of a message 3."""
_FRAME_S = 0.01


def mean_sleep_units(power: UeModemPower, gap_s: float) -> float:
    """Mean power of a gap without listening: its cheapest sleep state, way in and out counted (TR 38.840 8.1.2)."""
    found = [
        power.state_units(state) + power.sleep_transition_energy_j(state) / gap_s / (power.milliwatt_per_unit * 1e-3)
        for state in SLEEP_STATES
        if power.sleep_transition_time_s(state) <= gap_s
    ]
    return min(found)


def mean_paging_units(power: UeModemPower, cycle_s: float, slot_s: float) -> float:
    """Mean power out of connection: of each paging cycle a slot of SSB and one of paging, and sleep (TR 38.840 8.1)."""
    awake_s = 2 * slot_s
    awake = slot_s * (power.state_units("ssb") + power.state_units("pdcch"))
    return (awake + (cycle_s - awake_s) * mean_sleep_units(power, cycle_s - awake_s)) / cycle_s


class Modems:
    """Energy of the modems of all devices.

    A slot with a transport block for a device draws the power of control and data reception, its transmission that of
    its transmit power, each further slot of its active time that of listening to the control channel (uplink slots:
    micro sleep), and the rest that of the deepest sleep for which a DRX cycle has time. Transitions are spread over
    the time asleep. A device out of RRC connected wakes once in a paging cycle.

    Args:
        settings: Keys of the link.
        carrier: The carrier.
        channel: Transmit powers; None, or with fixed SNR, takes ``ue_power_dbm``.
        drx: When devices listen.
        num_devices: Devices of all cells.
    """

    def __init__(
        self,
        settings: NrLinkSettings,
        carrier: Carrier,
        channel: RadioChannel | None,
        drx: DrxTimers,
        num_devices: int,
    ) -> None:
        self._settings, self._carrier, self._drx = settings, carrier, drx
        self._channel = channel if channel is not None and channel.fixed_snr_db is None else None
        self._power = power = UeModemPower(
            "fr1" if settings.carrier_ghz <= _FR1_GHZ else "fr2",
            settings.bandwidth_mhz,
            2 if settings.num_rx <= 2 else 4,
            settings.modem_mw_per_unit,
        )
        slot_s = carrier.slot_ns * 1e-9
        self._slot_j = slot_s * settings.modem_mw_per_unit * 1e-3
        micro, pdcch = power.state_units("micro_sleep"), power.state_units("pdcch")
        pattern = carrier.pattern
        control = [pattern.carries_downlink_control(slot) for slot in range(pattern.period_slots)]
        share = sum(control) / len(control)
        self._listen_units = share * pdcch + (1 - share) * micro
        gap_slots = drx.cycle_slots - drx.on_slots
        self._sleep_units = mean_sleep_units(power, gap_slots * slot_s) if drx.is_used else 0.0
        self._paging_units = mean_paging_units(power, settings.paging_cycle_frames * _FRAME_S, slot_s)
        self._receive_more = power.state_units("pdcch_pdsch") - pdcch
        self._instead_of_sending = 0.0 if pattern.is_fdd else micro
        # Plain numbers: a slot has a few blocks, each of one device.
        self._transmit_units = [0.0] * num_devices
        # Of a device on so many PRBs, where mean gains do not change. [num_devices][num_prb + 1].
        self._units: list[list[float]] | None = None
        self._receive_units = [0.0] * num_devices
        self._from = np.zeros((num_devices, len(_STATES)))

    def on_air(self, direction: Direction, blocks: list[TransportBlock]) -> None:
        """A slot's blocks of all devices, one each at most."""
        if direction == Direction.DOWNLINK:
            for block in blocks:
                self._receive_units[block.device] += self._receive_more
            return
        total, symbols = self._transmit_units, self._carrier.symbols
        for block, units in zip(blocks, self._units_of(blocks), strict=True):
            total[block.device] += units * block.num_symbols / symbols

    def _units_of(self, blocks: list[TransportBlock]) -> list[float]:
        """Power of transmissions beyond that of the state in which a device would else be. [num_blocks]."""
        if self._channel is not None and not self._channel.is_static:
            return self._sending_units(*np.array([(block.device, block.num_prb) for block in blocks]).T)
        if self._units is None:
            widths = np.arange(self._carrier.num_prb + 1)
            rows = (np.full(len(widths), device) for device in range(len(self._transmit_units)))
            self._units = [self._sending_units(row, widths) for row in rows]
        return [self._units[block.device][block.num_prb] for block in blocks]

    def _sending_units(self, devices: npt.NDArray[np.int64], num_prb: npt.NDArray[np.int64]) -> list[float]:
        power_dbm = self._transmit_power_dbm(devices, num_prb)
        units: list[float] = (self._power.uplink_units(power_dbm) - self._instead_of_sending).tolist()
        return units

    def on_random_access(self, devices: list[int]) -> None:
        """Preambles or messages 3 of some devices, a slot each."""
        rows = np.array(devices, dtype=np.int64)
        units = self._sending_units(rows, np.full(len(rows), min(_PREAMBLE_PRB, self._carrier.num_prb)))
        for device, drawn in zip(devices, units, strict=True):
            self._transmit_units[device] += drawn

    def _transmit_power_dbm(self, devices: npt.NDArray[np.int64], num_prb: npt.NDArray[np.int64]) -> npt.ArrayLike:
        highest = self._settings.ue_power_dbm
        if self._channel is None:
            return np.full(len(devices), highest)
        return highest - np.maximum(self._channel.headroom_db(devices, num_prb), 0)

    def joules_of(self, device: int, slot: int) -> float:
        """Energy of a device since the run began."""
        return float(self._by_state(np.array([device]), slot).sum())

    def _by_state(self, devices: npt.NDArray[np.int64], slot: int) -> npt.NDArray[np.float64]:
        """Energies of devices by state [J]. [num_devices, 4]."""
        names = devices.tolist()
        awake = np.array([self._drx.awake_slots(device, slot) for device in names])
        released = np.array([self._drx.released_slots(device, slot) for device in names])
        parts = (
            np.array([self._transmit_units[device] for device in names]),
            np.array([self._receive_units[device] for device in names]),
            self._listen_units * awake,
            self._sleep_units * (slot - awake - released) + self._paging_units * released,
        )
        return np.stack(parts, axis=1) * self._slot_j

    def restart(self, slot: int) -> None:
        """Figures count from now on."""
        self._from = self._by_state(np.arange(len(self._from)), slot)

    def figures(self, slot: int, num_devices: int | None = None) -> dict[str, float]:
        """Energy of the first devices by what their modems did [J]; of all if their number is left out."""
        devices = np.arange(len(self._from[:num_devices]))
        spent = (self._by_state(devices, slot) - self._from[:num_devices]).sum(axis=0)
        return {f"radio_{state}_energy_j": float(joules) for state, joules in zip(_STATES, spent, strict=True)}
