"""The air of all cells: who stands where, mean SNR per PRB, fading, and interference between cells."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from channels.antenna import Antenna, OmniAntenna, SectorAntenna
from channels.fading import FadingChannel, IndependentFading
from channels.geometry import SECTOR_BORESIGHTS_DEG, SiteLayout, drop_devices
from channels.large_scale import LargeScaleModel, coupling_gain_db
from channels.mobility import make_mobility
from channels.noise import noise_power_dbm
from channels.nr import prb_bandwidth_hz
from channels.placement import place_devices
from channels.power import MIN_POWER_DBM, UplinkPowerControl
from channels.recorded import FadingTrace, RecordedFading
from channels.tap_profiles import fading_profile
from sim.core.errors import InputError
from sim.links.base import Direction
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_UP, _DOWN = Direction.UPLINK, Direction.DOWNLINK
_NEPER_PER_DB = np.log(10) / 10
_MAX_SITES = 19
# Of an interfering link, of one tap or of each of many: half as many as of a serving one, since they are many.
_CROSS_SINUSOIDS = (32, 4)
_LOS_STATES = {"auto": "drawn", "los": "los", "nlos": "nlos"}


class Fading(Protocol):
    """Small-scale power gains of mean 1."""

    def power_gains(self, time_s: float, devices: Indices | None = None) -> npt.NDArray[np.float32]:
        """[num_devices, num_groups]."""


class RadioChannel:
    """Mean gains of all devices to all cells, and what follows for a PRB's SNR.

    Args:
        carrier: The carrier.
        settings: Keys of the link.
        num_devices: Devices of all cells.
        seed: Master seed.

    Attributes:
        num_cells: Cells, sectors counted.
        serving: Cell of each device, renewed in place, [num_devices].
        gain_db: Mean gain with both antennas to each cell, [num_devices, num_cells].
        headroom_prb: PRBs at which a device's power control stays within its greatest power, at least 1, [num_devices].
    """

    def __init__(self, carrier: Carrier, settings: NrLinkSettings, num_devices: int, seed: int) -> None:
        self.carrier, self.settings, self.num_devices = carrier, settings, num_devices
        self._seed = seed
        prb_hz = prb_bandwidth_hz(carrier.scs_khz)
        self._noise_dbm = {
            _UP: float(noise_power_dbm(prb_hz, settings.gnb_noise_figure_db)),
            _DOWN: float(noise_power_dbm(prb_hz, settings.ue_noise_figure_db)),
        }
        self.noise_mw = {direction: 10 ** (level / 10) for direction, level in self._noise_dbm.items()}
        self.gnb_psd_dbm = settings.gnb_power_dbm - 10 * np.log10(carrier.num_prb)
        self.serving = np.zeros(num_devices, dtype=np.int64)
        self.fixed_snr_db = self._fixed_snr()
        sectors = settings.sectors_per_site
        self.num_cells = 1 if self.fixed_snr_db is not None else settings.num_sites * sectors
        wrap_around = settings.wrap_around and settings.num_sites > 1
        self.layout = SiteLayout(settings.num_sites, settings.inter_site_distance_m, wrap_around)
        self._mobility = make_mobility(
            settings.mobility, self._drop(), settings.speed_kmh / 3.6, self._radius_m(), seed
        )
        self._renewed_slot = -1
        self._period_slots = max(1, round(settings.large_scale_period_s * 1e9 / carrier.slot_ns))
        self._is_static = settings.mobility == "fixed" or settings.speed_kmh == 0
        self.gain_db = np.zeros((num_devices, self.num_cells))
        self._build_radio()
        self._fading = self._make_fading()
        self._cross_fading: dict[str, Fading | None] = {}
        self._renew(0, first=True)

    # -- geometry ---------------------------------------------------------------------------------------------------

    def _fixed_snr(self) -> Array | None:
        snr = self.settings.snr_db
        if snr is None:
            return None
        values = np.atleast_1d(np.asarray(snr, dtype=np.float64))
        self._require_one_each("snr_db", values, scalar_too=True)
        return np.broadcast_to(values, self.num_devices).copy()

    def _require_one_each(self, name: str, values: Array, scalar_too: bool = False) -> None:
        valid = (1, self.num_devices) if scalar_too else (self.num_devices,)
        if len(values) not in valid:
            raise ValueError(f"{name}: got {len(values)} values; valid: one per device, {self.num_devices}")

    def _radius_m(self) -> float:
        settings = self.settings
        rings = {1: 0, 7: 1, 19: 2}[settings.num_sites]
        return self.layout.cell_radius_m + rings * settings.inter_site_distance_m

    def _drop(self) -> Array:
        """Positions at time 0: as given, or device n uniform over the cell of site n mod num_sites."""
        settings = self.settings
        if settings.positions_m is not None:
            positions = np.asarray(settings.positions_m, dtype=np.float64).reshape(-1, 2)
            self._require_one_each("positions_m", positions)
            return positions
        if settings.distances_m is not None:
            distances = np.asarray(settings.distances_m, dtype=np.float64)
            self._require_one_each("distances_m", distances)
            angles = np.deg2rad(30 + 360 * np.arange(len(distances)) / max(1, len(distances)))
            return np.asarray(distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
        radius, sites = self.layout.cell_radius_m, self.layout.site_positions_m()
        nearest = min(settings.min_distance_m, 0.9 * radius)
        rows = [
            drop_devices(1, radius, self._seed, tuple(sites[n % len(sites)]), None, nearest, n)[0]
            for n in range(self.num_devices)
        ]
        return np.array(rows).reshape(-1, 2)

    def positions_m(self, slot: int) -> Array:
        """Where the devices are at the start of a slot. [num_devices, 2]."""
        return self._mobility.positions_m(slot * self.carrier.slot_ns * 1e-9)

    def _build_radio(self) -> None:
        settings = self.settings
        placement = place_devices(
            self._seed,
            np.arange(self.num_devices),
            settings.scenario,
            settings.carrier_ghz,
            settings.indoor_share,
            settings.building,
            ut_height_m=settings.ut_height_m,
        )
        self._model = LargeScaleModel(
            settings.scenario,
            self.layout,
            settings.carrier_ghz,
            self._seed,
            settings.bs_height_m,
            settings.ut_height_m,
            _LOS_STATES[settings.los],
            settings.shadowing,
            placement=placement,
        )
        sectors = settings.sectors_per_site
        self._cell_site = np.repeat(np.arange(settings.num_sites), sectors)
        gain = settings.gnb_antenna_dbi
        one_site: list[Antenna] = [OmniAntenna(gain)]
        if sectors == 3:
            one_site = [SectorAntenna(boresight, max_gain_dbi=gain) for boresight in SECTOR_BORESIGHTS_DEG]
        self._antennas = one_site * settings.num_sites
        self._power = UplinkPowerControl(
            settings.p0_dbm, settings.alpha, settings.ue_power_dbm, MIN_POWER_DBM, settings.scs_khz
        )

    # -- mean gains -------------------------------------------------------------------------------------------------

    def update(self, slot: int) -> bool:
        """Renew the gains of moving devices if they are old; True if they were."""
        if self._is_static or slot < self._renewed_slot + self._period_slots:
            return False
        self._renew(slot)
        return True

    def _renew(self, slot: int, first: bool = False) -> None:
        self._renewed_slot = slot
        if self.fixed_snr_db is None:
            state = self._model.state(self.positions_m(slot))
            device_antenna = OmniAntenna(self.settings.ue_antenna_dbi)
            self.gain_db = coupling_gain_db(state, self._cell_site, self._antennas, device_antenna)
            best = self.gain_db.argmax(axis=1)
            rows = np.arange(self.num_devices)
            better = self.gain_db[rows, best] - self.gain_db[rows, self.serving]
            moves = better > (0 if first else self.settings.handover_hysteresis_db)
            self.serving[moves] = best[moves]
        own = self.gain_db[np.arange(self.num_devices), self.serving]
        rise = self.settings.rise_db if self.settings.interference == "rise_over_thermal" else 0.0
        if self.fixed_snr_db is None:
            self._uplink_psd_db = self._power.unclamped_dbm(1, -own) + own - self._noise_dbm[_UP] - rise
            self._uplink_most_db = self._power.max_power_dbm + own - self._noise_dbm[_UP] - rise
            self._uplink_least_db = self._power.min_power_dbm + own - self._noise_dbm[_UP] - rise
            self.headroom_prb = np.minimum(self._power.max_num_prb(-own), self.carrier.num_prb)
            downlink_db = self.gnb_psd_dbm + own - self._noise_dbm[_DOWN] - rise
        else:
            self.headroom_prb = np.full(self.num_devices, self.carrier.num_prb, dtype=np.int64)
            self._uplink_psd_db = downlink_db = self.fixed_snr_db - rise
            self._uplink_most_db = np.full(self.num_devices, np.inf)
            self._uplink_least_db = np.full(self.num_devices, -np.inf)
        self._downlink_snr = np.exp(downlink_db * _NEPER_PER_DB)
        self._uplink_snr = self._uplink_snr_by_width()

    def _uplink_snr_by_width(self) -> Array:
        """Mean SNR per PRB, linear, of each device on so many PRBs. [num_devices, num_prb + 1], column 0 unused."""
        width_db = 10 * np.log10(np.maximum(np.arange(self.carrier.num_prb + 1), 1))
        level = np.minimum(self._uplink_psd_db[:, None] + width_db, self._uplink_most_db[:, None])
        level = np.maximum(level, self._uplink_least_db[:, None]) - width_db
        return np.asarray(np.exp(level * _NEPER_PER_DB))

    def snr(self, direction: Direction, devices: Indices, num_prb: Indices) -> Array:
        """Mean SNR per PRB, linear, of blocks on so many PRBs; a rise over thermal counts as noise. [num_blocks].

        Uplink: P = clamp(P0 + 10 log10(2^mu M) + alpha PL) shared by M PRBs (TS 38.213 7.1.1). Downlink: the base
        station's power spread evenly over the carrier.
        """
        if direction == _DOWN:
            downlink: Array = self._downlink_snr.take(devices)
            return downlink
        value: Array = self._uplink_snr.take(devices * self._uplink_snr.shape[1] + num_prb)
        return value

    def max_prb(self, needed_snr_db: float) -> Indices:
        """PRBs over which a device's greatest power still gives an SNR, at least 1. [num_devices]."""
        room_db = np.clip(self._uplink_most_db - needed_snr_db, 0, 40)
        return np.minimum(np.floor(10 ** (room_db / 10) + 1e-9), self.carrier.num_prb).astype(np.int64)

    def mean_snr_db(self, direction: Direction) -> Array:
        """Mean SNR per PRB on the whole carrier, for pictures. [num_devices]."""
        devices = np.arange(self.num_devices)
        return np.asarray(10 * np.log10(self.snr(direction, devices, np.full(self.num_devices, self.carrier.num_prb))))

    # -- fading -----------------------------------------------------------------------------------------------------

    def _link_name(self, direction: Direction) -> str:
        """What tells the fading of the two directions apart: nothing, on a carrier that they share."""
        return str(direction) if self.carrier.pattern.is_fdd else "reciprocal"

    def _make_fading(self) -> dict[Direction, Fading | None]:
        if self.settings.fading_trace is not None:
            try:
                recorded = RecordedFading(FadingTrace.load(Path(self.settings.fading_trace)), self.num_devices)
            except (OSError, ValueError) as error:
                raise InputError(str(error), "link.fading_trace") from error
            if recorded.num_groups != self.carrier.num_groups:
                raise InputError(
                    f"got {recorded.num_groups} PRB groups; valid: {self.carrier.num_groups}, the carrier's",
                    "link.fading_trace",
                )
            return dict.fromkeys(Direction, recorded)
        made = {
            name: self._one_fading(name) for name in sorted({self._link_name(direction) for direction in Direction})
        }
        return {direction: made[self._link_name(direction)] for direction in Direction}

    def _one_fading(self, name: str, links_each: int = 1) -> Fading | None:
        """Fading of so many links of each device, device by device."""
        settings, carrier = self.settings, self.carrier
        if settings.fading == "none" or settings.fading_trace is not None:
            return None
        if settings.fading == "independent":
            tick_s = carrier.slot_ns * 1e-9
            return IndependentFading(self.num_devices * links_each, carrier.num_groups, self._seed, name, tick_s)
        profile = fading_profile(settings.fading, settings.delay_spread_ns * 1e-9, settings.rician_k_db)
        ids = np.arange(self.num_devices)[:, None] * _MAX_SITES + np.arange(links_each)
        return FadingChannel(
            profile,
            np.repeat(self._mobility.speeds_m_s, links_each),
            settings.carrier_ghz,
            carrier.group_centres_hz,
            self._seed,
            device_ids=ids.ravel() if links_each > 1 else None,
            link=name,
            num_sinusoids=None if links_each == 1 else _CROSS_SINUSOIDS[len(profile.powers) > 1],
        )

    def power_gains(self, direction: Direction, slot: int, devices: Indices) -> Array:
        """|H|^2 of devices to their cells at the start of a slot, mean 1. [num_devices, num_groups]."""
        fading = self._fading[direction]
        if fading is None:
            return np.ones((len(devices), self.carrier.num_groups))
        return fading.power_gains(self._time_s(slot), devices).astype(np.float64)

    def cross_gains(self, direction: Direction, slot: int, devices: Indices) -> Array:
        """|H|^2 of devices to all cells at the start of a slot, mean 1. [num_devices, num_cells, num_groups].

        One channel per device and site, made when first asked for; the sectors of a site share it. That to the serving
        site is the one of ``power_gains``. Without small-scale fading, and with a recorded one, all are 1.
        """
        name, num_sites = self._link_name(direction), self.settings.num_sites
        if name not in self._cross_fading:
            self._cross_fading[name] = self._one_fading(f"{name} to sites", num_sites) if num_sites > 1 else None
        fading = self._cross_fading[name]
        gains = np.ones((len(devices), num_sites, self.carrier.num_groups))
        if fading is not None:
            rows = devices[:, None] * num_sites + np.arange(num_sites)
            gains[:] = fading.power_gains(self._time_s(slot), rows.ravel()).reshape(gains.shape)
        if self.settings.fading_trace is None:
            own = self._cell_site[self.serving[devices]]
            gains[np.arange(len(devices)), own] = self.power_gains(direction, slot, devices)
        return gains.take(self._cell_site, axis=1)

    def _time_s(self, slot: int) -> float:
        return max(0, slot) * self.carrier.slot_ns * 1e-9
