"""The air of all cells: who stands where, mean SNR per PRB, fading, and interference between cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from channels.antenna import OmniAntenna
from channels.geometry import SiteLayout, drop_devices
from channels.large_scale import LargeScaleModel, LargeScaleState, coupling_gain_db
from channels.mobility import make_mobility
from channels.noise import noise_power_dbm
from channels.nr import prb_bandwidth_hz
from channels.placement import place_devices
from channels.power import MAX_POWER_REDUCTION_DB, MIN_POWER_DBM, UplinkPowerControl
from sim.links.base import Direction
from sim.links.nr.phy.antennas import BaseStationAntennas
from sim.links.nr.phy.carrier import Carrier
from sim.links.nr.phy.small_scale import LinkStates, SmallScale
from sim.links.nr.phy.spatial import Spatial
from sim.links.nr.settings import NrLinkSettings

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
_UP, _DOWN = Direction.UPLINK, Direction.DOWNLINK
_NEPER_PER_DB = np.log(10) / 10
_LOS_STATES = {"auto": "drawn", "los": "los", "nlos": "nlos"}


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
        gain_db: Mean gain with both antennas to each cell, beams of large arrays not counted, [num_devices, num_cells].
        is_static: Whether mean gains never change.
        headroom_prb: PRBs at which a device's power control stays within its greatest power, at least 1, [num_devices].
        antennas: Antennas of the cells.
        small_scale: Fading.
        spatial: Layers and precoders.
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
        speeds_m_s = self._speeds_m_s()
        self._mobility = make_mobility(settings.mobility, self._drop(), speeds_m_s, self._radius_m(), seed)
        self._state: LargeScaleState | None = None
        self._linear: dict[float, tuple[Array, Array]] = {}
        self.is_static = settings.mobility == "fixed" or not speeds_m_s.any()
        self.gain_db = np.zeros((num_devices, self.num_cells))
        self._width_db = 10 * np.log10(np.maximum(np.arange(carrier.num_prb + 1), 1))
        self._build_radio()
        self.small_scale = SmallScale(carrier, settings, self._mobility.speeds_m_s, seed)
        self.spatial = Spatial(carrier, settings, self.small_scale)
        self.renew_gains(0)
        self.serving[:] = self.gain_db.argmax(axis=1)
        self.renew_links()

    # -- geometry ---------------------------------------------------------------------------------------------------

    def _fixed_snr(self) -> Array | None:
        snr = self.settings.snr_db
        if snr is None:
            return None
        values = np.atleast_1d(np.asarray(snr, dtype=np.float64))
        self._require_one_each("snr_db", values, scalar_too=True)
        return np.broadcast_to(values, self.num_devices).copy()

    def _speeds_m_s(self) -> Array:
        """Speed of each device, [num_devices]."""
        values = np.atleast_1d(np.asarray(self.settings.speed_kmh, dtype=np.float64))
        self._require_one_each("speed_kmh", values, scalar_too=True)
        return np.broadcast_to(values / 3.6, self.num_devices).copy()

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

    @property
    def is_compiled(self) -> bool:
        """Whether there is so much to do that compiled code is worth its import."""
        return self.small_scale.is_compiled

    def positions_m(self, slot: int) -> Array:
        """Where the devices are at the start of a slot. [num_devices, 2]."""
        return self._mobility.positions_m(slot * self.carrier.slot_ns * 1e-9)

    def _build_radio(self) -> None:
        settings = self.settings
        self.placement = place_devices(
            self._seed,
            np.arange(self.num_devices),
            settings.scenario,
            settings.carrier_ghz,
            settings.indoor_share,
            settings.building,
            settings.car_share,
            settings.car_windows,
            settings.ut_height_m,
            settings.floors,
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
            placement=self.placement,
        )
        self.antennas = BaseStationAntennas(settings)
        self._beam_db = np.zeros(self.num_devices)
        # Outer PRBs at the most robust modulation.
        self._min_reduction_db = MAX_POWER_REDUCTION_DB[2][1] if settings.power_reduction else 0.0
        self._power = UplinkPowerControl(
            settings.p0_dbm, settings.alpha, settings.ue_power_dbm, MIN_POWER_DBM, settings.scs_khz
        )

    # -- mean gains -------------------------------------------------------------------------------------------------

    def renew_gains(self, slot: int) -> None:
        """Mean gains of moving devices at the start of a slot; ``renew_links`` must follow."""
        if self.fixed_snr_db is None:
            self._state = self._model.state(self.positions_m(slot))
            device_antenna = OmniAntenna(self.settings.ue_antenna_dbi)
            cells = self.antennas.cells
            self.gain_db = coupling_gain_db(self._state, self.antennas.cell_site, cells, device_antenna)

    def renew_links(self) -> None:
        """What follows from mean gains and serving cells."""
        if self._state is not None:
            self._take_state(self._state)
        else:
            is_los = np.full((self.num_devices, 1), self.settings.los == "los")
            self.small_scale.renew(LinkStates(is_los, self.placement.is_indoor, np.zeros(is_los.shape), self.serving))
        self._renew_levels()

    def _take_state(self, state: LargeScaleState) -> None:
        """Beams and small-scale fading follow where devices are and which cells serve them."""
        indoor = self.placement.is_indoor
        if self.antennas.has_beams:
            self.antennas.point_beams(state, indoor, self.serving)
            self._beam_db = self.antennas.serving_gain_db
        site = self.antennas.cell_site[self.serving]
        sine = self.antennas.bs_sine(state, self.serving)
        self.small_scale.renew(LinkStates(state.is_los & ~indoor[:, None], indoor, sine, site))

    def _renew_levels(self) -> None:
        """Received levels over the noise, from mean gains and beams."""
        rise = self.settings.rise_db if self.settings.interference == "rise_over_thermal" else 0.0
        if self.fixed_snr_db is not None:
            self._asked_db = downlink_db = self.fixed_snr_db - rise
            self._max_db = np.full(self.num_devices, np.inf)
            self._min_db = np.full(self.num_devices, -np.inf)
        else:
            own = self.gain_db[np.arange(self.num_devices), self.serving]
            # The path loss that power control makes up for is measured on a broad beam.
            received = own + self._beam_db - self._noise_dbm[_UP] - rise
            self._asked_db = self._power.unclamped_dbm(1, -own) + received
            self._max_db = self._power.max_power_dbm + received
            self._min_db = self._power.min_power_dbm + received
            downlink_db = self.gnb_psd_dbm + own + self._beam_db - self._noise_dbm[_DOWN] - rise
        self._downlink_snr = np.exp(downlink_db * _NEPER_PER_DB)
        self._uplink_snr: Array | None = None
        self._serving_loss: Array | None = None
        room_db = np.clip(self._max_db - self._asked_db - self._min_reduction_db, 0, 40)
        self.headroom_prb = np.minimum(np.floor(10 ** (room_db / 10) + 1e-9), self.carrier.num_prb).astype(np.int64)

    def snr(self, direction: Direction, devices: Indices, num_prb: Indices, reduction_db: npt.ArrayLike = 0.0) -> Array:
        """Mean SNR per PRB and receive antenna, linear, of blocks on so many PRBs; a rise over thermal is noise.

        Uplink: P = clamp(P0 + 10 log10(2^mu M) + alpha PL) shared by M PRBs (TS 38.213 7.1.1). Downlink: the base
        station's power spread evenly over the carrier.

        Args:
            num_prb: PRBs of each block, [num_blocks].
            reduction_db: How far below the largest power the device must stay (uplink), [num_blocks].
        """
        if direction == _DOWN:
            downlink: Array = self._downlink_snr.take(devices)
            return downlink
        if isinstance(reduction_db, float) and reduction_db == 0.0:
            table = self._uplink_table()
            return table.take(devices * table.shape[1] + num_prb)
        return self._uplink_levels(devices, num_prb, reduction_db)

    def snr_table(self, direction: Direction) -> Array:
        """`snr` without reduction by device and PRBs, of one column where it does not depend on these.

        Returns:
            [num_devices, num_prb + 1] or [num_devices, 1]
        """
        return self._downlink_snr[:, None] if direction == _DOWN else self._uplink_table()

    def snr_of_blocks(self, direction: Direction, devices: Sequence[int], num_prb: Sequence[int]) -> list[float]:
        """`snr` of a few blocks without reduction, in plain numbers. [num_blocks]."""
        if direction == _DOWN:
            return [self._downlink_snr.item(device) for device in devices]
        table = self._uplink_table()
        return [table.item(device, width) for device, width in zip(devices, num_prb, strict=True)]

    def _uplink_table(self) -> Array:
        """SNR by device and PRBs, without reduction. [num_devices, num_prb + 1]."""
        if self._uplink_snr is None:
            every = np.arange(self.num_devices)[:, None]
            self._uplink_snr = self._uplink_levels(every, np.arange(self.carrier.num_prb + 1), 0.0)
        return self._uplink_snr

    def _uplink_levels(self, devices: Indices, num_prb: Indices, reduction_db: npt.ArrayLike) -> Array:
        width_db = self._width_db.take(num_prb)
        level = np.minimum(self._asked_db.take(devices) + width_db, self._max_db.take(devices) - reduction_db)
        level = np.maximum(level, self._min_db.take(devices), out=level)
        level -= width_db
        level *= _NEPER_PER_DB
        return np.asarray(np.exp(level, out=level))

    def serving_losses(self) -> Array:
        """Over the mean gain to the serving cell, its beam counted, 1: linear. [num_devices]."""
        if self._serving_loss is None:
            own_db = self.gain_db[np.arange(self.num_devices), self.serving] + self._beam_db
            self._serving_loss = np.asarray(10 ** (-own_db / 10))
        return self._serving_loss

    def headroom_db(self, devices: Indices, num_prb: Indices) -> Array:
        """How far a device's power on so many PRBs is below its largest [dB], negative if it is short of it."""
        return np.asarray(self._max_db.take(devices) - self._asked_db.take(devices) - self._width_db.take(num_prb))

    def linear_gain(self, power_dbm: float = 0.0) -> Array:
        """Mean gain to each cell, linear, or what a power brings over it [mW]; made once. [num_devices, num_cells]."""
        held = self._linear.get(power_dbm)
        if held is None or held[0] is not self.gain_db:
            held = self._linear[power_dbm] = self.gain_db, 10 ** ((self.gain_db + power_dbm) / 10)
        return held[1]

    def max_prb(self, needed_snr_db: float) -> Indices:
        """PRBs over which a device's greatest power still gives an SNR, at least 1. [num_devices]."""
        room_db = np.clip(self._max_db - self._min_reduction_db - needed_snr_db, 0, 40)
        return np.minimum(np.floor(10 ** (room_db / 10) + 1e-9), self.carrier.num_prb).astype(np.int64)

    def mean_snr_db(self, direction: Direction) -> Array:
        """Mean SNR per PRB on the whole carrier, for pictures. [num_devices]."""
        devices = np.arange(self.num_devices)
        return np.asarray(10 * np.log10(self.snr(direction, devices, np.full(self.num_devices, self.carrier.num_prb))))

    # -- fading -------------------------------------------------------------------------------------------------------

    def power_gains(self, direction: Direction, slot: int, devices: Indices, step_slots: int | None = None) -> Array:
        """|H|^2 of devices to their cells at a slot's start, see `SmallScale`. [num_devices, num_groups]."""
        return self.small_scale.power_gains(direction, slot, devices, step_slots)
