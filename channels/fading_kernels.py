"""The steps of `channels.fading` around NumPy's sines and products, compiled: the same to the last bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from channels.compiled import compiled

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]
Indices = npt.NDArray[np.int64]


@compiled
def wave_angles(frequencies_hz: Array, los_turns: Array, rows: Indices, time_s: Array, angles: Single) -> None:
    """Angle of each sinusoid within a turn [rad].

    Args:
        frequencies_hz: [num_devices, num_waves], the last that of the specular path, which starts at ``los_turns``,
            [num_devices].
        rows: Devices wanted, [num_rows].
        time_s: When, [num_rows] or [1].
        angles: Takes them, [num_rows, num_waves].
    """
    num_waves = frequencies_hz.shape[1]
    turn = np.float32(2 * np.pi)
    for place in range(len(rows)):
        row = rows[place]
        when = time_s[place % len(time_s)]
        for wave in range(num_waves):
            turns = frequencies_hz[row, wave] * when
            if wave == num_waves - 1:
                turns += los_turns[row]
            angles[place, wave] = np.float32(turns - np.rint(turns)) * turn


@compiled
def tap_sums(
    amplitudes: Single, rows: Indices, cosine: Single, sine: Single, num_taps: int, taps: Single, specular: Single
) -> None:
    """Real and imaginary part of each tap: the sum over its pairs of sinusoids, half by half while they are even.

    Args:
        amplitudes: What cosine and sine bring to both parts, [num_devices, 2 (parts), 2 (cosine, sine), num_pairs].
        rows: Devices wanted, [num_rows].
        cosine, sine: [num_rows, num_pairs + 1], the last those of the specular path.
        taps: Takes the sums, [num_rows, num_taps, 2].
        specular: Takes the last cosine and sine, [num_rows, 2].
    """
    num_pairs = amplitudes.shape[3]
    terms = np.empty(num_pairs, dtype=np.float32)
    for place in range(len(rows)):
        row = rows[place]
        specular[place, 0], specular[place, 1] = cosine[place, num_pairs], sine[place, num_pairs]
        for part in range(2):
            for pair in range(num_pairs):
                by_cosine = amplitudes[row, part, 0, pair] * cosine[place, pair]
                terms[pair] = by_cosine + amplitudes[row, part, 1, pair] * sine[place, pair]
            left = num_pairs // num_taps
            while left % 2 == 0:
                left //= 2
                for pair in range(left * num_taps):
                    terms[pair] += terms[pair + left * num_taps]
            for tap in range(num_taps):
                total = terms[tap]
                for more in range(1, left):
                    total += terms[tap + more * num_taps]
                taps[place, tap, part] = total


@compiled
def power_of_parts(
    scattered: Single, amplitudes: Single, rows: Indices, specular: Single, has_los: bool, power: Single
) -> None:
    """|H|^2 of scattered and specular parts.

    Args:
        scattered: Real and imaginary parts, [num_rows, 2 * num_groups].
        amplitudes: Of both parts, [num_devices, 2]; looked at if any device ``has_los``.
        rows: Devices wanted, [num_rows].
        specular: Cosine and sine of the specular path, [num_rows, 2].
        power: Takes them, [num_rows, num_groups].
    """
    for place in range(len(rows)):
        row = rows[place]
        for group in range(power.shape[1]):
            real, imaginary = scattered[place, 2 * group], scattered[place, 2 * group + 1]
            if has_los:
                real = real * amplitudes[row, 0] + specular[place, 0] * amplitudes[row, 1]
                imaginary = imaginary * amplitudes[row, 0] + specular[place, 1] * amplitudes[row, 1]
            power[place, group] = real * real + imaginary * imaginary


@compiled
def add_direct_path(scattered: Complex, amplitudes: Single, path: Complex) -> None:
    """Scale what is scattered and add the direct path, in place.

    Args:
        scattered: [num_rows, num_groups], as many rows in turn for each link as it has pairs of antennas.
        amplitudes: The first column is that of the scattered part, [num_links, 2].
        path: Direct path between all pairs of antennas, [num_rows].
    """
    num_pairs = len(path) // max(1, len(amplitudes))
    for row in range(len(path)):
        amplitude, direct = amplitudes[row // num_pairs, 0], path[row]
        for group in range(scattered.shape[1]):
            value = scattered[row, group]
            scattered[row, group] = complex(value.real * amplitude + direct.real, value.imag * amplitude + direct.imag)
