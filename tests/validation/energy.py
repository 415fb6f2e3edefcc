"""Energy: the modem's and the base station's power states, and joules per token of measured hardware."""

from __future__ import annotations

from collections.abc import Iterable

from channels.energy import GnbPower, UeModemPower
from tests.validation.prices import decode_batch, roofline
from tests.validation.registry import Row, missing, near, section, within_factor

ENERGY = "energy"


@section(ENERGY)
def modem() -> Iterable[Row]:
    """UE power model of TR 38.840."""
    whole = UeModemPower()
    total = (
        2 * whole.state_energy_j("deep_sleep", 1.0)
        + whole.state_energy_j("pdcch", 1.0)
        + whole.sleep_transition_energy_j("deep_sleep")
    )
    source = "5G-LENA energy model tests, 1 mW per unit"
    yield near("deep sleep 1 s, PDCCH 1 s, deep sleep 1 s [J]", source, 0.10245, total, abs=1e-9)
    units = [UeModemPower(bandwidth_mhz=width).state_units("pdcch_pdsch") for width in (100, 40, 20)]
    yield near(
        "PDCCH and PDSCH at 100, 40, 20 MHz [units]",
        "TR 38.840, 0.4 + 0.6 (X - 20) / 80",
        [300, 165, 120],
        units,
        abs=1e-9,
    )
    powers = [float(value) for value in whole.uplink_units([0, 11.5, 23])]
    yield near("uplink at 0, 11.5, 23 dBm [units]", "TR 38.840, linear in dBm", [250, 475, 700], powers, abs=1e-9)
    yield near(
        "two receive antennas instead of four, PDCCH [units]",
        "TR 38.840, factor 0.7",
        70.0,
        UeModemPower(num_rx=2).state_units("pdcch"),
        abs=1e-9,
    )
    yield near(
        "a 0.5 ms uplink slot at 23 dBm [mJ]",
        "700 units of 1 mW by hand",
        0.35,
        1e3 * float(whole.uplink_energy_j(23.0, 0.5e-3)),
        abs=1e-9,
    )


@section(ENERGY)
def base_station() -> Iterable[Row]:
    """Base station power model of TR 38.864 Table 5.1-3."""
    table = {
        (1, 1): (1, 25, 55, 280, 110),
        (1, 2): (1, 25, 50, 200, 90),
        (1, 3): (1, 25, 38, 152, 80),
        (2, 1): (1, 2.1, 5.5, 32, 6.5),
        (2, 2): (1, 2.1, 5, 26, 5.8),
        (2, 3): (1, 2.1, 3, 17.6, 4.2),
    }
    for (category, reference), expected in table.items():
        station = GnbPower(category, reference)
        got = [station.sleep_units(state) for state in ("deep_sleep", "light_sleep", "micro_sleep")]
        got += [float(station.downlink_units(1.0)), float(station.uplink_units())]
        what = f"category {category} set {reference}: deep, light, micro sleep, downlink, uplink [units]"
        yield near(what, "TR 38.864 Table 5.1-3", list(expected), got, abs=1e-9)
    half = 55 + (280 - 55) * (0.4 + 0.6 * 0.5)
    quarter = 55 + (280 - 55) * (0.4 + 0.6 * 0.25 / 0.76)
    got = [float(GnbPower().downlink_units(share)) for share in (0.5, 0.25)]
    yield near(
        "downlink over half and a quarter of the band [units]", "TR 38.864 5.1 by hand", [half, quarter], got, abs=1e-9
    )


@section(ENERGY, fast=False)
def joules_per_token() -> Iterable[Row]:
    """Energy per token of the roofline against measured systems; no more than a factor of two is promised."""
    small = {"bytes_per_weight": 0.5}
    cases = (
        (
            "RTX 4050 laptop, 1.5B 4 bit",
            "arXiv 2603.23640",
            0.259,
            1,
            {"hardware": "rtx-4050-laptop", "model_size": "1.5B", **small},
            256,
        ),
        (
            "phone NPU, 1.2B 4 bit",
            "users' reports, LFM2-1.2B on a Galaxy S25 Ultra",
            0.077,
            1,
            {"hardware": "snapdragon-8-elite-npu", "model_size": "1.2B", **small},
            256,
        ),
        (
            "phone CPU, 1.2B 4 bit",
            "users' reports, LFM2-1.2B on a Galaxy S25 Ultra",
            0.284,
            1,
            {"hardware": "snapdragon-8-elite-cpu", "model_size": "1.2B", **small},
            256,
        ),
        (
            "H100, 8B bf16, batch 8",
            "ml-energy/leaderboard 0cd52da (idle power included)",
            0.455,
            8,
            {"hardware": "h100", "model_size": "8B"},
            400,
        ),
        (
            "H100, 8B bf16, batch 64",
            "ml-energy/leaderboard 0cd52da (idle power included)",
            0.119,
            64,
            {"hardware": "h100", "model_size": "8B"},
            400,
        ),
        (
            "H100, 8B bf16, batch 256",
            "ml-energy/leaderboard 0cd52da (idle power included)",
            0.077,
            256,
            {"hardware": "h100", "model_size": "8B"},
            400,
        ),
    )
    for what, source, expected, batch, settings, context in cases:
        got = roofline(**settings).price(decode_batch(batch, context)).joules / batch
        note = "a power above idle is assumed where no measurement is published"
        deviates = batch == 256
        if deviates:
            note = "the step's time is priced at half of the measured one: overhead does not grow with the batch"
        yield within_factor(f"{what} [J/token]", source, expected, got, 2.0, note=note, deviates=deviates)
    yield missing(
        "Hailo-10H, 1.5B 4 bit: at most 0.29 J/token",
        "arXiv 2603.23640",
        "no such hardware in the table: neither its memory bandwidth nor its FLOP/s are public",
    )
    yield missing("4 x H100, 70B class: 9 to 72 J/token", "a blog", "batch, context and precision of each figure")
