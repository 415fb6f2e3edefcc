"""3GPP vectors: block sizes, tables, time base, path loss, power control, antennas, against published vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from channels import nr
from channels.antenna import SectorAntenna
from channels.eesm import eesm_betas, effective_sinr
from channels.harq import chase_combine, incremental_combine
from channels.line_of_sight import los_probability
from channels.noise import noise_power_dbm
from channels.penetration import wall_loss_db
from channels.power import UplinkPowerControl, tpc_command_db
from channels.propagation import path_loss_db
from channels.tap_profiles import tdl_profile
from tests.validation.registry import Row, near, same, section

VECTORS = "3GPP vectors and calibration"
_SRSRAN = "srsRAN Project, tbs_calculator_test_data.h (made by MATLAB)"
_LENA = "5G-LENA"
_SPACINGS_KHZ = (15, 30, 60, 120)


@section(VECTORS)
def transport_blocks() -> Iterable[Row]:
    """TBS by TS 38.214 5.1.3.2 against vectors that MATLAB and other stacks made."""
    vectors = (
        # symbols, DMRS RE, overhead, Qm, R x 1024, layers, scaling, PRB, bits
        (12, 6, 0, 2, 102.4, 1, 1, 6, 160),
        (12, 6, 12, 2, 921.6, 1, 1, 6, 1416),
        (12, 36, 0, 2, 921.6, 1, 1, 11, 2152),
        (12, 6, 0, 2, 102.4, 4, 1, 6, 672),
        (12, 6, 0, 4, 102.4, 1, 1, 6, 336),
        (12, 6, 0, 6, 102.4, 1, 1, 6, 504),
        (12, 6, 0, 8, 102.4, 1, 1, 6, 672),
        (12, 36, 0, 8, 921.6, 4, 1, 11, 33816),
        (12, 36, 12, 8, 921.6, 4, 0.25, 11, 7552),
    )
    for symbols, dmrs, overhead, order, rate, layers, scaling, prb, bits in vectors:
        got = nr.transport_block_bits(prb, symbols, dmrs, overhead, order, rate / 1024, layers, tb_scaling=scaling)
        what = f"TBS of {prb} PRB, {symbols} symbols, Qm {order}, R {rate}/1024, {layers} layers, S {scaling:g} [bit]"
        yield same(what, _SRSRAN, bits, int(got))


@section(VECTORS)
def uplink_blocks() -> Iterable[Row]:
    """Uplink block sizes of the srsRAN scheduler and of whole carriers."""
    cases = ((27, 5, 437), (28, 20, 1825), (26, 106, 8961), (23, 3, 209), (19, 275, 13829), (13, 32, 1008))
    cases += ((11, 41, 992), (8, 179, 3457), (3, 84, 673), (0, 55, 217), (0, 5, 19), (0, 1, 3))
    got = [int(nr.transport_block_bits(prb, 14, 36, 0, *nr.modulation_and_rate(mcs), 1)) // 8 for mcs, prb, _ in cases]
    what = "uplink TBS, 12 pairs of MCS and PRBs, 36 DMRS RE per PRB [byte]"
    yield same(what, "srsRAN Project, scheduler unit tests", [size for *_, size in cases], got)
    largest = int(nr.transport_block_bits(273, 14, 12, 0, 8, 948 / 1024, 4))
    yield same(
        "largest block: 273 PRB, 4 layers, 256QAM 948/1024 [bit]", "srsRAN Project, LBRM constant", 1277992, largest
    )
    rate_gbps = int(nr.transport_block_bits(273, 14, 24, 0, 8, 948 / 1024, 4)) / 0.5e-3 / 1e9
    yield near(
        "the same with 24 DMRS RE, a block each 0.5 ms [Gbit/s]", "TS 38.214 by hand", 2.3597, rate_gbps, abs=5e-5
    )
    sizes = [
        int(nr.transport_block_bits(*args))
        for args in ((273, 14, 1, 0, 8, 948 / 1024, 1), (51, 14, 1, 0, 6, 567 / 1024, 1))
    ]
    yield same("sizes that truncating division gets wrong [bit]", "TS 38.214 5.1.3.2 by hand", [319784, 26632], sizes)


@section(VECTORS)
def resource_blocks() -> Iterable[Row]:
    """PRBs of a carrier, TS 38.101-1 and -2 Table 5.3.2-1."""
    widths = (5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100)
    table = {
        15: (25, 52, 79, 106, 133, 160, 216, 270),
        30: (11, 24, 38, 51, 65, 78, 106, 133, 162, 189, 217, 245, 273),
        60: (11, 18, 24, 31, 38, 51, 65, 79, 93, 107, 121, 135),
    }
    for scs_khz, expected in table.items():
        chosen = {15: widths[:8], 30: widths, 60: widths[1:]}[scs_khz]
        got = [nr.num_prb(width, scs_khz) for width in chosen]
        what = f"PRBs at {scs_khz} kHz, {chosen[0]} to {chosen[-1]} MHz"
        yield same(what, "TS 38.101-1 Table 5.3.2-1", list(expected), got)
    yield same(
        "PRBs at 120 kHz, 50, 100, 200, 400 MHz",
        "TS 38.101-2 Table 5.3.2-1",
        [32, 66, 132, 264],
        [nr.num_prb(width, 120) for width in (50, 100, 200, 400)],
    )


@section(VECTORS)
def peak_rates() -> Iterable[Row]:
    """Peak rate of TS 38.306 4.1.2 for carriers that are often quoted."""
    cases = (
        ("273 PRB, 30 kHz, 4 layers 256QAM, downlink", (100, 30, 8, 4, "dl"), 2337.0),
        ("273 PRB, 30 kHz, 1 layer 64QAM, uplink", (100, 30, 6, 1, "ul"), 468.76),
        ("51 PRB, 30 kHz, 1 layer 64QAM, uplink", (20, 30, 6, 1, "ul"), 87.57),
        ("106 PRB, 15 kHz, 4 layers 256QAM, downlink", (20, 15, 8, 4, "dl"), 453.70),
        ("264 PRB, 120 kHz, 2 layers 64QAM, downlink", (400, 120, 6, 2, "dl", "fr2"), 3232.26),
    )
    for what, args, mbps in cases:
        got = nr.peak_rate_bps(*args) / 1e6
        yield near(f"peak rate of {what} [Mbit/s]", "TS 38.306 4.1.2 by hand", mbps, got, abs=0.0051)


@section(VECTORS)
def modulation_and_coding() -> Iterable[Row]:
    """MCS tables, by all of their rates."""
    rates = {
        1: "120 157 193 251 308 379 449 526 602 679 340 378 434 490 553 616 658 438 466 517 567 616 666 719 772 822 "
        "873 910 948",
        2: "120 193 308 449 602 378 434 490 553 616 658 466 517 567 616 666 719 772 822 873 682.5 711 754 797 841 885 "
        "916.5 948",
        3: "30 40 50 64 78 99 120 157 193 251 308 379 449 526 602 340 378 434 490 553 616 438 466 517 567 616 666 719 "
        "772",
    }
    orders = {
        1: [2] * 10 + [4] * 7 + [6] * 12,
        2: [2] * 5 + [4] * 6 + [6] * 9 + [8] * 8,
        3: [2] * 15 + [4] * 6 + [6] * 8,
    }
    for table, text in rates.items():
        expected = [float(word) for word in text.split()]
        pairs = [nr.modulation_and_rate(index, table) for index in range(len(expected))]
        source = f"TS 38.214 Table 5.1.3.1-{table}"
        yield same(f"MCS table {table}: R x 1024 of its entries", source, expected, [1024 * rate for _, rate in pairs])
        yield same(f"MCS table {table}: modulation orders", source, orders[table], [int(order) for order, _ in pairs])


@section(VECTORS)
def buffer_status() -> Iterable[Row]:
    """Buffer status reports, TS 38.321."""
    levels = [
        0,
        10,
        14,
        20,
        28,
        38,
        53,
        74,
        102,
        142,
        198,
        276,
        384,
        535,
        745,
        1038,
        1446,
        2014,
        2806,
        3909,
        5446,
        7587,
    ]
    levels += [10570, 14726, 20516, 28581, 39818, 55474, 77284, 107669, 150000]
    got = [int(level) for level in nr.bsr_levels_bytes("short")]
    yield same("levels of the short report [byte]", "TS 38.321 Table 6.1.3.1-1", levels, got)
    indices = [int(index) for index in nr.bsr_index([12, 400, 5400, 500_000])]
    yield same("index of 12, 400, 5400, 500000 bytes", f"{_LENA}, nr-mac-short-bsr-ce-test", [2, 13, 20, 31], indices)
    reported = [int(nr.bsr_reported_bytes(67201, kind)) for kind in ("short", "long")]
    yield same(
        "67201 bytes, reported short and long [byte]", "TS 38.321 Tables 6.1.3.1-1 and -2", [77284, 70990], reported
    )


@section(VECTORS)
def headers() -> Iterable[Row]:
    """Bytes at the MAC of a user datagram: UDP, IPv4, SDAP, PDCP, RLC AM, MAC."""
    model = nr.HeaderModel()
    expected = [100 + 8 + 20 + 1 + 3 + 2 + 2, 1472 + 8 + 20 + 1 + 3 + 2 + 3, 67201]
    got = [model.layer2_bytes(size) for size in (100, 1472, 65536)]
    yield same(
        "100, 1472 and 65536 bytes of payload at the MAC [byte]",
        "header sizes of TS 37.324, 38.323, 38.322, 38.321",
        expected,
        got,
    )


@section(VECTORS)
def time_base() -> Iterable[Row]:
    """Processing times and offsets of TS 38.214."""
    source = "TS 38.214 5.3, 6.4 with (2048 + 144) kappa T_c per symbol"
    symbol_s = [(2048 + 144) * 64 / (480e3 * 4096) / 2**mu for mu in range(4)]
    n1, n2 = (8, 10, 17, 20), (10, 12, 23, 36)
    first = [nr.pdsch_processing_time_s(scs) * 1e3 for scs in _SPACINGS_KHZ]
    second = [nr.pusch_preparation_time_s(scs) * 1e3 for scs in _SPACINGS_KHZ]
    expected = [1e3 * symbols * length for symbols, length in zip(n1, symbol_s, strict=True)]
    yield near("T_proc,1 at 15, 30, 60, 120 kHz, capability 1 [ms]", source, expected, first, abs=1e-9)
    expected = [1e3 * symbols * length for symbols, length in zip(n2, symbol_s, strict=True)]
    yield near("T_proc,2 at 15, 30, 60, 120 kHz, capability 1 [ms]", source, expected, second, abs=1e-9)
    smallest = [nr.min_k2(scs) for scs in _SPACINGS_KHZ]
    yield same(
        "smallest K2 at 15, 30, 60, 120 kHz [slots]", "TS 38.214 Table 6.1.2.1.1-4, offset j", [1, 1, 2, 3], smallest
    )
    rows = [1 + extra for extra in (0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 3, 3)]
    yield same(
        "K2 of default PUSCH allocation A at 30 kHz",
        "srsRAN Project, pusch_default_time_allocation.cpp",
        rows,
        list(nr.default_k2_rows(30)),
    )
    periods = [1, 2, 4, 8, 10, 16, 20, 40, 80, 160]
    yield same(
        "legal periods of scheduling requests at 30 kHz [slots]",
        "TS 38.331 SchedulingRequestResourceConfig",
        periods,
        list(nr.sr_periods_slots(30)),
    )


@section(VECTORS)
def slot_maps() -> Iterable[Row]:
    """Which slot grants which uplink slot, and where acknowledgements go, against 5G-LENA's unit test."""
    from sim.links.nr import NrLinkSettings
    from sim.links.nr.phy.carrier import Carrier

    maps = {
        "DSUUDDSUUD": ({0: [2], 1: [2], 5: [2], 6: [2]}, {0: 6, 1: 5, 4: 4, 5: 6, 6: 5, 9: 4}),
        "DSUDDDSUDD": ({0: [2], 5: [2]}, {0: 6, 1: 5, 3: 4, 4: 7, 5: 6, 6: 5, 8: 4, 9: 7}),
        "DSUUUDDDDD": ({0: [2], 1: [2, 3]}, {0: 4, 1: 10, 5: 6, 6: 5, 7: 4, 8: 4, 9: 4}),
    }
    for pattern, (grants, acknowledgements) in maps.items():
        carrier = Carrier(NrLinkSettings(tdd_pattern=pattern, k2_slots=2, k1_slots=4, special_carries_pucch=True))
        decided = {slot - 20: [to - slot for to in carrier.decided_at(slot)] for slot in range(20, 30)}
        found = {slot: offsets for slot, offsets in decided.items() if offsets}
        acknowledged = {s: carrier.acknowledged_at(s + 20) - s - 20 for s in range(10) if pattern[s] in "DS"}
        source = f"{_LENA}, nr-lte-pattern-generation (N2 = 2, N1 = 4)"
        yield same(f"K2 by slot of {pattern}", source, str(grants), str(found))
        yield same(f"K1 by slot of {pattern}", source, str(acknowledgements), str(acknowledged))


@section(VECTORS)
def path_loss() -> Iterable[Row]:
    """Path loss of TR 38.901 at 3.5 GHz, vectors of the ns-3 and Sionna implementations."""
    source = "TR 38.901 Table 7.4.1-1; ns-3 three-gpp-propagation-loss-model tests"
    heights = {"uma": (25.0, 1.5), "umi": (10.0, 1.5), "rma": (35.0, 1.5)}
    table = {
        "uma": {
            50: (77.21, 92.51), 100: (83.14, 103.04), 200: (89.57, 114.46),
            288.7: (93.04, 120.63), 500: (98.27, 129.92), 1000: (109.41, 141.67),
        },
        "umi": {100: (85.31, 104.64), 500: (107.11, 129.26)},
        "rma": {500: (98.61, 118.82), 1000: (105.46, 130.42)},
    }  # fmt: skip
    for scenario, points in table.items():
        for is_los, state in ((True, "LoS"), (False, "NLoS")):
            expected = [pair[0 if is_los else 1] for pair in points.values()]
            got = [float(path_loss_db(scenario, d, 3.5, is_los, *heights[scenario])) for d in points]
            what = f"path loss {scenario.upper()} {state} at {', '.join(f'{d:g}' for d in points)} m [dB]"
            yield near(what, source, expected, got, abs=0.0051)


@section(VECTORS)
def indoor_path_loss() -> Iterable[Row]:
    """Indoor formulas of TR 38.901, by hand."""
    d, fc = 40.0, 3.5
    lg = math.log10
    los = 32.4 + 17.3 * lg(d) + 20 * lg(fc)
    nlos = max(los, 17.3 + 38.3 * lg(d) + 24.9 * lg(fc))
    got = [float(path_loss_db("inh", d, fc, state, 1.5, 1.5)) for state in (True, False)]
    yield near(
        "path loss InH at 40 m, LoS and NLoS [dB]", "TR 38.901 Table 7.4.1-1 by hand", [los, nlos], got, abs=1e-9
    )
    hall = 31.84 + 21.5 * lg(d) + 19 * lg(fc)
    low = max(hall, 33 + 25.5 * lg(d) + 20 * lg(fc))
    dense = max(hall, low, 18.6 + 35.7 * lg(d) + 20 * lg(fc))
    got = [
        float(path_loss_db(name, d, fc, state, 1.5, 1.5))
        for name, state in (("inf_sl", True), ("inf_sl", False), ("inf_dl", False))
    ]
    yield near(
        "path loss InF at 40 m: LoS, sparse-low, dense-low [dB]",
        "TR 38.901 Table 7.4.1-1 by hand",
        [hall, low, dense],
        got,
        abs=1e-9,
    )


@section(VECTORS)
def line_of_sight() -> Iterable[Row]:
    """LoS probability of TR 38.901 Table 7.4.2-1, by hand."""
    d = 100.0
    umi = 18 / d + math.exp(-d / 36) * (1 - 18 / d)
    uma = 18 / d + math.exp(-d / 63) * (1 - 18 / d)
    rma = math.exp(-(d - 10) / 1000)
    mixed = 0.32 * math.exp(-(d - 6.5) / 32.6)
    opened = 0.54 * math.exp(-(d - 49) / 211.7)
    got = [float(los_probability(scenario, d)) for scenario in ("umi", "uma", "rma")]
    got += [float(los_probability("inh", d, office=office)) for office in ("mixed", "open")]
    source = "TR 38.901 Table 7.4.2-1 by hand"
    yield near(
        "P(LoS) at 100 m: UMi, UMa, RMa, InH mixed, InH open", source, [umi, uma, rma, mixed, opened], got, abs=1e-12
    )
    high = ((22.5 - 13) / 10) ** 1.5
    tall = uma * (1 + high * 1.25 * (d / 100) ** 3 * math.exp(-d / 150))
    got_tall = float(los_probability("uma", d, 25.0, 22.5))
    yield near("P(LoS) at 100 m, UMa, device at 22.5 m", source, min(1.0, tall), got_tall, abs=1e-12)


@section(VECTORS)
def walls() -> Iterable[Row]:
    """Outdoor-to-indoor loss of TR 38.901 7.4.3."""
    source = "TR 38.901 Tables 7.4.3-1 and -2; Sionna 2.2.0"
    got = [float(wall_loss_db(kind, 3.5)) for kind in ("low", "high")]
    yield near("mean wall loss at 3.5 GHz, low and high [dB]", source, [12.70, 26.85], got, abs=0.0051)


@section(VECTORS)
def power_control() -> Iterable[Row]:
    """Uplink power control in an indoor hotspot, 5G-LENA's test case."""
    distances = (10, 100, 200, 300, 400, 600, 800, 1000)
    loss = path_loss_db("inh", distances, 2.0, True, 1.5, 1.5)
    control = UplinkPowerControl(p0_dbm=-90, scs_khz=15)
    expected = [-20.48, -3.18, 2.03, 5.08, 7.24, 10.28, 12.45, 14.12]
    got = [float(power) for power in control.transmit_power_dbm(24, loss)]
    source = f"{_LENA}, nr-uplink-power-control-test (exact values)"
    yield near("PUSCH power, 24 PRB, InH LoS, 10 to 1000 m [dBm]", source, expected, got, abs=0.0051)
    steps = [tpc_command_db(command, accumulated) for accumulated in (True, False) for command in range(4)]
    yield same(
        "TPC commands 0 to 3, accumulated and absolute [dB]",
        "TS 38.213 Table 7.1.1-1",
        [-1, 0, 1, 3, -4, -1, 1, 4],
        steps,
    )


@section(VECTORS)
def link_budget() -> Iterable[Row]:
    """A power-limited uplink: 3.5 GHz, UMa NLoS, 500 m, 23 dBm, 8 dBi, noise figure 5 dB."""
    prbs = (273, 51, 10, 1)
    boltzmann = [10 * math.log10(1.380649e-23 * 290 * 12 * 30e3 * prb * 1e3) for prb in prbs]
    noise = [float(noise_power_dbm(360e3 * prb)) for prb in prbs]
    yield near("thermal noise over 273, 51, 10, 1 PRB at 30 kHz [dBm]", "k T B at 290 K", boltzmann, noise, abs=0.03)
    loss = float(path_loss_db("uma", 500, 3.5, False, 25.0, 1.5))
    got = [23 + 8 - loss - float(noise_power_dbm(360e3 * prb, 5.0)) for prb in prbs]
    # The expected values take kTB at 290 K, -173.98 dBm/Hz, the code the -174 dBm/Hz of link budgets.
    yield near(
        "uplink SNR over 273, 51, 10, 1 PRB [dB]", "link budget by hand", [-9.84, -2.55, 4.52, 14.52], got, abs=0.03
    )
    shannon = [360e3 * prb * math.log2(1 + 10 ** (snr / 10)) / 1e6 for prb, snr in zip(prbs, got, strict=True)]
    yield near("Shannon rate of these [Mbit/s]", "link budget by hand", [14.0, 11.7, 7.0, 1.8], shannon, abs=0.1)


@section(VECTORS)
def antennas() -> Iterable[Row]:
    """Element pattern of TR 38.901 Table 7.3-1, by hand."""
    antenna = SectorAntenna()
    directions = ((0, 90), (32.5, 90), (0, 122.5), (65, 90), (180, 90), (32.5, 122.5))
    got = [float(antenna.gain_towards_dbi(azimuth, zenith)) for azimuth, zenith in directions]
    expected = [8.0 - min(30.0, 12 * (a / 65) ** 2 + 12 * ((z - 90) / 65) ** 2) for a, z in directions]
    yield near("element gain in six directions [dBi]", "TR 38.901 Table 7.3-1 by hand", expected, got, abs=1e-9)


@section(VECTORS)
def combining() -> Iterable[Row]:
    """HARQ combining through EESM, 5G-LENA's test case."""
    beta = float(eesm_betas(1)[5])
    yield near("EESM beta of MCS 5, table 1", f"{_LENA}, nr-eesm-t1.cc", 1.7, beta, abs=1e-9)
    first = 10 ** (np.array([1.0, 3.5]) / 10)
    second = 10 ** (np.array([1.0, 1.5, 2.0, 2.5, 3.0, 3.5]) / 10)
    alone = float(effective_sinr(first, beta))
    source = f"{_LENA}, nr-test-l2sm-eesm"
    yield near("effective SINR of two PRBs at 1 and 3.5 dB", source, 1.67919, alone, abs=5e-6)
    union = float(incremental_combine(alone, 2, float(effective_sinr(second, beta)), 6, beta))
    yield near("with a second transmission on six PRBs, incremental", source, 1.67907, union, abs=5e-6)
    # Chase combining adds the first two resource blocks' SINRs to the second transmission's own ones.
    chased = float(effective_sinr(chase_combine(first, first), beta))
    by_hand = -1.7 * math.log(np.mean(np.exp(-2 * first / 1.7)))
    yield near("two equal transmissions, chase", "EESM by hand", by_hand, chased, abs=1e-12)


@section(VECTORS)
def delay_profiles() -> Iterable[Row]:
    """TDL profiles of TR 38.901 7.7.2: their normalised delay spread is 1."""
    for name in ("tdl_a", "tdl_b", "tdl_c", "tdl_d", "tdl_e"):
        profile = tdl_profile(name, 100e-9)
        what = f"RMS delay spread of {name.upper().replace('_', '-')} scaled to 100 ns [ns]"
        yield near(
            what,
            "TR 38.901 Tables 7.7.2-1 to -5",
            100.0,
            1e9 * profile.rms_delay_spread_s,
            rel=0.01,
            note="the tables print rounded delays and powers",
        )
    # Powers [dB] of the scattered taps, the first at delay 0 beside the line of sight.
    scattered = {
        "tdl_d": (-0.2, "-13.5 -18.8 -21 -22.8 -17.9 -20.1 -21.9 -22.9 -27.8 -23.6 -24.8 -30.0 -27.7"),
        "tdl_e": (-0.03, "-22.03 -15.8 -18.1 -19.8 -22.9 -22.4 -18.6 -20.8 -22.6 -22.3 -25.6 -20.2 -29.8 -29.2"),
    }
    for name, (line_of_sight_db, text) in scattered.items():
        profile = tdl_profile(name, 100e-9)
        powers_db = [float(word) for word in text.split()]
        label = name.upper().replace("_", "-")
        source = "TR 38.901 Tables 7.7.2-4 and -5"
        whole = line_of_sight_db - 10 * math.log10(sum(10 ** (power / 10) for power in powers_db))
        yield near(
            f"line of sight over all scattered power of {label} [dB]", source, whole, profile.k_factor_db, abs=0.05
        )
        got = 10 * math.log10(profile.los_power / float(profile.powers[0]))
        first = line_of_sight_db - powers_db[0]
        yield near(f"K factor of the first tap of {label} [dB]", source, first, got, abs=0.05)
