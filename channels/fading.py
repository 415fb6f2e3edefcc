"""Small-scale fading evaluated lazily at any time for any devices: a sum of sinusoids with addressed phases.

Tap l of a device is h_l(t) = sqrt(P_l / S) sum_s exp(j (2 pi fd cos(a_ls) t + phi_ls)), whose autocorrelation over
the draw of angles and phases is P_l J0(2 pi fd tau) (Clarke; Zheng and Xiao, IEEE Commun. Lett. 2003). The channel of
a PRB group is the taps' Fourier sum at its centre. There is no horizon and no restart: time enters as a number.

Opposite angles turn at opposite frequencies, so a pair of sinusoids is (A + B) cos(w t) + j (A - B) sin(w t) with
A = exp(j phi_1), B = exp(j phi_2): one cosine and one sine for two sinusoids.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_positive
from channels.addressed import generator, uniforms
from channels.tap_profiles import LOS_DOPPLER_FRACTION, TapProfile

Array = npt.NDArray[np.float64]
# Devices that are evaluated together: few enough that the work stays in cache.
_CHUNK_DEVICES = 64
# A single tap needs more sinusoids than one of many: E|h|^4 / E|h|^2^2 = 2 - sum(P_l^2) / S.
_FLAT_SINUSOIDS = 64
_TAP_SINUSOIDS = 8


@cache
def kernels() -> ModuleType:
    """`channels.fading_kernels`, imported when it is first needed."""
    from channels import fading_kernels

    return fading_kernels


def doppler_hz(speed_m_s: npt.ArrayLike, carrier_ghz: npt.ArrayLike) -> Array:
    """Maximum Doppler shift v fc / c, c = 299 792 458 m/s. Broadcasts."""
    return np.asarray(np.asarray(speed_m_s, dtype=np.float64) * np.asarray(carrier_ghz) * 1e9 / 299_792_458.0)


class ProfileBank:
    """Tap profiles at given frequencies, as the matrices that turn taps into PRB groups; grows as profiles are added.

    Args:
        frequencies_hz: PRB group centres relative to the carrier, [num_groups].
        num_taps: taps of the largest profile; those with fewer are filled up with taps of no power.

    Attributes:
        responses: Fourier sum of each profile's scattered taps at unit power, [num_profiles, num_taps, num_groups].
        k_linear: specular over scattered power of each profile, [num_profiles].
    """

    def __init__(self, frequencies_hz: npt.ArrayLike, num_taps: int) -> None:
        self._frequencies_hz = np.atleast_1d(np.asarray(frequencies_hz, dtype=np.float64))
        self.num_taps = num_taps
        self.responses = np.zeros((0, num_taps, self.num_groups), dtype=np.complex64)
        self.k_linear = np.zeros(0)

    @property
    def num_groups(self) -> int:
        """PRB groups."""
        return len(self._frequencies_hz)

    def add(self, profiles: Sequence[TapProfile]) -> range:
        """Add profiles; returns their indices."""
        first = len(self.k_linear)
        self.responses = np.concatenate([self.responses, *(self._response(one)[None] for one in profiles)])
        self.k_linear = np.append(self.k_linear, [one.los_power / one.powers.sum() for one in profiles])
        return range(first, len(self.k_linear))

    def _response(self, profile: TapProfile) -> npt.NDArray[np.complex64]:
        count = len(profile.powers)
        if count > self.num_taps:
            raise ValueError(f"num_taps: got a profile of {count}; valid: up to {self.num_taps}")
        response = np.zeros((self.num_taps, self.num_groups), dtype=np.complex128)
        turns = np.outer(profile.delays_s, self._frequencies_hz)
        amplitudes = np.sqrt(profile.powers / profile.powers.sum())
        response[:count] = amplitudes[:, None] * np.exp(-2j * np.pi * turns)
        return response.astype(np.complex64)


class FadingChannel:
    """Fading of many devices towards one antenna, unit mean power gain, per PRB group.

    Args:
        profile: taps, see `channels.tap_profiles`; or a bank of profiles, of which each device uses one.
        speeds_m_s: speed of each device, [num_devices]; 0 gives a static (but random) channel.
        carrier_ghz: carrier frequency.
        frequencies_hz: PRB group centres relative to the carrier, [num_groups]; not looked at with a bank.
        seed: master seed; phases are addressed by (seed, link, device id) alone.
        device_ids: identity of each device, [num_devices]; None numbers them from 0.
        link: distinguishes the channels of one device to several sites or antennas, e.g. "site3".
        num_sinusoids: per tap, even; None takes 8 for a multi-tap profile and 64 for a flat one.
        profile_index: profile of each device in the bank, [num_devices]; None is the first for all.
        k_linear: Rician K of each device, [num_devices]; None is that of its profile.
        is_compiled: work with compiled code, which gives the same numbers sooner and takes a while to be imported.

    Notes: reciprocal, so uplink and downlink of a TDD carrier share it. Single antenna at both ends. The specular path
    of a LoS profile shifts by 0.7 fd (TR 38.901 7.7.2). Phases are reduced to one turn in double precision before the
    single-precision sine and cosine: a day in, a phase is still right to 1e-6 turns.
    """

    def __init__(
        self,
        profile: TapProfile | ProfileBank,
        speeds_m_s: npt.ArrayLike,
        carrier_ghz: float,
        frequencies_hz: npt.ArrayLike,
        seed: int,
        device_ids: npt.ArrayLike | None = None,
        link: str = "",
        num_sinusoids: int | None = None,
        profile_index: npt.NDArray[np.int64] | None = None,
        k_linear: npt.ArrayLike | None = None,
        is_compiled: bool = False,
    ) -> None:
        self._is_compiled = is_compiled
        speeds = np.atleast_1d(np.asarray(speeds_m_s, dtype=np.float64))
        require_between("speeds_m_s", speeds, 0, 1000)
        require_positive("carrier_ghz", carrier_ghz)
        ids = np.arange(len(speeds)) if device_ids is None else np.asarray(device_ids)
        if ids.shape != speeds.shape:
            raise ValueError(f"device_ids: got shape {ids.shape}; valid: {speeds.shape}, that of speeds_m_s")
        if isinstance(profile, TapProfile):
            bank = ProfileBank(frequencies_hz, len(profile.powers))
            bank.add([profile])
        else:
            bank = profile
        self.bank = bank
        if num_sinusoids is None:
            num_sinusoids = _TAP_SINUSOIDS if bank.num_taps > 1 else _FLAT_SINUSOIDS
        require_between("num_sinusoids", num_sinusoids, 2, 1024)
        if num_sinusoids % 2:
            raise ValueError(f"num_sinusoids: got {num_sinusoids}; valid: even, 2 to 1024")
        self._num_sinusoids = num_sinusoids
        self._draw_sinusoids(doppler_hz(speeds, carrier_ghz), ids, seed, link)
        self.use_profiles(np.zeros(len(ids), dtype=np.int64) if profile_index is None else profile_index, k_linear)

    def use_profiles(self, profile_index: npt.NDArray[np.int64], k_linear: npt.ArrayLike | None = None) -> None:
        """Give each device its profile of the bank and its K, [num_devices] each; the sinusoids stay."""
        self._profile_index = np.asarray(profile_index, dtype=np.int64)
        self._is_uniform = len(self.bank.k_linear) == 1
        k = self.bank.k_linear[self._profile_index] if k_linear is None else np.asarray(k_linear, dtype=np.float64)
        # Of the scattered and the specular part, [num_devices, 2].
        self._part_amplitudes = np.sqrt(np.stack([1 / (1 + k), k / (1 + k)], axis=1)).astype(np.float32)
        self._has_los = bool(np.any(k > 0))

    def use_compiled_code(self) -> None:
        """Go on with compiled code, to the same numbers."""
        self._is_compiled = True

    def _draw_sinusoids(self, dopplers_hz: Array, ids: npt.NDArray[np.int64], seed: int, link: str) -> None:
        """Frequency [Hz] of every pair of sinusoids, and what its cosine and sine bring to real and imaginary part.

        ``_frequencies_hz`` [num_devices, pairs * taps + 1], the last that of the specular path, which starts at
        ``_los_turns``; ``_amplitudes`` [num_devices, 2 (parts), 2 (cosine, sine), pairs * taps].
        """
        count, num_taps, num_links = self._num_sinusoids, self.bank.num_taps, len(ids)
        half = count // 2
        draws = uniforms(seed, "fading", link, entities=ids, count=num_taps * (count + 1) + 1)
        # One angle in each of S equal sectors, turned by one offset per tap: uniform, and evenly spread.
        offsets = draws[:, :num_taps].reshape(num_links, 1, num_taps)
        angles = 2 * np.pi * (np.arange(half)[:, None] + offsets) / count
        self._frequencies_hz = np.empty((num_links, half * num_taps + 1))
        self._frequencies_hz[:, :-1] = (dopplers_hz[:, None, None] * np.cos(angles)).reshape(num_links, -1)
        self._frequencies_hz[:, -1] = dopplers_hz * LOS_DOPPLER_FRACTION
        phasors = np.exp(2j * np.pi * draws[:, num_taps:-1]).reshape(num_links, 2, half * num_taps) / np.sqrt(count)
        cosine, sine = phasors[:, 0] + phasors[:, 1], 1j * (phasors[:, 0] - phasors[:, 1])
        self._amplitudes = np.empty((num_links, 2, 2, half * num_taps), dtype=np.float32)
        for part, of in enumerate((np.real, np.imag)):
            self._amplitudes[:, part, 0], self._amplitudes[:, part, 1] = of(cosine), of(sine)
        self._los_turns = draws[:, -1].copy()

    @property
    def num_devices(self) -> int:
        """Devices whose channels are held."""
        return len(self._frequencies_hz)

    @property
    def num_groups(self) -> int:
        """PRB groups per device."""
        return self.bank.num_groups

    def frequency_response(
        self, time_s: float | Array, devices: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.complex64]:
        """Complex channel at one time for all devices or those indexed. [num_devices, num_groups] complex64.

        Args:
            time_s: when; or when for each device, [num_devices].
            devices: row numbers (not ids) of the devices wanted; None for all.
        """
        rows = np.arange(self.num_devices) if devices is None else devices
        if len(rows) <= _CHUNK_DEVICES:
            return self._evaluate(time_s, rows)[0]
        response = np.empty((len(rows), self.num_groups), dtype=np.complex64)
        for first in range(0, len(rows), _CHUNK_DEVICES):
            chunk = slice(first, first + _CHUNK_DEVICES)
            when = time_s[chunk] if isinstance(time_s, np.ndarray) else time_s
            response[chunk] = self._evaluate(when, rows[chunk])[0]
        return response

    def power_gains(
        self, time_s: float | Array, devices: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """|H|^2 for all devices or those indexed, see `frequency_response`, mean 1. [num_devices, num_groups]."""
        if self._is_compiled and devices is not None:
            return self._compiled_power_gains(time_s, devices)
        response = self.frequency_response(time_s, devices)
        power = np.square(response.real)
        power += np.square(response.imag)
        return power

    def response_and_phasors(
        self, time_s: float, devices: npt.NDArray[np.int64], num_alike: int = 1
    ) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.complex64]]:
        """Channel of devices at one time, and the unit phasor of their specular path, which turns at 0.7 fd.

        Args:
            num_alike: so many in a row have the same profile.

        Returns:
            [num_devices, num_groups], [num_devices] complex64.
        """
        if self._is_compiled:
            response, waves = self._evaluate(time_s, devices, num_alike)
            return response, waves.view(np.complex64)[:, 0]
        size = max(1, _CHUNK_DEVICES // num_alike) * num_alike
        chunks = range(0, max(1, len(devices)), size)
        found = [self._evaluate(time_s, devices[first : first + size], num_alike) for first in chunks]
        response, waves = found[0] if len(found) == 1 else map(np.concatenate, zip(*found, strict=True))
        return response, waves.view(np.complex64)[:, 0]

    def compiled_response_of_pairs(
        self,
        time_s: float,
        links: npt.NDArray[np.int64],
        pairs: npt.NDArray[np.int64],
        num_pairs: int,
        parts: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.complex64]]:
        """`response_and_phasors` where each device is a pair of antennas of a link, by compiled code.

        Args:
            links: Links wanted, [num_links].
            pairs: Of each link, those of its ``num_pairs`` pairs that are wanted, [num_wanted].
            parts: Amplitudes of the scattered and the direct part, [num_links, 2].

        Returns:
            Scattered part, [num_links * num_wanted, num_groups], and the direct path of each link's first pair at its
            amplitude, [num_links]; complex64.
        """
        compiled, bank, count = kernels(), self.bank.responses, len(links) * len(pairs)
        rows = np.empty(count, dtype=np.int64)
        angles = np.empty((count, self._frequencies_hz.shape[1]), dtype=np.float32)
        compiled.angles_of_pairs((self._frequencies_hz, self._los_turns), links, pairs, num_pairs, time_s, rows, angles)
        waves, taps = (np.cos(angles), np.sin(angles)), np.empty((count, bank.shape[1], 2), dtype=np.float32)
        matrices = np.empty((len(links), *bank.shape[1:]), dtype=np.complex64)
        direct = np.empty(len(links), dtype=np.complex64)
        responses = self._profile_index, bank
        compiled.taps_of_pairs(self._amplitudes, rows, waves, responses, parts, taps, matrices, direct)
        # As in `_scattered`.
        by_link = taps.view(np.complex64).reshape(len(links), len(pairs), 1, -1)
        return np.matmul(by_link, matrices[:, None]).reshape(count, -1), direct

    def _evaluate(
        self, time_s: float | Array, rows: npt.NDArray[np.int64], num_alike: int = 1
    ) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
        """Channel of some devices, and cosine and sine of their specular paths. [rows, groups], [rows, 2]."""
        taps, specular = (self._compiled_taps if self._is_compiled else self._taps)(time_s, rows)
        response = self._scattered(taps, rows, num_alike)
        if self._has_los:
            amplitudes = self._part_amplitudes.take(rows, axis=0)
            response *= amplitudes[:, :1]
            response += (specular * amplitudes[:, 1:]).view(np.complex64)
        return response, specular

    def _taps(
        self, time_s: float | Array, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
        """Taps of some devices, and cosine and sine of their specular paths. [rows, 1, taps], [rows, 2]."""
        turns = self._frequencies_hz.take(rows, axis=0)
        turns *= time_s[:, None] if isinstance(time_s, np.ndarray) else time_s
        turns[:, -1] += self._los_turns.take(rows)
        waves = _cosine_sine(turns)
        terms = self._amplitudes.take(rows, axis=0)
        terms *= waves[:, None, :, :-1]
        # [devices, 2, taps]
        parts = self._sum_of_pairs(terms[:, :, 0] + terms[:, :, 1])
        taps = np.ascontiguousarray(parts.swapaxes(1, 2)).view(np.complex64).swapaxes(1, 2)
        return taps, np.ascontiguousarray(waves[:, :, -1])

    def _compiled_taps(
        self, time_s: float | Array, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
        """`_taps` by compiled code around NumPy's cosines and sines."""
        compiled, num_taps = kernels(), self.bank.num_taps
        angles = np.empty((len(rows), self._frequencies_hz.shape[1]), dtype=np.float32)
        when = time_s if isinstance(time_s, np.ndarray) else np.array([time_s])
        compiled.wave_angles(self._frequencies_hz, self._los_turns, rows, when, angles)
        taps = np.empty((len(rows), num_taps, 2), dtype=np.float32)
        specular = np.empty((len(rows), 2), dtype=np.float32)
        compiled.tap_sums(self._amplitudes, rows, np.cos(angles), np.sin(angles), num_taps, taps, specular)
        return taps.view(np.complex64).swapaxes(1, 2), specular

    def _compiled_power_gains(self, time_s: float | Array, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """`power_gains` by compiled code around NumPy's functions and products."""
        compiled, bank, count = kernels(), self.bank.responses, len(rows)
        angles = np.empty((count, self._frequencies_hz.shape[1]), dtype=np.float32)
        when = time_s if isinstance(time_s, np.ndarray) else np.array([time_s])
        compiled.wave_angles(self._frequencies_hz, self._los_turns, rows, when, angles)
        waves, taps = (np.cos(angles), np.sin(angles)), np.empty((count, bank.shape[1], 2), dtype=np.float32)
        specular, matrices = np.empty((count, 2), dtype=np.float32), bank[0]
        if self._is_uniform:
            compiled.tap_sums(self._amplitudes, rows, *waves, bank.shape[1], taps, specular)
        else:
            matrices, responses = np.empty((count, *bank.shape[1:]), dtype=bank.dtype), (self._profile_index, bank)
            compiled.taps_and_responses(self._amplitudes, rows, waves, responses, taps, specular, matrices)
        # As in `_scattered`.
        scattered = np.matmul(taps.view(np.complex64).reshape(count, 1, -1), matrices)
        power = np.empty((count, self.num_groups), dtype=np.float32)
        compiled.power_of_parts(scattered, self._part_amplitudes, rows, specular, self._has_los, power)
        return power

    def _scattered(
        self, taps: npt.NDArray[np.complex64], rows: npt.NDArray[np.int64], num_alike: int
    ) -> npt.NDArray[np.complex64]:
        """Fourier sums of taps, [rows, 1, taps]. [rows, groups]."""
        # One product of fixed shape per device: a product over all would round differently with their number, and
        # adding a device must leave every bit of the others' channels alone.
        bank = self.bank.responses
        if num_alike > 1:
            matrices = bank.take(self._profile_index.take(rows[::num_alike]), axis=0)[:, None]
            taps = taps.reshape(len(matrices), num_alike, 1, -1)
        else:
            matrices = bank[0] if self._is_uniform else bank.take(self._profile_index.take(rows), axis=0)
        return np.asarray((taps @ matrices).reshape(len(rows), -1))

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
    """Cos and sin of angles in turns, which are overwritten. [num_devices, ...] -> [num_devices, 2, ...] float32."""
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
        """Exponential power gains of mean 1 for the tick that holds `time_s`. [num_devices, num_groups] float32."""
        tick = int(np.floor(time_s / self.tick_s + 1e-6))
        draw = generator(self._seed, "independent fading", self._link, tick)
        gains = draw.standard_exponential((self.num_devices, self._width), dtype=np.float32)
        if devices is not None:
            gains = gains[devices]
        return np.broadcast_to(gains, (len(gains), self.num_groups))
