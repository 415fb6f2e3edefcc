"""EESM, HARQ combining and link adaptation against published numbers and as functions."""

import numpy as np
import pytest

from channels import nr
from channels.eesm import block_effective_sinr, eesm_betas, effective_sinr, effective_sinr_db
from channels.harq import (
    block_incremental_combine,
    chase_combine,
    incremental_code_rate,
    incremental_combine,
    incremental_equivalent_sinr,
    incremental_gain_db,
)
from channels.link_adaptation import OuterLoop

BETA = 1.7
FIRST_DB = np.array([1.0, 3.5])
SECOND_DB = np.array([1.0, 1.5, 2.0, 2.5, 3.0, 3.5])


def linear(db):
    return 10 ** (np.asarray(db) / 10)


def test_betas():
    assert (len(eesm_betas(1)), len(eesm_betas(2)), len(eesm_betas(3))) == (29, 28, 29)
    assert eesm_betas(1)[5] == BETA
    assert eesm_betas(2)[-1] == 132.54
    for table in (1, 2, 3):
        assert np.all(np.diff(eesm_betas(table)) >= 0)
    # Where table 3 has an entry of equal modulation and rate in table 1, the beta is that of table 1.
    one, three = nr.mcs_table(1), nr.mcs_table(3)
    num_shared = 0
    for k in range(29):
        same = (one.modulation_order == three.modulation_order[k]) & (one.code_rate == three.code_rate[k])
        if same.any():
            num_shared += 1
            assert eesm_betas(3)[k] == pytest.approx(eesm_betas(1)[same][0])
    assert num_shared == 23
    assert np.all(eesm_betas(3)[:6] == 1.6)


def test_harq_oracle_of_5g_lena():
    """nr-test-l2sm-eesm, MCS 5: first transmission 1.67919; with a second one, IR 1.67907, chase 3.3318 (linear)."""
    first, second = linear(FIRST_DB), linear(SECOND_DB)
    effective = effective_sinr(first, BETA)
    assert effective == pytest.approx(1.67919, abs=5e-6)
    union = incremental_combine(effective, 2, effective_sinr(second, BETA), 6, BETA)
    assert union == pytest.approx(1.67907, abs=5e-6)
    assert union == pytest.approx(float(effective_sinr(np.concatenate([first, second]), BETA)), rel=1e-12)
    chase = effective_sinr(chase_combine(np.tile(first, 3), second), BETA)
    assert chase == pytest.approx(3.3318, abs=5e-5)


def test_a_lost_transmission_leaves_the_other_one(recwarn):
    for lost, received in ((0.0, 1e5), (0.0, 3.0)):
        assert block_incremental_combine(lost, 0.0, received, 600.0, BETA) == received
        assert block_incremental_combine(received, 600.0, lost, 0.0, BETA) == received
    both = block_incremental_combine(2.0, 600.0, 3.0, 200.0, BETA)
    assert both == pytest.approx(float(incremental_combine(2.0, 600.0, 3.0, 200.0, BETA)), rel=1e-12)
    assert not recwarn.list


@pytest.mark.parametrize("beta", [1.6, 34.28, 132.54])
def test_flat_channels_come_back_exactly(beta):
    """No underflow at any SINR: a single-precision mean of exponentials returns 30 dB for 23 dB at beta 1.6."""
    for snr_db in (-30.0, 0.0, 23.0, 30.0, 60.0):
        assert effective_sinr_db(np.full(13, snr_db), beta) == pytest.approx(snr_db, abs=1e-9)


def test_effective_sinr_lies_between_minimum_and_mean():
    sinrs = np.random.default_rng(0).exponential(10.0, (500, 13))
    for beta in (1.6, 10.0, 132.0):
        got = effective_sinr(sinrs, beta)
        assert np.all(got >= sinrs.min(axis=1) - 1e-12)
        assert np.all(got <= sinrs.mean(axis=1) + 1e-12)
    low, high = effective_sinr(sinrs, 1.6), effective_sinr(sinrs, 100.0)
    assert np.all(high >= low - 1e-12)
    better = sinrs + np.random.default_rng(1).exponential(1.0, sinrs.shape)
    assert np.all(effective_sinr(better, 5.0) > effective_sinr(sinrs, 5.0))


def test_weights_count_resource_elements():
    sinrs = np.array([1.0, 5.0, 9.0])
    np.testing.assert_allclose(effective_sinr(sinrs, 2.0, [2, 1, 0]), effective_sinr([1.0, 1.0, 5.0], 2.0), rtol=1e-12)
    assert effective_sinr(sinrs, 2.0, [0, 0, 0]) == 0.0
    # An unused group may hold anything.
    assert effective_sinr([1.0, 1e9], 2.0, [1, 0]) == pytest.approx(1.0)
    per_mcs = effective_sinr(sinrs[None, :], eesm_betas(1))
    assert per_mcs.shape == (29,)
    np.testing.assert_allclose(per_mcs, effective_sinr(sinrs[None, :], eesm_betas(1), [1, 1, 1]), rtol=1e-12)


def test_one_block_in_plain_numbers_is_the_same():
    """`block_effective_sinr` against the arrays: random groups, some unused, SINRs from -20 to 60 dB."""
    draw = np.random.default_rng(3)
    for _ in range(300):
        sinrs, weights = 10 ** draw.uniform(-2, 6, 13), draw.integers(0, 5, 13)
        beta = float(draw.choice(eesm_betas(1)))
        expected = float(effective_sinr(sinrs, beta, weights))
        assert block_effective_sinr(sinrs.tolist(), beta, weights.tolist()) == pytest.approx(expected, rel=1e-12)
    assert block_effective_sinr([3.0, 4.0], 2.0, [0, 0]) == 0.0


def test_effective_sinr_matches_sionna_where_it_does_not_underflow():
    """sionna.sys.EESM, table 1, MCS 20 (beta 14.96) on 14 x 24 resource elements."""
    import torch
    from sionna.sys import EESM

    sinrs = np.random.default_rng(3).exponential(20.0, (1, 14, 24, 1, 1))
    reference = EESM()(torch.tensor(sinrs, dtype=torch.float32), torch.tensor([[20]]), mcs_table_index=1)
    got = effective_sinr(sinrs.reshape(-1), eesm_betas(1)[20])
    assert float(got) == pytest.approx(float(reference.reshape(-1)[0]), rel=1e-4)


def test_chase_combining_of_equal_rounds_is_3_db():
    sinrs = linear([4.0, 4.0])
    total = chase_combine(sinrs, sinrs)
    assert effective_sinr_db(10 * np.log10(total), 5.0) == pytest.approx(4.0 + 10 * np.log10(2))


def test_incremental_redundancy_is_at_least_chase():
    """Never below the chase gain; equal to it once the mother code is exhausted from the start, and as Qm R -> 0."""
    rate = np.linspace(0.1, 0.93, 40)
    for order in (2, 4, 6, 8):
        for rounds in (1, 2, 3, 4):
            gain = incremental_equivalent_sinr(1.0, order, rate, rounds)
            assert np.all(gain >= rounds - 1e-9)
    np.testing.assert_allclose(incremental_equivalent_sinr(2.5, 4, rate, 1), 2.5, rtol=1e-12)
    np.testing.assert_allclose(incremental_equivalent_sinr(1.0, 2, 0.2, 3, base_graph=2), 3.0, rtol=1e-9)
    # By hand: 64QAM, R 0.9, two rounds: (2^5.4 - 1) / (2^2.7 - 1) = 7.498.
    assert incremental_equivalent_sinr(1.0, 6, 0.9, 2) == pytest.approx((2**5.4 - 1) / (2**2.7 - 1), rel=1e-12)
    np.testing.assert_allclose(incremental_code_rate(0.9, [1, 2, 3]), [0.9, 0.45, 1 / 3])


def test_incremental_gain_knows_the_base_graph():
    """16QAM 378/1024: 4.16 and 5.92 dB for small blocks (parity down to 1/5), 3.26 and 5.02 dB for large ones (1/3)."""
    rate = 378 / 1024
    np.testing.assert_allclose(incremental_gain_db(4, rate, 1000, [1, 2, 3]), [0.0, 4.16, 5.92], atol=0.005)
    np.testing.assert_allclose(incremental_gain_db(4, rate, 3824, 2), 4.16, atol=0.005)
    np.testing.assert_allclose(incremental_gain_db(4, rate, 3825, [2, 3]), [3.26, 5.02], atol=0.005)
    # Up to 292 bits graph 2 serves every rate, above 0.67 only those; a rate of 1/4 always has it.
    high = 948 / 1024
    assert incremental_gain_db(6, high, 292, 4) > incremental_gain_db(6, high, 293, 4)
    assert incremental_gain_db(2, 0.25, 50_000, 2) == incremental_gain_db(2, 0.25, 500, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((4, 1.5, 100, 2), "code_rate: got 1.5; valid: 0 to 1"),
        ((4, 0.0, 100, 2), "code_rate: got 0.0; valid: finite and > 0"),
        ((5, 0.5, 100, 2), "modulation_order: got .*5.*; valid: 1, 2, 4, 6, 8, 10"),
        ((4, 0.5, 0, 2), "payload_bits: got 0; valid: 1 to inf"),
        ((4, 0.5, 100, [2, 0]), "num_transmissions: got 0; valid: whole numbers, 1 or more"),
    ],
)
def test_gains_of_what_cannot_be_sent_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        incremental_gain_db(*given)


@pytest.mark.parametrize("target", [0.01, 0.1, 0.3])
def test_outer_loop_meets_its_target(target):
    """A sigmoid error curve and reports wrong by 4 dB: error rate within half a point over 40 devices x 6000 slots."""
    loop = OuterLoop(target_bler=target, nack_step_db=0.5)
    rng = np.random.default_rng(5)
    offset = np.zeros(40)
    errors = []
    for _slot in range(8000):
        # Chosen threshold = reported + offset; the true SINR lies 4 dB below the report, fading by 1 dB.
        margin_db = -4.0 + rng.normal(0, 1.0, 40) - offset
        bler = 1 / (1 + np.exp(np.clip(3 * margin_db, -50, 50)))
        is_ack = rng.random(40) >= bler
        offset = loop.updated(offset, is_ack)
        errors.append(~is_ack)
    assert np.mean(errors[2000:]) == pytest.approx(target, abs=0.005)


def test_outer_loop_steps():
    loop = OuterLoop(0.1, 1.0)
    assert loop.ack_step_db == pytest.approx(1 / 9)
    assert 0.9 * loop.ack_step_db - 0.1 * loop.nack_step_db == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(loop.updated([0.0, 19.95, -19.5], [True, True, False]), [1 / 9, 20.0, -20.0])
    with pytest.raises(ValueError, match="target_bler"):
        OuterLoop(0.0)
