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
def taps_and_responses(
    amplitudes: Single, rows: Indices, waves: tuple[Single, Single], responses: tuple[Indices, Complex], taps: Single,
    specular: Single, matrices: Complex,
) -> None:  # fmt: skip
    """`tap_sums`, and the response of each row's profile.

    Args:
        amplitudes, rows, waves, taps, specular: As there.
        responses: Profile of each device, [num_devices], and that of each profile, [..., num_taps, num_groups].
        matrices: Takes them, [num_rows, num_taps, num_groups].
    """
    cosine, sine = waves
    profile_index, bank = responses
    tap_sums(amplitudes, rows, cosine, sine, taps.shape[1], taps, specular)
    for place in range(len(rows)):
        _copy(bank[profile_index[rows[place]]], matrices[place])


@compiled
def _copy(source: Complex, target: Complex) -> None:
    for row in range(source.shape[0]):
        for column in range(source.shape[1]):
            target[row, column] = source[row, column]


@compiled
def power_of_parts(
    scattered: Complex, amplitudes: Single, rows: Indices, specular: Single, has_los: bool, power: Single
) -> None:
    """|H|^2 of scattered and specular parts.

    Args:
        scattered: [num_rows, 1, num_groups].
        amplitudes: Of both parts, [num_devices, 2]; looked at if any device ``has_los``.
        rows: Devices wanted, [num_rows].
        specular: Cosine and sine of the specular path, [num_rows, 2].
        power: Takes them, [num_rows, num_groups].
    """
    for place in range(len(rows)):
        row = rows[place]
        for group in range(power.shape[1]):
            value = scattered[place, 0, group]
            real, imaginary = value.real, value.imag
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
        path: Direct path between all pairs of antennas, [num_links, num_bs, num_ue].
    """
    row = 0
    for link in range(path.shape[0]):
        amplitude = amplitudes[link, 0]
        for bs in range(path.shape[1]):
            for ue in range(path.shape[2]):
                direct = path[link, bs, ue]
                for group in range(scattered.shape[1]):
                    value = scattered[row, group]
                    scattered[row, group] = complex(
                        value.real * amplitude + direct.real, value.imag * amplitude + direct.imag
                    )
                row += 1


@compiled
def angles_of_pairs(
    waves: tuple[Array, Array], links: Indices, pairs: Indices, num_pairs: int, time_s: float, rows: Indices,
    angles: Single,
) -> None:  # fmt: skip
    """`wave_angles` of some pairs of antennas of links at one time.

    Args:
        waves: As there, link by link of all its pairs.
        links: Links wanted, [num_links].
        pairs: Pairs wanted of each, by number, [num_wanted].
        num_pairs: Pairs of each link.
        time_s: When.
        rows: Takes their rows, [num_links * num_wanted].
        angles: Takes the angles, [num_links * num_wanted, num_waves].
    """
    frequencies_hz, los_turns = waves
    place = 0
    for link in links:
        for pair in pairs:
            rows[place] = link * num_pairs + pair
            place += 1
    wave_angles(frequencies_hz, los_turns, rows, np.full(1, time_s), angles)


@compiled
def taps_of_pairs(
    amplitudes: Single, rows: Indices, waves: tuple[Single, Single], responses: tuple[Indices, Complex], parts: Single,
    taps: Single, matrices: Complex, direct: Complex,
) -> None:  # fmt: skip
    """`tap_sums`, the Fourier sums that follow for each link, and the direct path of its first pair.

    Args:
        amplitudes, rows, waves, taps: As there.
        responses: Profile of each row, [num_links * num_pairs], and that of each profile, [..., num_taps, num_groups].
        parts: Of the scattered and the direct part of the links wanted, [num_wanted, 2].
        matrices: Takes the response of each link's profile, [num_wanted, num_taps, num_groups].
        direct: Takes the direct path at its amplitude, [num_wanted].
    """
    cosine, sine = waves
    profile_index, bank = responses
    specular = np.empty((len(rows), 2), dtype=np.float32)
    tap_sums(amplitudes, rows, cosine, sine, taps.shape[1], taps, specular)
    num_alike = len(rows) // max(1, len(parts))
    for link in range(len(parts)):
        first = link * num_alike
        direct[link] = complex(specular[first, 0] * parts[link, 1], specular[first, 1] * parts[link, 1])
        _copy(bank[profile_index[rows[first]]], matrices[link])
