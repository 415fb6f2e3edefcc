"""The cell beside 3GPP and closed forms: antennas, control channel, geometry, calibration, spectral efficiency."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from channels import theory
from channels.antenna import ColumnAntenna
from channels.calibration import shown, shown_reference
from channels.geometry import SiteLayout
from channels.harq import incremental_gain_db
from channels.line_of_sight import los_probability
from channels.nr import min_k2, num_prb
from channels.small_scale import small_scale_parameters
from sim.links.base import Direction
from sim.links.nr.mac.pdcch import num_cce
from sim.links.nr.rrc.handover import EventA3
from sim.links.nr.traffic.sources import num_embedded_objects
from tests.links.nr.crossings import edge_crossings_per_minute, handovers_per_minute
from tests.validation.registry import Row, near, same, section, within_factor

FORMS = "closed forms"
VECTORS = "3GPP vectors and calibration"
_IMT = "ITU-R M.2410, minimum average of rural eMBB: downlink 3.3, uplink 1.6 (dense urban: 7.8 and 5.4) bit/s/Hz"


@section(FORMS)
def several_antennas() -> Iterable[Row]:
    """Outage and ergodic rate of several antennas, i.i.d. Rayleigh."""
    from scipy.special import gammainc

    counts = (1, 2, 4)
    expected = [float(gammainc(count, (2**2 - 1) / 10)) for count in counts]
    got = [float(theory.mrc_outage(2.0, 10.0, count)) for count in counts]
    yield near("MRC outage of 1, 2, 4 antennas, 10 dB, R 2", "incomplete gamma function", expected, got, rel=1e-9)
    rng = np.random.default_rng(1)
    for count in (2, 4):
        shape = (100_000, count, count)
        channel = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)
        gram = np.eye(count) + 10 / count * channel @ channel.conj().swapaxes(-1, -2)
        mean = float(np.linalg.slogdet(gram)[1].mean() / np.log(2))
        rate = float(theory.ergodic_mimo_bps_hz(count, count, 10.0))
        yield near(
            f"open-loop {count}x{count} at 10 dB [bit/s/Hz]", "mean of 100,000 draws of log2 det", mean, rate, rel=0.005
        )


@section(VECTORS)
def columns_of_elements() -> Iterable[Row]:
    """Gain of a column of ten elements at half a wavelength, tilt 102 degrees."""
    antenna = ColumnAntenna(10, 102.0)
    zenith = (102.0, 95.0, 120.0, 90.0)
    got = [float(antenna.gain_towards_dbi(0.0, angle)) for angle in zenith]
    what = "column of 10 elements at 102, gain at zenith 102, 95, 120, 90 degrees [dBi]"
    yield near(
        what, "TR 38.901 Table 7.3-1 and the array factor by hand", [17.591, 11.951, 2.451, -10.260], got, abs=5e-4
    )


@section(VECTORS)
def control_and_bands() -> Iterable[Row]:
    """Control channel elements, preparation after a long CORESET, channel bandwidths."""
    cases = ((51, 1), (106, 2), (273, 1))
    yield same("CCEs of 51 x 1, 106 x 2, 273 x 1", "TS 38.211 7.3.2.2", [8, 34, 45], [num_cce(*case) for case in cases])
    yield same(
        "smallest K2 at 30 kHz, CORESET of 3 symbols",
        "TS 38.214 6.4, N2 = 12 symbols",
        2,
        min_k2(30, coreset_symbols=3),
    )
    widths = [[num_prb(width, scs) for width in (35, 45)] for scs in (15, 30, 60)]
    source = "TS 38.101-1 Table 5.3.2-1"
    yield same("PRBs of 35 and 45 MHz at 15, 30, 60 kHz", source, [[188, 242], [92, 119], [44, 58]], widths)


@section(VECTORS)
def redundancy_and_states() -> Iterable[Row]:
    """Incremental redundancy by base graph, median delay spreads, LoS of indoor devices, the torus of seven sites."""
    gain = [float(value) for value in np.asarray(incremental_gain_db(4, 378 / 1024, 1000, [2, 3]))]
    yield near(
        "IR gain of 2, 3 rounds, 16QAM 378/1024, base graph 2 [dB]",
        "TS 38.212 7.2.2 by hand",
        [4.16, 5.92],
        gain,
        abs=0.005,
    )
    states = (("umi", "los"), ("umi", "nlos"), ("uma", "los"), ("uma", "nlos"))
    medians = [1e9 * small_scale_parameters(scenario, state, 3.5).median_delay_spread_s for scenario, state in states]
    what = "median delay spread at 3.5 GHz, UMi and UMa, LoS and NLoS [ns]"
    yield near(what, "TR 38.901 Table 7.5-6", [50, 103, 93, 364], medians, abs=1.0)
    got = [float(value) for value in np.asarray(los_probability("umi", [52.0]))]
    yield near(
        "LoS of a device 8 m inside, 60 m from the site (UMi)",
        "TR 38.901 Table 7.4.2-1, outdoor distance",
        [0.5],
        got,
        abs=5e-4,
    )
    nearest = float(SiteLayout(7, 200.0, True).distances_2d_m([[1500.0, 300.0]]).min())
    yield near(
        "(1500, 300) m to the nearest of 7 sites 200 m apart [m]", "hexagonal lattice", 110.24, nearest, abs=0.005
    )


@section(FORMS)
def handovers_and_pages() -> Iterable[Row]:
    """Handovers that nothing holds back against the geometry of hexagons; embedded objects of pages."""
    expected = edge_crossings_per_minute(30.0, 200.0)
    yield near(
        "handovers per device and minute by path loss alone, 30 km/h, sites 200 m apart",
        "v * perimeter / (pi * area) of hexagons; three standard errors of a Poisson process",
        expected,
        handovers_per_minute(42, 60),
        abs=3 * np.sqrt(expected / 42),
    )
    rng = np.random.default_rng(1)
    counts = np.array([num_embedded_objects(rng) for _ in range(50_000)])
    source = "NGMN, HTTP model; mean of a Pareto number of shape 1.1, 2 to 55, less 2; four standard errors"
    error = float(4 * counts.std() / np.sqrt(len(counts)))
    yield near("embedded objects of a page, mean", source, 5.64, float(counts.mean()), abs=error)


@section(VECTORS)
def entry_condition() -> Iterable[Row]:
    """Event A3 at an offset of 3 and a hysteresis of 3 dB, a time to trigger of 0.48 s, a measurement every 0.1 s."""
    levels = {"7 dB once, then 0.5": [7.0] + 9 * [0.5], "7 dB, at 0.3 s 5, then 7": [7, 7, 7, 5] + 6 * [7.0]}
    levels["7 dB"] = 10 * [7.0]
    got = []
    for row in levels.values():
        event = EventA3(1, 2, 3.0, 3.0, 0.48, 1.0)
        event.restart(np.zeros((1, 2)))
        moves = [event.measure(np.array([[0.0, level]]), np.array([0]), 0.1 * step) for step, level in enumerate(row)]
        got.append(next((f"{0.1 * step:.1f} s" for step, found in enumerate(moves) if found), "none"))
    what = f"report for a neighbour at {'; '.join(levels)}"
    source = "TS 38.331 5.5.4.1 by hand: all measurements of the time to trigger"
    yield same(what, source, ["none", "0.9 s", "0.5 s"], got)


@section(VECTORS, fast=False)
def coupling_and_geometry() -> Iterable[Row]:
    """Coupling loss and geometry of the calibration scenarios, percentiles 5 to 95."""
    from sim.links.nr.calibration import calibration_drop
    from sim.scenario.loading import load_scenario

    for name in ("umi", "uma"):
        settings: Any = load_scenario(f"calibration_{name}").link.settings
        for carrier_ghz in (6.0, 30.0, 70.0):
            drop = calibration_drop(settings.model_copy(update={"carrier_ghz": carrier_ghz}), 570, 1, num_drops=8)
            for quantity, bound_db in (("coupling_loss_db", 2.0), ("sir_db", 1.0)):
                expected = shown_reference(quantity, name, carrier_ghz)
                assert expected is not None
                what = f"{quantity} {name.upper()} {carrier_ghz:g} GHz at 5, 25, 50, 75, 95 %"
                got = list(shown(getattr(drop, quantity)).values())
                yield near(what, "medians of R1-165974", list(expected.values()), got, abs=bound_db)


@section(VECTORS, fast=False)
def spectral_efficiency() -> Iterable[Row]:
    """Full buffers in 21 cells of the UMa calibration, explicit interference, 10 devices per cell, FDD 20 MHz."""
    from sim.links.nr.full_buffer import run_full_buffer
    from sim.scenario.loading import load_scenario

    settings: Any = load_scenario("calibration_uma").link.settings
    given = settings.model_dump(exclude_unset=True)
    shared = {"num_sites": 7, "tdd_pattern": "F", "pdcch_symbols": 2}
    note = (
        "other set-up: what a system must reach with any antennas, 32 to 64 in self-evaluations; here two to four, one "
        "device per PRB, interference and channels known to receivers, and nothing limits who is not served at all"
    )
    cases = (
        (Direction.DOWNLINK, 2, 2, 3.3),
        (Direction.DOWNLINK, 4, 4, 3.3),
        (Direction.UPLINK, 2, 1, 1.6),
        (Direction.UPLINK, 4, 1, 1.6),
    )
    for direction, num_rx, num_tx, published in cases:
        own = type(settings).model_validate({**given, **shared, "num_rx": num_rx, "num_tx": num_tx})
        done = run_full_buffer(own, 210, 400, (direction,))
        mac = done.link.network.uplink if direction == Direction.UPLINK else done.link.network.downlink
        seconds = 400 * done.link.network.carrier.slot_ns * 1e-9
        got = float(mac.kpis.received_bits.sum()) / seconds / 20e6 / 21
        what = f"cell spectral efficiency UMa {direction}, {num_tx}x{num_rx} [bit/s/Hz]"
        yield within_factor(what, _IMT, published, got, 2.0, note)
