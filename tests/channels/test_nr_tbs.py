"""Transport block sizes against published vectors, Sionna's implementation and the clause's own structure."""

import numpy as np
import pytest

from channels import nr

QPSK, QAM16, QAM64, QAM256 = 2, 4, 6, 8


@pytest.mark.parametrize(
    ("symbols", "dmrs", "overhead", "order", "rate_x1024", "layers", "scaling", "prb", "expected"),
    [
        (12, 6, 0, QPSK, 102.4, 1, 1, 6, 160),
        (12, 6, 12, QPSK, 921.6, 1, 1, 6, 1416),
        (12, 36, 0, QPSK, 921.6, 1, 1, 11, 2152),
        (12, 6, 0, QPSK, 102.4, 4, 1, 6, 672),
        (12, 6, 0, QAM16, 102.4, 1, 1, 6, 336),
        (12, 6, 0, QAM64, 102.4, 1, 1, 6, 504),
        (12, 6, 0, QAM256, 102.4, 1, 1, 6, 672),
        (12, 36, 0, QAM256, 921.6, 4, 1, 11, 33816),
        (12, 36, 12, QAM256, 921.6, 4, 0.25, 11, 7552),
    ],
)
def test_matlab_made_vectors_of_srsran(symbols, dmrs, overhead, order, rate_x1024, layers, scaling, prb, expected):
    """TS 38.214 5.1.3.2; srsRAN Project, tbs_calculator_test_data.h."""
    bits = nr.transport_block_bits(prb, symbols, dmrs, overhead, order, rate_x1024 / 1024, layers, tb_scaling=scaling)
    assert bits == expected


@pytest.mark.parametrize(
    ("mcs", "prb", "expected_bytes"),
    [
        (27, 5, 437),
        (28, 20, 1825),
        (26, 106, 8961),
        (23, 3, 209),
        (19, 275, 13829),
        (13, 32, 1008),
        (11, 41, 992),
        (8, 179, 3457),
        (3, 84, 673),
        (0, 55, 217),
        (0, 5, 19),
        (0, 1, 3),
    ],
)
def test_uplink_vectors_of_srsran_scheduler(mcs, prb, expected_bytes):
    """MCS table 1, 14 symbols, 36 DMRS resource elements per PRB (TS 38.214 6.1.4.2)."""
    order, rate = nr.modulation_and_rate(mcs)
    assert nr.transport_block_bits(prb, 14, 36, 0, order, rate, 1) == 8 * expected_bytes


@pytest.mark.parametrize(
    ("prb", "expected_bytes"),
    [(51, [544, 1217, 2370, 3072, 4867, 5122]), (273, [2946, 6528, 12549, 16397, 26122, 27141])],
)
def test_full_band_uplink_blocks(prb, expected_bytes):
    """14 symbols with two full DMRS symbols (24 RE), one layer, table 1, MCS 4 10 16 20 27 28."""
    table = nr.mcs_table(1)
    mcs = np.array([4, 10, 16, 20, 27, 28])
    bits = nr.transport_block_bits(prb, 14, 24, 0, table.modulation_order[mcs], table.code_rate[mcs], 1)
    np.testing.assert_array_equal(bits, 8 * np.array(expected_bytes))


def test_largest_block_and_the_156_re_cap():
    """273 PRB, 4 layers, 256QAM, R 948/1024: 1 277 992 bits (the buffer constant of srsRAN); more RE change nothing."""
    largest = nr.transport_block_bits(273, 14, 12, 0, QAM256, 948 / 1024, 4)
    assert largest == 1_277_992
    assert nr.transport_block_bits(273, 14, 0, 0, QAM256, 948 / 1024, 4) == largest


def test_slot_rate_of_the_largest_downlink():
    """14 symbols, 24 DMRS RE, every 0.5 ms: 2.3597 Gbit/s."""
    bits = nr.transport_block_bits(273, 14, 24, 0, QAM256, 948 / 1024, 4)
    assert bits / 0.5e-3 == pytest.approx(2.3597e9, rel=5e-5)


def test_sizes_that_truncating_division_gets_wrong():
    """156 RE per PRB: 319 784 and 26 632 bits; truncating divisions give 319 360 and 26 616."""
    assert nr.transport_block_bits(273, 14, 1, 0, QAM256, 948 / 1024, 1) == 319_784
    assert nr.transport_block_bits(51, 14, 1, 0, QAM64, 567 / 1024, 1) == 26_632


def scalar_reference(num_re, order, rate, layers):
    """The clause step by step in Python integers and floats, one block at a time."""
    from math import ceil, floor, log2

    info = num_re * rate * order * layers
    if info <= 3824:
        step = 2 ** max(3, floor(log2(info)) - 6)
        wanted = max(24, step * (info // step))
        return next(size for size in nr_small_sizes() if size >= wanted)
    step = 2 ** (floor(log2(info - 24)) - 5)
    wanted = max(3840, step * floor((info - 24) / step + 0.5))
    limit = 3816 if rate <= 0.25 else 8424
    blocks = ceil((wanted + 24) / limit) if rate <= 0.25 or wanted > 8424 else 1
    return 8 * blocks * ceil((wanted + 24) / (8 * blocks)) - 24


def nr_small_sizes():
    from channels._tables import load_table

    sizes = load_table("nr_tbs")["small_sizes_bits"]
    assert len(sizes) == 93
    return sizes


def test_vectorised_equals_scalar_on_random_points():
    rng = np.random.default_rng(7)
    table = nr.mcs_table(2)
    mcs = rng.integers(0, len(table), 3000)
    prb, symbols, layers = rng.integers(1, 276, 3000), rng.integers(2, 15, 3000), rng.integers(1, 5, 3000)
    order, rate = table.modulation_order[mcs], table.code_rate[mcs]
    got = nr.transport_block_bits(prb, symbols, 12, 0, order, rate, layers)
    for k in range(3000):
        num_re = min(156, 12 * symbols[k] - 12) * prb[k]
        assert got[k] == scalar_reference(int(num_re), int(order[k]), float(rate[k]), int(layers[k]))


def test_equals_sionna_on_a_random_grid():
    """400 points of tables 1 to 3 against sionna.phy.nr.utils.calculate_tb_size (TB, CB size, number of CBs)."""
    from sionna.phy.nr.utils import calculate_tb_size

    rng = np.random.default_rng(11)
    for _ in range(400):
        table = nr.mcs_table(int(rng.integers(1, 4)))
        mcs = int(rng.integers(0, len(table)))
        order, rate = int(table.modulation_order[mcs]), float(table.code_rate[mcs])
        prb, symbols, layers = int(rng.integers(1, 274)), int(rng.integers(3, 15)), int(rng.integers(1, 5))
        overhead = int(rng.choice([0, 6, 12]))
        bits = nr.transport_block_bits(prb, symbols, 12, overhead, order, rate, layers)
        reference = calculate_tb_size(
            order,
            rate,
            num_prbs=prb,
            num_ofdm_symbols=symbols,
            num_dmrs_per_prb=12,
            num_layers=layers,
            num_ov=overhead,
            verbose=False,
        )
        tb_size, cb_size, num_cb, tb_crc, cb_crc = (int(value) for value in reference[:5])
        split = nr.segment(bits, rate)
        assert bits == tb_size
        assert int(split.num_code_blocks) == num_cb
        assert int(split.code_block_bits) == cb_size
        assert (int(split.tb_crc_bits), int(split.cb_crc_bits)) == (tb_crc, cb_crc)


def test_size_never_falls_with_prbs_or_rate():
    prb = np.arange(1, 274)
    for mcs in range(29):
        order, rate = nr.modulation_and_rate(mcs)
        sizes = nr.transport_block_bits(prb, 14, 24, 0, order, rate, 1)
        assert np.all(np.diff(sizes) >= 0)
    rates = np.linspace(0.26, 0.95, 500)
    assert np.all(np.diff(nr.transport_block_bits(51, 14, 24, 0, 6, rates, 1)) >= 0)


def test_code_blocks_of_large_blocks_are_equal_and_byte_aligned():
    """TS 38.212 5.2.2: the TBS law makes (TBS + 24) divisible by 8 C."""
    sizes = nr.transport_block_bits(np.arange(40, 274), 14, 24, 0, 6, 0.9, 1)
    split = nr.segment(sizes, 0.9)
    assert np.all((sizes + 24) % (8 * split.num_code_blocks) == 0)
    assert np.all(split.code_block_bits <= 8448)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nr.transport_block_bits(0, 14, 24, 0, 6, 0.5, 1), "num_prb"),
        (lambda: nr.transport_block_bits(51, 15, 24, 0, 6, 0.5, 1), "num_symbols"),
        (lambda: nr.transport_block_bits(51, 14, 24, 0, 5, 0.5, 1), "modulation_order"),
        (lambda: nr.transport_block_bits(51, 14, 24, 0, 6, 567, 1), "code_rate"),
        (lambda: nr.transport_block_bits(51, 14, 24, 3, 6, 0.5, 1), "overhead_re_per_prb"),
        (lambda: nr.transport_block_bits(51, 1, 12, 0, 6, 0.5, 1), "RE per PRB"),
    ],
)
def test_refuses_nonsense(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_scalar_returns_int():
    assert type(nr.transport_block_bits(51, 14, 24, 0, 6, 567 / 1024, 1)) is int
