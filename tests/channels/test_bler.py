"""BLER tables: the waterfalls' provenance and accuracy, the look-up, Sionna's tables and where they err."""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from channels.bler import WATERFALL_FILE, BlerTable, WaterfallBlerTable, read_waterfalls
from channels.nr import mcs_table, segment, transport_block_bits, transport_block_error
from channels.tables.ldpc_chain import LdpcAwgnChain
from channels.tables.make_bler_tables import (
    CODE_BLOCK_BITS,
    Cell,
    Point,
    Waterfall,
    cells,
    fit_waterfall,
    modulation_and_coding_pairs,
    simulate_cell,
)

ROWS = read_waterfalls()


@cache
def refit(row_index: int) -> Waterfall:
    """Waterfall fitted anew to the points of one row of the table."""
    return fit_waterfall(points_of(ROWS[row_index]))


def points_of(row: dict[str, str]) -> list[Point]:
    """Measured points of one row of the table."""
    triples = (word.split(":") for word in row["snr_db:blocks:errors"].split())
    return [Point(float(snr_db), int(blocks), int(errors)) for snr_db, blocks, errors in triples]


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread() -> Iterator[None]:
    """Small tensors on two threads wait for each other: many times slower where other work shares the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def own() -> WaterfallBlerTable:
    table = BlerTable.load("specran")
    assert isinstance(table, WaterfallBlerTable)
    return table


# ---- the table as a data file ----


def test_every_mcs_of_the_three_tables_is_simulated_at_every_size(own):
    """43 distinct (modulation, rate) pairs; rates up to 1/4 have no segment above 3840 bits (TS 38.212 5.2.2)."""
    held = {(int(r["modulation_order"]), float(r["code_rate_x1024"]), int(r["code_block_bits"])) for r in ROWS}
    assert len(modulation_and_coding_pairs()) == 43
    assert held == {(c.modulation_order, c.code_rate_x1024, c.code_block_bits) for c in cells()}
    assert len(own.code_block_bits) >= 6
    assert own.code_block_bits[-1] == 8448
    for index in (1, 2, 3):
        assert own.available_mcs(index).all()


def test_the_file_says_how_it_was_made():
    head = [line for line in WATERFALL_FILE.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    text = "\n".join(head)
    for word in ("sionna-no-rt 2.2.0", "torch", "38.214", "20 iterations", "Fisher", "make_bler_tables"):
        assert word in text
    for row in ROWS:
        points = points_of(row)
        assert row["seed"]
        assert int(row["num_blocks"]) == sum(point.num_blocks for point in points)
        assert int(row["num_errors"]) == sum(point.num_errors for point in points)


def test_ten_percent_points_are_known_within_half_of_the_accuracy_asked_for():
    """Accuracy 0.15 dB: the 95 % interval stays inside it, and the stored fit is that of the stored points."""
    for row_index, row in enumerate(ROWS):
        fitted = refit(row_index)
        assert fitted.snr10_db == pytest.approx(float(row["snr10_db"]), abs=2e-3)
        assert fitted.snr10_se_db == pytest.approx(float(row["snr10_se_db"]), abs=2e-3)
        assert float(row["snr10_se_db"]) < 0.15 / 2
        low, high = float(row["snr10_ci95_low_db"]), float(row["snr10_ci95_high_db"])
        assert low < float(row["snr10_db"]) < high
        assert high - low < 2 * 0.15


def test_two_parameters_describe_the_waterfalls():
    """The deviances add up to chi-squared in total: a misfit that matters would show as a large multiple of the dof."""
    deviance = sum(float(row["deviance"]) for row in ROWS)
    freedom = sum(int(row["degrees_of_freedom"]) for row in ROWS)
    assert deviance < 2.0 * freedom
    # Near the 10 % point (measured BLER 3..30 %) no point lies farther from its curve than 0.15 dB plus its own noise.
    for row_index, row in enumerate(ROWS):
        fitted = refit(row_index)
        for point in points_of(row):
            bler = point.num_errors / point.num_blocks
            if 0.03 <= bler <= 0.3 and point.num_blocks >= 80:
                shifted = [fitted.snr50_db + shift for shift in (-0.15, 0.15)]
                low, high = (_probit_bler(point.snr_db, center, fitted.sigma_db) for center in shifted)
                assert binom.cdf(point.num_errors, point.num_blocks, low) > 1e-4
                assert binom.sf(point.num_errors - 1, point.num_blocks, high) > 1e-4


def _probit_bler(snr_db: float, snr50_db: float, sigma_db: float) -> float:
    return 0.5 * math.erfc((snr_db - snr50_db) / (math.sqrt(2.0) * sigma_db))


# ---- physics ----


def test_ten_percent_points_agree_with_independent_simulations(own):
    """Sionna's own chain (CodedAWGNChannelNR), 100..200 blocks a point, MCS table 1; 0.3 dB covers its noise."""
    for mcs, size, snr10_db in (
        (5, 2000, -0.54),
        (10, 2000, 3.50),
        (14, 2000, 7.02),
        (14, 500, 7.33),
        (20, 2000, 11.71),
        (26, 2000, 17.51),
    ):
        assert float(own.snr_for_bler(1, mcs, size)) == pytest.approx(snr10_db, abs=0.3)


def test_long_blocks_work_above_shannon_but_not_far(own):
    """10 % point of the longest blocks: between Shannon's limit and 3 dB above it (QAM shaping loss included)."""
    for index in (1, 2, 3):
        efficiency = mcs_table(index).spectral_efficiency
        gap_db = own.snr_for_bler(index, np.arange(len(efficiency)), 8448) - 10 * np.log10(2.0**efficiency - 1.0)
        assert np.all(gap_db > 0.2)
        assert np.all(gap_db < 3.0)


def test_repetition_costs_its_energy(own):
    """Below the mother code's rate bits repeat: the 10 % point falls by 10 log10 of the rate, to 0.15 dB."""
    mcs = np.arange(0, 9)  # rates 30..193 / 1024
    rate = mcs_table(3).code_rate[mcs]
    for size in (640, 3824):
        energy_per_bit_db = own.snr_for_bler(3, mcs[:8], size) - 10 * np.log10(rate[:8])
        assert np.ptp(energy_per_bit_db) < 0.15


def test_higher_rates_need_more_snr_and_longer_blocks_fall_faster(own):
    for index in (1, 2, 3):
        table = mcs_table(index)
        mcs = np.arange(len(table))
        for size in CODE_BLOCK_BITS:
            # Tolerance: twice the largest standard error of a difference of two 10 % points.
            same_modulation = np.diff(table.modulation_order) == 0
            assert np.all(np.diff(own.snr_for_bler(index, mcs, size))[same_modulation] > -0.1)
        widths = [own.waterfall(index, mcs, size)[1] for size in (40, 264, 1504, 3824)]
        assert np.all(np.diff(widths, axis=0) < 0)


def test_resimulated_small_cells_agree_with_the_table(own):
    """QPSK 449/1024 with fresh draws: the 40-bit cell within 3.5 joint standard errors of its 10 % point; then 64 bits.

    64 lies between two simulated sizes: 0.1 dB is allowed for the interpolation and the fits' standard errors.
    """
    row = next(r for r in ROWS if (r["code_rate_x1024"], r["code_block_bits"]) == ("449", "40"))
    fitted, _ = simulate_cell(Cell(2, 449.0, 40), seed=77, scale=0.3, target_se_db=0.1)
    assert fitted.snr10_se_db < 0.1
    joint_se_db = math.hypot(fitted.snr10_se_db, float(row["snr10_se_db"]))
    assert fitted.snr10_db == pytest.approx(float(own.snr_for_bler(1, 6, 40)), abs=3.5 * joint_se_db)

    snr10_db, blocks = float(own.snr_for_bler(1, 6, 64)), 2000
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([78])))
    errors = LdpcAwgnChain(64, 449 / 1024, 2).block_errors(snr10_db, blocks, rng)
    least, most = (float(own.bler(1, 6, 64, snr10_db + shift)) for shift in (0.1, -0.1))
    assert binom.sf(errors - 1, blocks, most) > 1e-4
    assert binom.cdf(errors, blocks, least) > 1e-4


# ---- the chain ----


@pytest.mark.parametrize(
    ("size", "rate", "order", "snr_db"), [(104, 0.5, 2, 2.0), (640, 0.85, 6, 17.4), (300, 0.4, 4, 4.5)]
)
def test_decoder_agrees_with_sionnas(size, rate, order, snr_db):
    """Same blocks through ``LDPC5GDecoder`` (20 iterations, boxplus-phi): the verdicts differ on at most 2 of 120.

    They may differ where the float32 sums run in another order, and where a stop at a zero syndrome keeps a wrong word.
    """
    import torch
    from sionna.phy.fec.ldpc import LDPC5GDecoder

    chain = LdpcAwgnChain(size, rate, order)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([5, size])))
    with torch.inference_mode():
        bits, llr = chain.received(snr_db, 120, rng)
        decided = chain.decode(llr)
        reference = LDPC5GDecoder(chain._encoder, num_iter=20, device="cpu")(llr)
    wrong, wrong_reference = ((word != bits).any(dim=1) for word in (decided, reference))
    assert 5 <= int(wrong_reference.sum()) <= 115
    assert int((wrong != wrong_reference).sum()) <= 2


def test_repeated_bits_are_the_circular_buffers():
    """Rate 0.1: the head is Sionna's redundancy version 0, what is sent repeats with the buffer's period."""
    import torch

    chain = LdpcAwgnChain(104, 0.05, 2)
    rng = np.random.default_rng(3)
    bits = torch.from_numpy(rng.integers(0, 2, (4, 104)).astype(np.float32))
    coded = chain._coded_bits(bits)
    head = chain._encoder(bits)
    period = chain._encoder.n_cb_comp
    assert coded.shape == (4, 2080)
    assert torch.equal(coded[:, : head.shape[1]], head)
    assert torch.equal(coded[:, period:], coded[:, : 2080 - period])
    assert torch.equal(chain.decode(2.0 * coded - 1.0), bits)


# ---- look-up ----


def test_bler_falls_with_snr_and_stays_a_probability(own):
    snr_db = np.linspace(-30, 50, 801)
    for name in ("specran", "sionna"):
        table = BlerTable.load(name)
        for mcs in np.flatnonzero(table.available_mcs(1)):
            for size in (24, 300, 5000):
                bler = table.bler(1, mcs, size, snr_db)
                assert np.all((bler >= 0) & (bler <= 1))
                # Sionna's curves are raw counts of 3000 blocks, so two noisy points may rise by a few standard errors.
                assert np.all(np.diff(bler) <= (0.0 if name == "specran" else 0.02))
                # Sionna's grid is held below -5 dB, where a 24-bit block at MCS 3 still arrives sometimes.
                assert bler[0] > (1.0 - 1e-12 if name == "specran" else 0.9)


def test_snr_for_bler_inverts_bler(own):
    rng = np.random.default_rng(11)
    mcs, size = rng.integers(0, 28, 200), rng.integers(40, 8449, 200)
    target = rng.uniform(0.005, 0.9, 200)
    assert own.bler(2, mcs, size, own.snr_for_bler(2, mcs, size, target)) == pytest.approx(target, rel=1e-9)


def test_sizes_are_interpolated_between_and_held_beyond(own):
    at_knots, _ = own.waterfall(1, 7, own.code_block_bits)
    stored = {int(r["code_block_bits"]): float(r["snr50_db"]) for r in ROWS if r["code_rate_x1024"] == "526"}
    held = [size in stored for size in own.code_block_bits]
    assert at_knots[held] == pytest.approx([stored[size] for size in own.code_block_bits[held]], abs=1e-12)
    middle = math.sqrt(640 * 1504)
    assert float(own.waterfall(1, 7, middle)[0]) == pytest.approx((stored[640] + stored[1504]) / 2, abs=1e-9)
    assert own.bler(1, 7, [1, 40], -1.0)[0] == own.bler(1, 7, [1, 40], -1.0)[1]
    assert own.bler(1, 7, 8448, 0.2) == own.bler(1, 7, 99_999, 0.2)
    assert own.bler(1, 0, 3824, -6.4) == own.bler(1, 0, 8448, -6.4)


def test_transport_blocks_fail_when_any_code_block_fails(own):
    bler = own.bler(1, 20, 8000, np.array([11.0, 11.4, 11.6]))
    got = own.transport_block_bler(1, 20, 8000, np.array([1, 3, 12]), np.array([11.0, 11.4, 11.6]))
    assert got == pytest.approx(1 - (1 - bler) ** np.array([1, 3, 12]), abs=1e-12)


def test_bad_arguments_are_refused_with_the_valid_choices(own):
    with pytest.raises(ValueError, match="specran, sionna"):
        BlerTable.load("quadriga")
    with pytest.raises(ValueError, match="valid: 1, 2, 3"):
        own.bler(4, 0, 100, 0.0)
    with pytest.raises(ValueError, match="0 to 27"):
        own.bler(2, [3, 28], 100, 0.0)
    with pytest.raises(ValueError, match="code_block_bits"):
        own.bler(2, 3, 0, 0.0)
    with pytest.raises(ValueError, match="target_bler"):
        own.snr_for_bler(2, 3, 100, 1.0)


# ---- Sionna's tables ----


@pytest.fixture(scope="module")
def phy_abstraction():
    from sionna.sys import PHYAbstraction

    return PHYAbstraction(device="cpu")


def test_sionna_tables_are_read_as_sionna_reads_them(phy_abstraction):
    """Random (table, MCS, size, SNR), category 1: BLER to 1e-6; where Sionna has no row, inf there and NaN here."""
    import torch

    rng = np.random.default_rng(42)
    table = BlerTable.load("sionna")
    for index in (1, 2, 3):
        count = 20_000
        mcs = rng.integers(0, len(mcs_table(index)), count)
        size = rng.integers(24, 8449, count)
        # Away from the ties between two grid points, which float32 and float64 may round apart.
        size += (size - 24) % 100 == 50
        snr_db = -8.0 + 0.1 * rng.integers(0, 400, count) + rng.uniform(-0.045, 0.045, count)
        reference = phy_abstraction.get_bler(
            torch.as_tensor(mcs),
            index,
            1,
            torch.as_tensor(size),
            torch.as_tensor(10.0 ** (snr_db / 10.0), dtype=torch.float32),
        ).numpy()
        got = table.bler(index, mcs, size, snr_db)
        assert np.array_equal(np.isnan(got), np.isinf(reference))
        held = ~np.isnan(got)
        assert held.sum() > count / 2
        assert np.max(np.abs(got[held] - reference[held])) < 1e-6
    assert not table.available_mcs(1)[:3].any()
    assert table.available_mcs(1)[3:].all()
    assert np.isnan(table.snr_for_bler(1, 2, 1000))


def test_transport_blocks_fail_as_in_sionna(phy_abstraction):
    """PHYAbstraction on 6000 random (table, MCS, resource elements, SINR): TBS exactly, TBLER to 1e-5.

    One layer, PDSCH MCS tables; its sizes are those of TS 38.214 5.1.3.2 from a number of resource elements.
    """
    import torch

    rng = np.random.default_rng(7)
    table = BlerTable.load("sionna")
    for index in (1, 2, 3):
        count = 2000
        available = np.flatnonzero(table.available_mcs(index))
        mcs = available[rng.integers(0, len(available), count)]
        num_re = 132 * rng.integers(1, 274, count)
        snr_db = np.floor(rng.uniform(-5, 25, count) * 10) / 10 + 0.02
        bits, _, _, tbler, _ = phy_abstraction(
            torch.as_tensor(mcs, dtype=torch.int32),
            sinr_eff=torch.as_tensor(10.0 ** (snr_db / 10.0), dtype=torch.float32),
            num_allocated_re=torch.as_tensor(num_re, dtype=torch.int32),
            mcs_table_index=index,
            mcs_category=1,
        )
        mcs_rows = mcs_table(index)
        order, rate = mcs_rows.modulation_order[mcs], mcs_rows.code_rate[mcs]
        sizes = np.asarray(transport_block_bits(num_re // 132, 12, 12, 0, order, rate))
        cut = segment(sizes, rate)
        # Sizes half-way between two of Sionna's grid points may round apart in single precision.
        sure = (cut.code_block_bits - 24) % 100 != 50
        got = transport_block_error(table.bler(index, mcs, cut.code_block_bits, snr_db), cut.num_code_blocks)
        assert sure.mean() > 0.9
        assert np.max(np.abs(got - tbler.numpy())[sure]) < 1e-5
        decoded = bits.numpy() > 0
        assert decoded.sum() > 300
        np.testing.assert_array_equal(bits.numpy()[decoded], sizes[decoded])


def test_sionna_ten_percent_point_is_the_first_grid_point_that_holds():
    table = BlerTable.load("sionna")
    for mcs in (5, 14, 26):
        snr10_db = float(table.snr_for_bler(1, mcs, 1000))
        assert float(table.bler(1, mcs, 1000, snr10_db)) <= 0.1 < float(table.bler(1, mcs, 1000, snr10_db - 0.1))


def test_sionnas_default_uplink_beats_shannon_and_ours_does_not(phy_abstraction, own):
    """Why category 0 is not used: its table 2 was made with the transform-precoding MCS, decoded here without it.

    At 6 dB the default call accepts more bit per resource element than log2(1 + SNR); category 1 and our table do not.
    """
    import torch

    snr_db, num_re = 6.0, 7200
    shannon = math.log2(1.0 + 10.0 ** (snr_db / 10.0))

    def best_efficiency(category: int) -> float:
        mcs = torch.arange(28)
        *_, tbler, _ = phy_abstraction(
            mcs,
            sinr_eff=torch.full((28,), 10.0 ** (snr_db / 10.0)),
            num_allocated_re=torch.full((28,), num_re),
            mcs_table_index=2,
            mcs_category=category,
        )
        return float(mcs_table(2).spectral_efficiency[(tbler <= 0.1).numpy()].max())

    assert best_efficiency(0) > 1.5 * shannon
    assert best_efficiency(1) < shannon
    accepted = own.bler(2, np.arange(28), 8448, snr_db) <= 0.1
    assert mcs_table(2).spectral_efficiency[accepted].max() < shannon
