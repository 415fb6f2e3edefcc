"""Uplink power control (TS 38.213 7.1.1) against the 5G-LENA cases and as a function."""

import numpy as np
import pytest

from channels.noise import snr_db
from channels.power import (
    FRACTIONAL_ALPHAS,
    UplinkPowerControl,
    is_inner_allocation,
    max_power_reduction_db,
    tpc_command_db,
)
from channels.propagation import path_loss_db


def test_indoor_hotspot_cases():
    """InH LoS, 2 GHz, 15 kHz, 24 PRB, alpha 1, P0 -90: exact powers of nr-uplink-power-control-test."""
    d = [10, 100, 200, 300, 400, 600, 800, 1000]
    loss = path_loss_db("inh", d, 2.0, True, 1.5, 1.5)
    pusch = UplinkPowerControl(p0_dbm=-90, scs_khz=15).transmit_power_dbm(24, loss)
    np.testing.assert_allclose(pusch, [-20.48, -3.18, 2.03, 5.08, 7.24, 10.28, 12.45, 14.12], atol=0.0051)
    pucch = UplinkPowerControl(p0_dbm=-80, scs_khz=15).transmit_power_dbm(24, loss)
    np.testing.assert_allclose(pucch, np.minimum(pusch + 10, 23), atol=1e-9)
    one_step = UplinkPowerControl(p0_dbm=-90, scs_khz=15).transmit_power_dbm(24, loss, tpc_command_db(1, False))
    np.testing.assert_allclose(one_step, pusch - 1, atol=1e-9)


def test_numerology_term():
    """10 log10 2^mu: the same PRBs at 30 kHz are twice as wide and ask for 3.01 dB more."""
    narrow, wide = (UplinkPowerControl(scs_khz=s).unclamped_dbm(10, 90.0) for s in (15, 30))
    assert wide - narrow == pytest.approx(10 * np.log10(2), abs=1e-12)


def test_clamp_and_headroom():
    control = UplinkPowerControl(p0_dbm=-80)
    prb = np.arange(1, 274)
    power = control.transmit_power_dbm(prb, 110.0)
    headroom = control.power_headroom_db(prb, 110.0)
    assert np.all(power <= 23.0)
    assert np.all((power < 23.0) == (headroom > 0))
    assert np.all(control.transmit_power_dbm(prb, 10.0) >= -40.0)
    for loss in (80.0, 95.0, 110.0):
        most = int(control.max_num_prb(loss))
        assert control.power_headroom_db(most, loss) >= -1e-6 or most == 1
        assert control.power_headroom_db(most + 1, loss) < 0


def test_fractional_compensation():
    """Received power falls by (1 - alpha) per dB of loss until the clamp."""
    for alpha in FRACTIONAL_ALPHAS:
        control = UplinkPowerControl(p0_dbm=-60, alpha=alpha, max_power_dbm=43)
        received = control.transmit_power_dbm(1, [70.0, 80.0]) - np.array([70.0, 80.0])
        assert received[1] - received[0] == pytest.approx(-10 * (1 - alpha), abs=1e-9)
    with pytest.raises(ValueError, match=r"alpha: got 0\.3; valid: 0\.0, 0\.4"):
        UplinkPowerControl(alpha=0.3)


def test_power_limited_snr_falls_with_every_prb():
    """At P_CMAX the SNR per PRB loses 10 log10 M: narrow grants serve a cell edge better."""
    prb = np.array([1, 2, 10, 51])
    power = UplinkPowerControl(p0_dbm=-80).transmit_power_dbm(prb, 130.0)
    np.testing.assert_array_equal(power, 23.0)
    snr = snr_db(power, 8 - 130.0, prb * 360e3)
    np.testing.assert_allclose(snr - snr[0], -10 * np.log10(prb), atol=1e-9)


def test_tpc_commands():
    """TS 38.213 Table 7.1.1-1."""
    assert [tpc_command_db(c) for c in range(4)] == [-1, 0, 1, 3]
    assert [tpc_command_db(c, accumulated=False) for c in range(4)] == [-4, -1, 1, 4]
    with pytest.raises(ValueError, match="command"):
        tpc_command_db(4)


def test_max_power_reduction():
    """CP-OFDM, power class 3 (TS 38.101-1 Table 6.2.2-1): inner and outer allocations by modulation."""
    order = np.array([2, 4, 6, 8])
    assert max_power_reduction_db(order, True).tolist() == [1.5, 2.0, 3.5, 6.5]
    assert max_power_reduction_db(order, False).tolist() == [3.0, 3.0, 3.5, 6.5]
    with pytest.raises(ValueError, match="modulation_order: got 3"):
        max_power_reduction_db([2, 3], True)


def test_inner_allocations_keep_their_half_width_from_the_edges():
    """51 PRBs: 10 in a row are inner from PRB 5 to 36, one from 1 to 49; more than 26 never are."""
    first = np.arange(42)
    inner = is_inner_allocation(first, 10, 51)
    assert first[inner].tolist() == list(range(5, 37))
    assert np.arange(51)[is_inner_allocation(np.arange(51), 1, 51)].tolist() == list(range(1, 50))
    assert not is_inner_allocation(12, 27, 51)
    assert not is_inner_allocation(0, 51, 51)
    assert is_inner_allocation(12, 25, 51)
