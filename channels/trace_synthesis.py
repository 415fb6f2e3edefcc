"""Synthesises the bandwidth traces that ship with the scenarios: ``python -m channels.trace_synthesis FOLDER``.

They are made up from a seed, not measured: a slow uplink in the packet format, and a drive past sites as a CSV.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from channels.bandwidth_traces import OPPORTUNITY_BITS
from channels.block_fading import BlockFading

SEED = 2025


def pedestrian_uplink_ms(
    seed: int, duration_s: int = 30, bandwidth_mhz: float = 1.8, mean_snr_db: float = 8.0, doppler_hz: float = 9.72
) -> npt.NDArray[np.int64]:
    """Packet opportunities of an LTE-like uplink of 10 resource blocks under pedestrian Rayleigh fading.

    Each millisecond adds 0.75 * bandwidth * log2(1 + SNR |h|^2) bits; an opportunity stands where another 1500 bytes
    are full. The last one is at the end of the trace, so that its period is its duration.

    Args:
        seed: Seed of the fading.
        duration_s: Length [s].
        bandwidth_mhz: Bandwidth [MHz].
        mean_snr_db: Mean SNR [dB].
        doppler_hz: Maximum Doppler shift [Hz]; 9.72 Hz is 3 km/h at 3.5 GHz.

    Returns:
        Times [ms], not decreasing: [num_opportunities].
    """
    num_ms = duration_s * 1000
    fading = BlockFading(seed, "pedestrian_uplink", doppler_hz=doppler_hz, block_s=1e-3)
    snr = 10 ** (mean_snr_db / 10) * np.abs(fading.at(np.arange(num_ms))) ** 2
    filled = np.floor(np.cumsum(0.75 * bandwidth_mhz * 1e3 * np.log2(1 + snr)) / OPPORTUNITY_BITS)  # [num_ms]
    times: npt.NDArray[np.int64] = np.repeat(np.arange(1, num_ms + 1), np.diff(filled, prepend=0.0).astype(np.int64))
    return times if num_ms in times[-1:] else np.append(times, num_ms)


def driving_mbps(
    seed: int, duration_s: int = 120, step_s: float = 0.5, speed_m_s: float = 14.0, site_distance_m: float = 500.0
) -> npt.NDArray[np.float64]:
    """Mean uplink rate of a car that passes a row of sites, with shadowing and a gap of a second at each handover.

    The path loss exponent is 3.5 with 18 dB of SNR below a site 30 m beside the road; shadowing has 6 dB of deviation
    and is the real part of a slow fading process; 5 MHz at 0.75 of the Shannon rate.

    Args:
        seed: Seed of the shadowing.
        duration_s: Length [s].
        step_s: Time between rows [s].
        speed_m_s: Speed [m/s].
        site_distance_m: Distance between sites [m].

    Returns:
        Rates [Mbit/s] of three decimals: [num_steps].
    """
    num_steps = round(duration_s / step_s)
    position = speed_m_s * step_s * np.arange(num_steps)
    along_m = (position + site_distance_m / 2) % site_distance_m - site_distance_m / 2  # from the nearest site
    slow = BlockFading(seed, "driving", doppler_hz=speed_m_s / 100, block_s=step_s).at(np.arange(num_steps))
    loss_db = 35 * np.log10(np.hypot(along_m, 30.0) / 30.0)
    snr_db = 18.0 - loss_db + 6.0 * np.sqrt(2) * slow.real
    mbps = 0.75 * 5.0 * np.log2(1 + 10 ** (snr_db / 10))
    in_handover = np.abs(along_m + site_distance_m / 2) < speed_m_s * 1.0
    return np.asarray(np.where(in_handover, 0.0, mbps), dtype=np.float64).round(3)


def write_traces(folder: Path) -> None:
    """Write both traces into a folder."""
    times = pedestrian_uplink_ms(SEED)
    (folder / "pedestrian_uplink.mahimahi").write_text("".join(f"{time}\n" for time in times), encoding="ascii")
    rows = (f"{0.5 * index:g},{rate:.3f}\n" for index, rate in enumerate(driving_mbps(SEED)))
    header = f"# Synthetic, not measured: python -m channels.trace_synthesis, seed {SEED}\ntime_s,mbps\n"
    (folder / "driving_uplink.csv").write_text(header + "".join(rows), encoding="ascii")


if __name__ == "__main__":
    write_traces(Path(sys.argv[1]))
