"""Small-scale fading evaluated lazily at any time for any devices: a sum of sinusoids with addressed phases.

Tap l of a device is h_l(t) = sqrt(P_l / S) sum_s exp(j (2 pi fd cos(a_ls) t + phi_ls)), whose autocorrelation over
the draw of angles and phases is P_l J0(2 pi fd tau) (Clarke; Zheng and Xiao, IEEE Commun. Lett. 2003). The channel of
a PRB group is the taps' Fourier sum at its centre. There is no horizon and no restart: time enters as a number.

Opposite angles turn at opposite frequencies, so a pair of sinusoids is (A + B) cos(w t) + j (A - B) sin(w t) with
A = exp(j phi_1), B = exp(j phi_2): one cosine and one sine for two sinusoids.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_positive
from channels.addressed import generator
from channels.tap_profiles import LOS_DOPPLER_FRACTION, TapProfile

Array = npt.NDArray[np.float64]
# Devices that are evaluated together: few enough that the work stays in cache.
_CHUNK_DEVICES = 64
# A single tap needs more sinusoids than one of many: E|h|^4 / E|h|^2^2 = 2 - sum(P_l^2) / S.
_FLAT_SINUSOIDS = 64
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
        num_sinusoids: per tap, even; None takes 8 for a multi-tap profile and 64 for a flat one.

    Notes: reciprocal, so uplink and downlink of a TDD carrier share it. Single antenna at both ends. The specular path
    of a LoS profile shifts by 0.7 fd (TR 38.901 7.7.2). Phases are reduced to one turn in double precision before the
    single-precision sine and cosine: a day in, a phase is still right to 1e-6 turns.
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
    ) -> None:
        speeds = np.atleast_1d(np.asarray(speeds_m_s, dtype=np.float64))
        require_between("speeds_m_s", speeds, 0, 1000)
        require_positive("carrier_ghz", carrier_ghz)
        ids = np.arange(len(speeds)) if device_ids is None else np.asarray(device_ids)
        if ids.shape != speeds.shape:
            raise ValueError(f"device_ids: got shape {ids.shape}; valid: {speeds.shape}, that of speeds_m_s")
        if num_sinusoids is None:
            num_sinusoids = _TAP_SINUSOIDS if len(profile.powers) > 1 else _FLAT_SINUSOIDS
        require_between("num_sinusoids", num_sinusoids, 2, 1024)
        if num_sinusoids % 2:
            raise ValueError(f"num_sinusoids: got {num_sinusoids}; valid: even, 2 to 1024")
        self.profile = profile
        self._num_sinusoids = num_sinusoids
        self._draw_sinusoids(doppler_hz(speeds, carrier_ghz), ids, seed, link)
        self._set_frequencies(np.atleast_1d(np.asarray(frequencies_hz, dtype=np.float64)))

    def _draw_sinusoids(self, dopplers_hz: Array, ids: npt.NDArray[np.int64], seed: int, link: str) -> None:
        """Frequency [Hz] of every pair of sinusoids, and what its cosine and sine bring to real and imaginary part.

        ``_frequencies_hz`` [num_devices, pairs * taps]; ``_amplitudes`` [num_devices, 2 (parts), 2 (cosine, sine),
        pairs * taps].
        """
        count, num_taps = self._num_sinusoids, len(self.profile.powers)
        half = count // 2
        self._frequencies_hz = np.empty((len(ids), half * num_taps))
        self._amplitudes = np.empty((len(ids), 2, 2, half * num_taps), dtype=np.float32)
        self._los_hz, self._los_turns = dopplers_hz * LOS_DOPPLER_FRACTION, np.empty(len(ids))
        sector = np.arange(half)[:, None]
        for row, device in enumerate(ids):
            draw = generator(seed, "fading", link, int(device))
            # One angle in each of S equal sectors, turned by one offset per tap: uniform, and evenly spread.
            angles = 2 * np.pi * (sector + draw.random(num_taps)) / count
            self._frequencies_hz[row] = (dopplers_hz[row] * np.cos(angles)).ravel()
            phasors = np.exp(1j * draw.uniform(0, 2 * np.pi, (2, half * num_taps)))
            cosine, sine = phasors[0] + phasors[1], 1j * (phasors[0] - phasors[1])
            self._amplitudes[row] = ((cosine.real, sine.real), (cosine.imag, sine.imag))
            self._los_turns[row] = draw.uniform(0, 1)

    def _set_frequencies(self, frequencies_hz: Array) -> None:
        amplitude = np.sqrt(self.profile.powers / self._num_sinusoids)
        response = amplitude[:, None] * np.exp(-2j * np.pi * np.outer(self.profile.delays_s, frequencies_hz))
        # Real form of the Fourier sum: [2 (parts) * taps, 2 (parts) * groups]
        self._response = np.block([[response.real, response.imag], [-response.imag, response.real]]).astype(np.float32)
        self._los_amplitude = float(np.sqrt(self.profile.los_power))

    @property
    def num_devices(self) -> int:
        """Devices whose channels are held."""
        return len(self._frequencies_hz)

    @property
    def num_groups(self) -> int:
        """PRB groups per device."""
        return int(self._response.shape[1]) // 2

    def frequency_response(
        self, time_s: float, devices: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.complex64]:
        """Complex channel at one time for all devices or those indexed. [num_devices, num_groups] complex64

        Args:
            devices: row numbers (not ids) of the devices wanted; None for all.
        """
        parts = self._parts(time_s, devices)
        return np.ascontiguousarray(parts.transpose(0, 2, 1)).view(np.complex64)[:, :, 0]

    def power_gains(self, time_s: float, devices: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """|H|^2 at one time for all devices or those indexed, mean 1. [num_devices, num_groups] float32"""
        parts = self._parts(time_s, devices)
        np.square(parts, out=parts)
        return parts[:, 0] + parts[:, 1]

    def _parts(self, time_s: float, devices: npt.NDArray[np.int64] | None) -> npt.NDArray[np.float32]:
        """Real and imaginary part of the channel. [num_devices, 2, num_groups]"""
        rows = np.arange(self.num_devices) if devices is None else devices
        if len(rows) <= _CHUNK_DEVICES:
            return self._evaluate(time_s, rows)
        parts = np.empty((len(rows), 2, self.num_groups), dtype=np.float32)
        for first in range(0, len(rows), _CHUNK_DEVICES):
            chunk = slice(first, first + _CHUNK_DEVICES)
            parts[chunk] = self._evaluate(time_s, rows[chunk])
        return parts

    def _evaluate(self, time_s: float, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        count = len(rows)
        # [devices, 1, 2, pairs * taps]
        waves = _cosine_sine(self._frequencies_hz.take(rows, axis=0) * time_s)[:, None]
        terms = self._amplitudes.take(rows, axis=0)
        terms *= waves
        # [devices, 2, taps]
        taps = self._sum_of_pairs(terms[:, :, 0] + terms[:, :, 1])
        # One product of fixed shape per device: a product over all would round differently with their number, and
        # adding a device must leave every bit of the others' channels alone.
        parts: npt.NDArray[np.float32] = (taps.reshape(count, 1, -1) @ self._response).reshape(count, 2, -1)
        if self._los_amplitude:
            direct = _cosine_sine(self._los_hz.take(rows) * time_s + self._los_turns.take(rows))
            parts += np.float32(self._los_amplitude) * direct[:, :, None]
        return parts

    def _sum_of_pairs(self, terms: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sum over the pairs, half by half while they are even: long rows add faster than short ones."""
        left = self._num_sinusoids // 2
        while left % 2 == 0:
            middle = terms.shape[2] // 2
            terms = terms[:, :, :middle] + terms[:, :, middle:]
            left //= 2
        if left > 1:
            terms = np.add.reduce(terms.reshape(len(terms), 2, left, -1), axis=2)
        return terms


def _cosine_sine(turns: Array) -> npt.NDArray[np.float32]:
    """cos and sin of angles in turns, which are overwritten. [num_devices, ...] -> [num_devices, 2, ...] float32"""
    turns -= np.rint(turns)
    angles = turns.astype(np.float32)
    angles *= np.float32(2 * np.pi)
    waves = np.empty((len(turns), 2, *turns.shape[1:]), dtype=np.float32)
    np.cos(angles, out=waves[:, 0])
    np.sin(angles, out=waves[:, 1])
    return waves


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
