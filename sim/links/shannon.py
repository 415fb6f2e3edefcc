"""The Shannon link: a band in MHz shared by the active devices, each with its own SNR and block fading."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Annotated, Literal

import numpy as np
import simpy
from pydantic import Field

from channels.addressed import generator
from channels.block_fading import CHUNK_BLOCKS, BlockFading
from sim.core.clock import to_ns
from sim.core.errors import InputError
from sim.core.settings import Settings
from sim.links.base import Direction
from sim.links.one_way import HEADER_BITS, DuplexLink
from sim.links.processor_sharing import ProcessorSharing
from sim.links.registry import LINKS

SnrDb = Annotated[float, Field(ge=-40, le=80)]


class ShannonLinkSettings(Settings):
    """Keys of the ``shannon`` link."""

    uplink_bandwidth_mhz: float = Field(default=5.0, ge=1e-3, le=1e5)
    """Bandwidth of the uplink [MHz], shared equally by the devices that are sending at that moment."""

    downlink_bandwidth_mhz: float = Field(default=20.0, ge=1e-3, le=1e5)
    """Bandwidth of the downlink [MHz], shared equally by the devices that are being sent to at that moment."""

    snr_db: SnrDb | list[SnrDb] = 10.0
    """Mean SNR [dB] in both directions, one for all devices or one for each; a ratio of power spectral densities, so
    it stays the same whatever share of the band a device holds."""

    snr_spread_db: float = Field(default=0.0, ge=0, le=40)
    """Each device's mean SNR is shifted by its own uniform draw between minus and plus this [dB]."""

    fading: Literal["none", "rayleigh", "rician"] = "rayleigh"
    """Distribution of the gain around its mean, independent between devices and directions."""

    k_factor_db: float = Field(default=6.0, ge=-40, le=60)
    """K factor [dB] of ``rician`` fading."""

    doppler_hz: float = Field(default=9.72, ge=0, le=1e5)
    """Maximum Doppler shift [Hz]: speed times carrier over c; 9.72 Hz is 3 km/h at 3.5 GHz. Blocks are correlated by
    J0 of 2 pi times it times their distance in time."""

    block_s: float = Field(default=0.01, ge=1e-5, le=100)
    """Length of a block, in which gains are constant [s]."""

    efficiency: float = Field(default=0.75, gt=0, le=1)
    """Fraction of the Shannon rate log2(1 + SNR) that coding and overhead leave."""

    one_way_delay_s: float = Field(default=0.005, ge=0, le=1000)
    """Fixed delay each way beyond transmission [s]."""

    header_bits: int = Field(default=HEADER_BITS, ge=0, le=1_000_000)
    """Headers added to each message [bit]: IPv4 + UDP + layer 2, 40 bytes unless set."""


class FadingMemory:
    """Spectral efficiencies that a process keeps between runs, because a sweep's points meet the same fading.

    They are pure functions of what they are kept by. Nothing is kept unless a size is set, as a sweep's workers do.
    """

    def __init__(self) -> None:
        self._max_chunks = 0
        self._count = 0
        self._kept: dict[Hashable, dict[int, list[float]]] = {}

    def keep(self, max_chunks: int) -> None:
        """Keep at most so many chunks of blocks, one kilobyte each."""
        self._max_chunks = max_chunks

    def chunks_of(self, key: Hashable) -> dict[int, list[float]] | None:
        """Chunks by index of whatever the key names; None if nothing is to be kept."""
        return self._kept.setdefault(key, {}) if self._max_chunks else None

    def note_one_more(self) -> None:
        """Count a chunk that was added; when they are too many, all are let go."""
        self._count += 1
        if self._count > self._max_chunks:
            self._count = 0
            for chunks in self._kept.values():
                chunks.clear()


FADING_MEMORY = FadingMemory()


class FadingRates:
    """Spectral efficiencies of all devices in one direction, evaluated when asked for, a chunk of blocks at a time.

    They are a pure function of (seed, device, direction, block). Only a device's latest chunk is kept, so memory does
    not grow with time, unless the process keeps more of them (``FADING_MEMORY``).

    Args:
        seed: Master seed.
        direction: Which direction's gains.
        snr_db: Mean SNR per device [dB]: [num_devices].
        settings: Fading.
    """

    def __init__(self, seed: int, direction: Direction, snr_db: list[float], settings: ShannonLinkSettings) -> None:
        self._seed = seed
        self._direction = str(direction)
        self._snr = [10 ** (value / 10) for value in snr_db]
        self._settings = settings
        self._fadings: dict[int, BlockFading] = {}
        self._latest: dict[int, tuple[int, list[float]]] = {}
        keys = (settings.fading, settings.doppler_hz, settings.block_s, settings.k_factor_db)
        self._kept = [
            FADING_MEMORY.chunks_of((seed, self._direction, *keys, device, snr)) for device, snr in enumerate(self._snr)
        ]

    def __call__(self, device: int, chunk_index: int) -> list[float]:
        """ln(1 + SNR |h|^2) in the blocks of a chunk: [CHUNK_BLOCKS]."""
        kept = self._kept[device]
        if kept is not None:
            chunk = kept.get(chunk_index)
            if chunk is None:
                chunk = kept[chunk_index] = self._evaluate(device, chunk_index)
                FADING_MEMORY.note_one_more()
            return chunk
        latest = self._latest.get(device)
        if latest is None or latest[0] != chunk_index:
            latest = self._latest[device] = (chunk_index, self._evaluate(device, chunk_index))
        return latest[1]

    def _evaluate(self, device: int, chunk_index: int) -> list[float]:
        value: list[float] = np.log1p(self._snr[device] * self.gains(device, chunk_index)).tolist()
        return value

    def gains(self, device: int, chunk_index: int) -> np.ndarray:
        """Power gains |h|^2 of the blocks of a chunk, of mean 1: [CHUNK_BLOCKS]."""
        settings = self._settings
        if settings.fading == "none":
            return np.ones(CHUNK_BLOCKS)
        fading = self._fadings.get(device)
        if fading is None:
            fading = self._fadings[device] = BlockFading(
                self._seed,
                device,
                self._direction,
                doppler_hz=settings.doppler_hz,
                block_s=settings.block_s,
                k_factor_db=settings.k_factor_db if settings.fading == "rician" else None,
            )
        amplitudes = fading.chunk(chunk_index)
        return (amplitudes * amplitudes.conj()).real


@LINKS.register("shannon", settings=ShannonLinkSettings, per_device=("snr_db",))
class ShannonLink(DuplexLink):
    """Bandwidth shared equally by the active devices at a fraction of the Shannon rate, under block fading.

    A controller may give devices unequal shares of the uplink.

    A device's rate is efficiency * bandwidth / num_active * log2(1 + SNR |h|^2), integrated over blocks as they come,
    never taken at the start of a message.

    Args:
        env: SimPy environment whose time is in whole nanoseconds.
        num_devices: Devices that contend for the link.
        seed: Master seed of gains and SNR shifts, keyed by device: another device changes no other device's random
            numbers.
        settings: Band, SNR and fading.

    Raises:
        InputError: ``snr_db`` is a list of another length than the number of devices.
    """

    has_shares = True

    def __init__(self, env: simpy.Environment, num_devices: int, seed: int, settings: ShannonLinkSettings) -> None:
        snr_db = device_snrs_db(seed, num_devices, settings)
        block_ns = to_ns(settings.block_s)

        def one_way(direction: Direction, bandwidth_mhz: float) -> ProcessorSharing:
            rates = FadingRates(seed, direction, snr_db, settings)
            bits_per_ns = settings.efficiency * bandwidth_mhz * 1e-3 / math.log(2)  # per neper of ln(1 + SNR)
            return ProcessorSharing(
                env, rates, CHUNK_BLOCKS, block_ns, settings.header_bits, settings.one_way_delay_s, bits_per_ns
            )

        uplink = one_way(Direction.UPLINK, settings.uplink_bandwidth_mhz)
        downlink = one_way(Direction.DOWNLINK, settings.downlink_bandwidth_mhz)
        super().__init__(env, num_devices, seed, uplink, downlink)
        self.snr_db = snr_db
        self._shared = uplink

    def set_uplink_share(self, device: int, share: float) -> None:
        """Give a device another weight on the uplink; what others leave idle is shared by those that send."""
        self._require_device(device)
        self._shared.set_weight(device, share)


def device_snrs_db(seed: int, num_devices: int, settings: ShannonLinkSettings) -> list[float]:
    """Mean SNR of each device [dB], its own shift included.

    Raises:
        InputError: ``snr_db`` is a list of another length than the number of devices.
    """
    given = settings.snr_db
    means = given if isinstance(given, list) else [given] * num_devices
    if len(means) != num_devices:
        raise InputError(
            f"got {len(means)} values for {num_devices} devices; give one each, or one for all", "link.snr_db"
        )
    if not settings.snr_spread_db:
        return list(means)
    shifts = [2 * generator(seed, "snr_spread", device).random() - 1 for device in range(num_devices)]
    return [mean + settings.snr_spread_db * float(shift) for mean, shift in zip(means, shifts, strict=True)]
