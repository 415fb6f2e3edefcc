"""Records CDL fading (TR 38.901 7.7.1) with Sionna's PHY as a trace file; Sionna is imported inside."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import numpy.typing as npt

from channels._validation import require_between, require_choice, require_positive
from channels.addressed import generator
from channels.recorded import FadingTrace

CDL_MODELS = ("cdl_a", "cdl_b", "cdl_c", "cdl_d", "cdl_e")


def record_cdl(
    model: str,
    delay_spread_s: float,
    carrier_ghz: float,
    speed_m_s: float,
    frequencies_hz: npt.ArrayLike,
    num_devices: int,
    duration_s: float,
    sample_period_s: float,
    seed: int,
) -> FadingTrace:
    """|H|^2 of CDL-A..E for single vertically polarised antennas, each device with rays and heading of its own.

    Args:
        frequencies_hz: PRB group centres relative to the carrier, [num_groups].
        sample_period_s: at most an eighth of the Doppler period 1 / fd, so that linear reading holds.
        seed: device n's rays are addressed by (seed, n): a longer or larger recording extends a shorter one.

    Notes: costs 30 to 60 us per device and sample on one core. The random state of torch is left as it was.
    """
    require_choice("model", model, CDL_MODELS)
    require_between("delay_spread_s", delay_spread_s, 0, 1e-5)
    require_between("speed_m_s", speed_m_s, 0, 1000)
    for name, value in (("carrier_ghz", carrier_ghz), ("num_devices", num_devices), ("duration_s", duration_s)):
        require_positive(name, value)
    require_positive("sample_period_s", sample_period_s)
    _require_dense_samples(sample_period_s, speed_m_s, carrier_ghz)
    frequencies = np.atleast_1d(np.asarray(frequencies_hz, dtype=np.float64))
    num_samples = int(np.ceil(duration_s / sample_period_s)) + 1

    import torch

    torch_state = torch.get_rng_state()
    try:
        gains = np.stack(
            [
                _device_gains(
                    model,
                    delay_spread_s,
                    carrier_ghz,
                    speed_m_s,
                    frequencies,
                    num_samples,
                    sample_period_s,
                    seed,
                    device,
                )
                for device in range(num_devices)
            ]
        )
    finally:
        torch.set_rng_state(torch_state)
    keys = {"model": model, "delay_spread_s": delay_spread_s, "carrier_ghz": carrier_ghz, "speed_m_s": speed_m_s}
    version = importlib.metadata.version("sionna-no-rt")
    provenance = {"tool": "sionna.phy.channel.tr38901.CDL", "version": version, **keys, "seed": seed}
    return FadingTrace(gains.astype(np.float32), sample_period_s, frequencies, np.zeros(num_devices), provenance)


def _require_dense_samples(sample_period_s: float, speed_m_s: float, carrier_ghz: float) -> None:
    from channels.fading import doppler_hz

    doppler = float(doppler_hz(speed_m_s, carrier_ghz))
    longest_s = 1 / (8 * doppler) if doppler > 0 else np.inf
    if sample_period_s > longest_s * (1 + 1e-9):
        raise ValueError(
            f"sample_period_s: got {sample_period_s:g}; valid: up to {longest_s:.3g}, an eighth of the Doppler period"
        )


def _device_gains(
    model: str,
    delay_spread_s: float,
    carrier_ghz: float,
    speed_m_s: float,
    frequencies_hz: npt.NDArray[np.float64],
    num_samples: int,
    sample_period_s: float,
    seed: int,
    device: int,
) -> npt.NDArray[np.float64]:
    """Power gains of one device, [num_samples, num_groups]."""
    import torch
    from sionna.phy import config
    from sionna.phy.channel import cir_to_ofdm_channel
    from sionna.phy.channel.tr38901 import CDL, PanelArray

    draw = generator(seed, "record cdl", device)
    heading = draw.uniform(0, 2 * np.pi)
    config.seed = int(draw.integers(2**31))
    array = PanelArray(
        num_rows_per_panel=1,
        num_cols_per_panel=1,
        polarization="single",
        polarization_type="V",
        antenna_pattern="omni",
        carrier_frequency=carrier_ghz * 1e9,
        device="cpu",
    )
    with torch.inference_mode():
        channel = CDL(
            model=model[-1].upper(),
            delay_spread=delay_spread_s,
            carrier_frequency=carrier_ghz * 1e9,
            ut_array=array,
            bs_array=array,
            direction="uplink",
            ut_velocity=torch.tensor([speed_m_s * np.cos(heading), speed_m_s * np.sin(heading), 0.0]),
            device="cpu",
        )
        paths, delays = channel(1, num_samples, 1 / sample_period_s)
        centres = torch.tensor(frequencies_hz, dtype=torch.float32)
        response = cir_to_ofdm_channel(centres, paths, delays, normalize=False)
    # [1, rx, rx_ant, tx, tx_ant, samples, groups]
    return np.asarray(response[0, 0, 0, 0, 0].abs().square().numpy(), dtype=np.float64)
