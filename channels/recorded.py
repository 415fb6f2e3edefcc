"""Recorded fading: |H|^2 per device, sample and PRB group from a file, read at any time like a live channel."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from channels._validation import require_choice, require_positive
from channels.text_files import check_regular

Array = npt.NDArray[np.float64]
_FORMAT = "specran-fading-1"
AT_END = ("mirror", "error")
# What reading a file that is none, or was cut or changed, may raise.
_DAMAGE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    EOFError,
    ValueError,
    TypeError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)
_MAX_POWER_GAIN = 1e12


@dataclass(frozen=True)
class FadingTrace:
    """A recording; written and read as one compressed .npz file.

    Attributes:
        power_gain: small-scale |H|^2, [num_devices, num_samples, num_groups] float32. CDL: mean 1 over the ensemble.
            Ray tracing: mean 1 over each device's own recording.
        sample_period_s: time between samples.
        frequencies_hz: PRB group centres relative to the carrier, [num_groups].
        mean_gain_db: large-scale gain that was taken out, [num_devices]: 0 for CDL, -inf for a device that no path
            reaches.
        provenance: what made it: tool, version, model, seed, speed, carrier.
    """

    power_gain: npt.NDArray[np.float32]
    sample_period_s: float
    frequencies_hz: Array
    mean_gain_db: Array
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        if self.power_gain.ndim != 3 or not np.issubdtype(self.power_gain.dtype, np.floating):
            got = f"{self.power_gain.dtype} of shape {self.power_gain.shape}"
            raise ValueError(f"power_gain: got {got}; valid: numbers [num_devices, num_samples, num_groups]")
        devices, samples, groups = self.power_gain.shape
        require_positive("sample_period_s", self.sample_period_s)
        if samples < 2:
            raise ValueError(f"power_gain: got {samples} samples; valid: at least 2")
        if self.frequencies_hz.shape != (groups,) or self.mean_gain_db.shape != (devices,):
            raise ValueError(
                f"frequencies_hz, mean_gain_db: got {self.frequencies_hz.shape}, {self.mean_gain_db.shape}; "
                f"valid: ({groups},), ({devices},)"
            )
        if not np.all((self.power_gain >= 0) & (self.power_gain <= _MAX_POWER_GAIN)):
            raise ValueError(f"power_gain: holds negative or non-finite values; valid: 0 to {_MAX_POWER_GAIN:g}")
        if np.any(np.isnan(self.mean_gain_db)) or np.any(self.mean_gain_db > 1000):
            raise ValueError("mean_gain_db: holds values that are no gain; valid: up to 1000, or -inf")
        if not np.all(np.isfinite(self.frequencies_hz)):
            raise ValueError("frequencies_hz: holds non-finite values; valid: finite")

    @property
    def duration_s(self) -> float:
        """Time from the first sample to the last."""
        return float((self.power_gain.shape[1] - 1) * self.sample_period_s)

    def save(self, path: Path) -> None:
        """Write the trace as .npz."""
        # By an open file: numpy would add .npz to a name that ends in .NPZ.
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                format=_FORMAT,
                power_gain=self.power_gain.astype(np.float32),
                sample_period_s=self.sample_period_s,
                frequencies_hz=self.frequencies_hz,
                mean_gain_db=self.mean_gain_db,
                provenance=json.dumps(self.provenance, sort_keys=True),
            )

    @classmethod
    def load(cls, path: Path) -> FadingTrace:
        """Read a trace; ValueError if the file is not one, or no regular file."""
        check_regular(path)
        fields = ("format", "power_gain", "sample_period_s", "frequencies_hz", "mean_gain_db", "provenance")
        try:
            with np.load(path, allow_pickle=False) as data:
                held = {name: data[name] for name in fields}
            found, period_s = str(held["format"]), float(held["sample_period_s"])
            provenance = json.loads(str(held["provenance"]))
        except FileNotFoundError:
            raise ValueError(f"{path}: no such fading trace") from None
        except _DAMAGE as error:
            raise ValueError(f"{path}: not a fading trace of format {_FORMAT}, or damaged ({error})") from error
        if found != _FORMAT:
            raise ValueError(f"{path}: got format {found}; valid: {_FORMAT}")
        try:
            return cls(held["power_gain"], period_s, held["frequencies_hz"], held["mean_gain_db"], provenance)
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path}: {error}") from error


def normalised(
    gains: npt.NDArray[np.float64], sample_period_s: float, frequencies_hz: Array, provenance: dict[str, Any]
) -> FadingTrace:
    """A trace from absolute power gains [num_devices, num_samples, num_groups], the mean split off in dB."""
    mean = gains.mean(axis=(1, 2))
    reached = mean > 0
    scaled = np.where(reached[:, None, None], gains / np.where(reached, mean, 1.0)[:, None, None], 0.0)
    with np.errstate(divide="ignore"):
        mean_db = 10 * np.log10(mean)
    return FadingTrace(scaled.astype(np.float32), sample_period_s, frequencies_hz, mean_db, provenance)


class RecordedFading:
    """A trace as a channel: the interface of `channels.fading.FadingChannel`, linear between samples.

    Args:
        trace: the recording.
        num_devices: devices of the run; device n reads row n, so the trace must hold as many.
        at_end: "mirror" runs time back and forth over the recording, which keeps the channel continuous; "error"
            raises ValueError past its end.
    """

    def __init__(self, trace: FadingTrace, num_devices: int, at_end: str = "mirror") -> None:
        require_choice("at_end", at_end, AT_END)
        recorded = trace.power_gain.shape[0]
        if not 1 <= num_devices <= recorded:
            raise ValueError(f"num_devices: got {num_devices}; valid: 1 to {recorded}, the devices of the trace")
        self.trace, self.num_devices, self._at_end = trace, num_devices, at_end

    @property
    def num_groups(self) -> int:
        """PRB groups per device."""
        return int(self.trace.power_gain.shape[2])

    def power_gains(self, time_s: float, devices: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.float32]:
        """|H|^2 at one time for all devices or those indexed. [num_devices, num_groups] float32."""
        position = self._position(time_s)
        before = min(int(position), self.trace.power_gain.shape[1] - 2)
        share = np.float32(position - before)
        rows: slice | npt.NDArray[np.int64] = slice(0, self.num_devices) if devices is None else devices
        early, late = self.trace.power_gain[rows, before], self.trace.power_gain[rows, before + 1]
        return early + share * (late - early)

    def _position(self, time_s: float) -> float:
        """Fractional sample number at a time."""
        end_s = self.trace.duration_s
        if time_s < 0 or (time_s > end_s and self._at_end == "error"):
            raise ValueError(f"time_s: got {time_s}; valid: 0 to {end_s}, the length of the recording")
        folded = time_s % (2 * end_s)
        return min(folded, 2 * end_s - folded) / self.trace.sample_period_s
