"""Energy models against the figures of TR 38.840 and TR 38.864."""

import numpy as np
import pytest

from channels.energy import GnbPower, UeModemPower


def test_sleep_and_monitoring():
    """1 s deep sleep + 1 s PDCCH + 1 s deep sleep with one sleep cycle: 0.10245 J at 1 mW per unit."""
    modem = UeModemPower()
    total = 2 * modem.state_energy_j("deep_sleep", 1.0) + modem.state_energy_j("pdcch", 1.0)
    assert total + modem.sleep_transition_energy_j("deep_sleep") == pytest.approx(0.10245, abs=1e-9)
    assert modem.sleep_transition_time_s("light_sleep") == pytest.approx(6e-3)


def test_bandwidth_scaling():
    """Scale 1, 0.55, 0.4 at 100, 40, 20 MHz: PDSCH at 20 MHz takes 0.12 W; reception floors at 50 units."""
    powers = [UeModemPower(bandwidth_mhz=w).state_units("pdcch_pdsch") for w in (100, 40, 20)]
    np.testing.assert_allclose(powers, [300, 165, 120])
    assert UeModemPower(bandwidth_mhz=20).state_energy_j("pdcch_pdsch", 1.0) == pytest.approx(0.12)
    assert UeModemPower(bandwidth_mhz=10).state_units("pdcch") == 50
    assert UeModemPower(num_rx=2).state_units("pdcch") == pytest.approx(70)
    assert UeModemPower(bandwidth_mhz=10).state_units("micro_sleep") == 45


def test_uplink():
    """250 units at 0 dBm to 700 at 23, linear in dBm; 0.35 mJ per 0.5 ms slot at 23 dBm, 8.05 mJ for 23 slots."""
    modem = UeModemPower()
    np.testing.assert_allclose(modem.uplink_units([-40, 0, 11.5, 23, 26]), [250, 250, 475, 700, 700])
    assert modem.uplink_energy_j(23.0, 0.5e-3) == pytest.approx(0.35e-3)
    assert modem.uplink_energy_j(23.0, 23 * 0.5e-3) == pytest.approx(8.05e-3)
    assert UeModemPower("fr2").uplink_units(10.0) == 350


def test_base_station():
    station = GnbPower()
    assert [station.sleep_units(s) for s in ("deep_sleep", "light_sleep", "micro_sleep")] == [1, 25, 55]
    assert station.downlink_units(1.0) == pytest.approx(280)
    assert station.uplink_units() == pytest.approx(110)
    # Half the bandwidth: 55 + 225 (0.4 + 0.6 * 0.5).
    assert station.downlink_units(0.5) == pytest.approx(55 + 225 * 0.7)
    assert station.downlink_units(0.25) == pytest.approx(55 + 225 * (0.4 + 0.6 * 0.25 / 0.76))
    assert GnbPower(2, 3).downlink_units(1.0) == pytest.approx(17.6)
    with pytest.raises(ValueError, match="reference_set: got 4"):
        GnbPower(1, 4)
