"""Energy: the modem's and the base station's power states, and joules per token of measured hardware."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from channels.energy import GnbPower, UeModemPower
from sim.compute.base import WorkSize
from sim.compute.roofline import RooflineSettings, price_model
from tests.compute.measured_points import rows
from tests.validation.prices import point_row
from tests.validation.registry import Row, missing, near, section

ENERGY = "energy"

_USERS = "users' reports, LFM2-1.2B on a Galaxy S25 Ultra"
_DEVICES: tuple[tuple[str, str, float, dict[str, Any]], ...] = (
    (
        "RTX 4050 laptop, 1.5B 4 bit",
        "arXiv 2603.23640",
        0.259,
        {"hardware": "rtx-4050-laptop", "model_size": "1.5B", "weights": "int4"},
    ),
    (
        "phone NPU, 1.2B 4 bit",
        _USERS,
        0.077,
        {"hardware": "snapdragon-8-elite-npu", "model_size": "1.17B", "weights": "int4"},
    ),
    (
        "phone CPU, 1.2B 4 bit",
        _USERS,
        0.284,
        {"hardware": "snapdragon-8-elite-cpu", "model_size": "1.17B", "weights": "int4"},
    ),
)


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


@section(ENERGY)
def joules_per_token() -> Iterable[Row]:
    """Energy per token of the roofline, idle power included, against measured systems."""
    for point in rows():
        if point.unit == "J/token":
            yield point_row(point, 0.2)
    for what, source, expected, settings in _DEVICES:
        model = price_model(RooflineSettings(**settings))
        price = model.price([WorkSize(1, 256, 1)])
        got = price.joules + model.idle_power_w * price.seconds
        note = "the peak power of the hardware was set for this figure or assumed"
        yield near(f"{what} [J/token]", source, expected, got, rel=0.25, note=note)
    yield missing(
        "Hailo-10H, 1.5B 4 bit: at most 0.29 J/token",
        "arXiv 2603.23640",
        "no such hardware in the table: neither its memory bandwidth nor its FLOP/s are public",
    )
    yield missing("4 x H100, 70B class: 9 to 72 J/token", "a blog", "batch, context and precision of each figure")
