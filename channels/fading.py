"""Small-scale fading evaluated lazily at any time for any devices: a sum of sinusoids with addressed phases.

Tap l of a device is h_l(t) = sqrt(P_l / S) sum_s exp(j (2 pi fd cos(a_ls) t + phi_ls)), whose autocorrelation over
the draw of angles and phases is P_l J0(2 pi fd tau) (Clarke; Zheng and Xiao, IEEE Commun. Lett. 2003). The channel of
a PRB group is the taps' Fourier sum at its centre. There is no horizon and no restart: time enters as a number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_positive
from channels.addressed import generator
from channels.tap_profiles import LOS_DOPPLER_FRACTION, TapProfile

Array = npt.NDArray[np.float64]
_LOOKAHEADS = (1, 2, 4, 8, 16, 32)
# Device-ticks that are filled together: few enough that the work stays in cache.
_FILL_SIZE = 256
# Rotations by 1, 2, 4 ... ticks are stored up to this power, so one anchor of phases serves 2^5 ticks.
_LEVELS = 5
_BLOCK_TICKS = 1 << _LEVELS
# A single tap needs more sinusoids than one of many: E|h|^4 / E|h|^2^2 = 2 - sum(P_l^2) / S.
_FLAT_SINUSOIDS = 64
# A time this near to a tick is that tick: far above the rounding of slot times, far below any coherence time.
_GRID_TOLERANCE_S = 1e-9
_TAP_SINUSOIDS = 8


def doppler_hz(speed_m_s: npt.ArrayLike, carrier_ghz: npt.ArrayLike) -> Array:
    """Maximum Doppler shift v fc / c, c = 299 792 458 m/s. Broadcasts."""
    return np.asarray(np.asarray(speed_m_s, dtype=np.float64) * np.asarray(carrier_ghz) * 1e9 / 299_792_458.0)


class FadingChannel:
    """Fading of many devices towards one antenna, unit mean power gain, per PRB group.

    Args:
        profile: taps, see `channels.tap_profiles`.
        speeds_m_s: speed of each device, [num_devices]; 0 gives a static (but random) channel.
        carrier_ghz: carrier frequency.
        frequencies_hz: PRB group centres relative to the carrier, [num_groups].
        seed: master seed; phases are addressed by (seed, link, device id) alone.
        device_ids: identity of each device, [num_devices]; None numbers them from 0.
        link: tells apart the channels of one device to several sites or antennas, e.g. "site3".
        num_sinusoids: per tap; None takes 8 for a multi-tap profile and 64 for a flat one.
        tick_s: slot duration. Times that are multiples of it are evaluated by stored rotations, several times
            faster than others; both agree to about 1e-5.
        lookahead_ticks: power gains of a device are worked out for so many consecutive ticks at once, 1 to 32, a
            power of two. 16 suits devices that are asked for in most slots; 1 suits rare questions about many devices.

    Notes: reciprocal, so uplink and downlink of a TDD carrier share it. Single antenna at both ends. The specular path
    of a LoS profile shifts by 0.7 fd (TR 38.901 7.7.2).
    """

    def __init__(
        self,
        profile: TapProfile,
        speeds_m_s: npt.ArrayLike,
        carrier_ghz: float,
        frequencies_hz: npt.ArrayLike,
        seed: int,
        device_ids: npt.ArrayLike | None = None,
        link: str = "",
        num_sinusoids: int | None = None,
        tick_s: float = 0.5e-3,
        lookahead_ticks: int = 16,
    ) -> None:
        speeds = np.atleast_1d(np.asarray(speeds_m_s, dtype=np.float64))
        require_between("speeds_m_s", speeds, 0, 1000)
        require_positive("carrier_ghz", carrier_ghz)
        require_positive("tick_s", tick_s)
        ids = np.arange(len(speeds)) if device_ids is None else np.asarray(device_ids)
        if ids.shape != speeds.shape:
            raise ValueError(f"device_ids: got shape {ids.shape}; valid: {speeds.shape}, that of speeds_m_s")
        if num_sinusoids is None:
            num_sinusoids = _TAP_SINUSOIDS if len(profile.powers) > 1 else _FLAT_SINUSOIDS
        require_between("num_sinusoids", num_sinusoids, 1, 1024)
        require_choice("lookahead_ticks", lookahead_ticks, _LOOKAHEADS)
        self.profile = profile
        self.tick_s = float(tick_s)
        self._draw_sinusoids(doppler_hz(speeds, carrier_ghz), ids, seed, link, num_sinusoids)
        self._set_frequencies(np.atleast_1d(np.asarray(frequencies_hz, dtype=np.float64)), num_sinusoids)
        steps = self._omega[None] * (self.tick_s * 2.0 ** np.arange(_LEVELS))[:, None, None, None]
        # [levels, sinusoids, devices, taps]
        self._rotations = _unit_phasors(steps)
        self._anchors = np.zeros(self._omega.shape, dtype=np.complex64)
        self._anchor_blocks = np.full(len(speeds), np.iinfo(np.int64).min)
        # Power gains of the ticks ahead, [ticks, devices, groups], and the block of ticks that each device's are of.
        self._gains = np.zeros((lookahead_ticks, len(speeds), self.num_groups), dtype=np.float32)
        self._gain_blocks = self._anchor_blocks.copy()

    def _draw_sinusoids(self, dopplers_hz: Array, ids: npt.NDArray[np.int64], seed: int, link: str, count: int) -> None:
        """Angular frequencies [rad/s] and phases [rad] of every sinusoid, [sinusoids, devices, taps]."""
        num_taps = len(self.profile.powers)
        shape = (count, len(ids), num_taps)
        self._omega, self._phase = np.empty(shape), np.empty(shape)
        self._los_omega = 2 * np.pi * dopplers_hz * LOS_DOPPLER_FRACTION
        self._los_phase = np.empty(len(ids))
        sector = np.arange(count)[:, None]
        for row, device in enumerate(ids):
            draw = generator(seed, "fading", link, int(device))
            # One angle in each of S equal sectors, turned by one offset per tap: uniform, and evenly spread.
            angles = 2 * np.pi * (sector + draw.random(num_taps)) / count
            self._omega[:, row] = 2 * np.pi * dopplers_hz[row] * np.cos(angles)
            self._phase[:, row] = draw.uniform(0, 2 * np.pi, (count, num_taps))
            self._los_phase[row] = draw.uniform(0, 2 * np.pi)

    def _set_frequencies(self, frequencies_hz: Array, num_sinusoids: int) -> None:
        amplitude = np.sqrt(self.profile.powers / num_sinusoids)
        phase = -2j * np.pi * np.outer(self.profile.delays_s, frequencies_hz)
        # [taps, groups]
        self._response = (amplitude[:, None] * np.exp(phase)).astype(np.complex64)
        self._los_amplitude = float(np.sqrt(self.profile.los_power))

    @property
    def num_devices(self) -> int:
        """Devices whose channels are held."""
        return int(self._omega.shape[1])

    @property
    def num_groups(self) -> int:
        """PRB groups per device."""
        return int(self._response.shape[1])

    def frequency_response(
        self, time_s: float, devices: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.complex64]:
        """Complex channel at one time for all devices or those indexed. [num_devices, num_groups] complex64

        Args:
            devices: row numbers (not ids) of the devices wanted; None for all.
        """
        # [devices, taps]
        taps = _sum_over(self._sinusoids(time_s, devices), axis=0)
        # One product per device, as in `_fill`.
        response: npt.NDArray[np.complex64] = (taps[:, None, :] @ self._response)[:, 0]
        if self._los_amplitude:
            rows: slice | npt.NDArray[np.int64] = slice(None) if devices is None else devices
            phase = self._los_omega[rows] * time_s + self._los_phase[rows]
            response += (self._los_amplitude * _unit_phasors(phase))[:, None]
        return response

    def power_gains(self, time_s: float, devices: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """|H|^2 at one time for all devices or those indexed, mean 1. [num_devices, num_groups] float32"""
        tick = self._tick_of(time_s)
        if tick is None:
            return _squared_magnitude(self.frequency_response(time_s, devices))
        block, offset = divmod(tick, len(self._gains))
        blocks = self._gain_blocks if devices is None else self._gain_blocks[devices]
        stale = blocks != block
        if stale.any():
            rows = np.flatnonzero(stale) if devices is None else np.unique(devices[stale])
            stride = _FILL_SIZE // len(self._gains)
            for first in range(0, len(rows), stride):
                self._fill(block, rows[first : first + stride])
        ahead: npt.NDArray[np.float32] = self._gains[offset]
        return ahead.copy() if devices is None else ahead[devices]

    def _fill(self, block: int, rows: npt.NDArray[np.int64]) -> None:
        """Work out the power gains of some devices for all ticks of a block."""
        count = len(self._gains)
        # [ticks, sinusoids, devices, taps]; each level doubles the ticks that are known.
        ahead = np.empty((count, self._omega.shape[0], len(rows), self._omega.shape[2]), dtype=np.complex64)
        ahead[0] = self._sinusoids(block * count * self.tick_s, rows)
        known = 1
        for rotation in self._rotations[: count.bit_length() - 1]:
            np.multiply(ahead[:known], rotation.take(rows, axis=1), out=ahead[known : 2 * known])
            known *= 2
        # [devices, ticks, taps]
        taps = np.ascontiguousarray(_sum_over(ahead, axis=1).transpose(1, 0, 2))
        # One product of fixed shape per device: a product over all would round differently with their number, and
        # adding a device must leave every bit of the others' channels alone.
        response: npt.NDArray[np.complex64] = taps @ self._response
        if self._los_amplitude:
            times_s = (block * count + np.arange(count)) * self.tick_s
            phase = self._los_omega[rows, None] * times_s + self._los_phase[rows, None]
            response += (self._los_amplitude * _unit_phasors(phase))[:, :, None]
        self._gains[:, rows] = _squared_magnitude(response).transpose(1, 0, 2)
        self._gain_blocks[rows] = block

    def _tick_of(self, time_s: float) -> int | None:
        """The tick that a time is, or None between ticks."""
        tick = round(time_s / self.tick_s)
        return tick if abs(tick * self.tick_s - time_s) <= _GRID_TOLERANCE_S else None

    def _sinusoids(self, time_s: float, devices: npt.NDArray[np.int64] | None) -> npt.NDArray[np.complex64]:
        """Every sinusoid at one time, [sinusoids, devices, taps]."""
        tick = self._tick_of(time_s)
        rows: slice | npt.NDArray[np.int64] = slice(None) if devices is None else devices
        if tick is None:
            return _unit_phasors(self._omega[:, rows] * time_s + self._phase[:, rows])
        block, step = divmod(tick, _BLOCK_TICKS)
        wanted = np.arange(self.num_devices) if devices is None else devices
        self._refresh_anchors(block, wanted)
        current = self._anchors.take(wanted, axis=1)
        for level in range(_LEVELS):
            if step >> level & 1:
                current *= self._rotations[level].take(wanted, axis=1)
        return current

    def _refresh_anchors(self, block: int, devices: npt.NDArray[np.int64]) -> None:
        """Bring the stored phasors of the devices to the start of a block of ticks, from the phases in double."""
        stale = devices[self._anchor_blocks[devices] != block]
        if stale.size:
            start_s = block * _BLOCK_TICKS * self.tick_s
            self._anchors[:, stale] = _unit_phasors(self._omega[:, stale] * start_s + self._phase[:, stale])
            self._anchor_blocks[stale] = block


def _unit_phasors(phase_rad: Array) -> npt.NDArray[np.complex64]:
    """exp(j phase), reduced to one turn in double precision before the single-precision sine and cosine."""
    turns = phase_rad * (1 / (2 * np.pi))
    small = ((turns - np.rint(turns)) * (2 * np.pi)).astype(np.float32)
    phasors = np.empty(small.shape, dtype=np.complex64)
    np.cos(small, out=phasors.real)
    np.sin(small, out=phasors.imag)
    return phasors


def _sum_over(values: npt.NDArray[np.complex64], axis: int) -> npt.NDArray[np.complex64]:
    """Sum over the sinusoids one after another; a lone column would else be summed pairwise and round otherwise."""
    if values.shape[-1] * values.shape[-2] == 1:
        running: npt.NDArray[np.complex64] = np.add.accumulate(values, axis=axis).take(-1, axis=axis)
        return running
    total: npt.NDArray[np.complex64] = np.add.reduce(values, axis=axis)
    return total


def _squared_magnitude(response: npt.NDArray[np.complex64]) -> npt.NDArray[np.float32]:
    return np.square(response.real) + np.square(response.imag)


class IndependentFading:
    """Flat Rayleigh fading drawn anew every tick, independent between devices: the model of the closed forms.

    Args:
        num_devices, num_groups: shape of a draw; a tick's draw is addressed by (seed, link, tick), device-major, so
            that adding a device leaves the others' draws alone.
        per_group: False gives all groups of a device one draw per tick.
    """

    def __init__(
        self,
        num_devices: int,
        num_groups: int,
        seed: int,
        link: str = "",
        tick_s: float = 0.5e-3,
        per_group: bool = False,
    ) -> None:
        require_positive("num_devices", num_devices)
        require_positive("num_groups", num_groups)
        require_positive("tick_s", tick_s)
        self.num_devices, self.num_groups = num_devices, num_groups
        self.tick_s = float(tick_s)
        self._seed, self._link, self._width = seed, link, num_groups if per_group else 1

    def power_gains(self, time_s: float, devices: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """Exponential power gains of mean 1 for the tick that holds `time_s`. [num_devices, num_groups] float32"""
        tick = int(np.floor(time_s / self.tick_s + 1e-6))
        draw = generator(self._seed, "independent fading", self._link, tick)
        gains = draw.standard_exponential((self.num_devices, self._width), dtype=np.float32)
        if devices is not None:
            gains = gains[devices]
        return np.broadcast_to(gains, (len(gains), self.num_groups))
