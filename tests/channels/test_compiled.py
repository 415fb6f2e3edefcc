"""Fading by compiled code is that of NumPy, bit by bit."""

import numpy as np
import pytest

from channels.fading import FadingChannel, ProfileBank
from channels.mimo_fading import AntennaArrays, MimoFading
from channels.nr import prb_group_centres_hz
from channels.tap_profiles import condensed, rayleigh_profile, tdl_profile

GROUPS_HZ = prb_group_centres_hz(51, 4, 30)
PROFILES = {
    "tapped": tdl_profile("tdl_a", 300e-9),
    "line of sight": tdl_profile("tdl_d", 100e-9),
    "flat": rayleigh_profile(),
    "condensed": condensed(tdl_profile("tdl_c", 100e-9), 6),
}


def both(profile, **kwargs):
    """Channels of 70 devices from NumPy and from compiled code."""
    speeds = np.linspace(0, 30, 70)
    return [FadingChannel(profile, speeds, 3.5, GROUPS_HZ, 3, is_compiled=one, **kwargs) for one in (False, True)]


@pytest.mark.parametrize("name", PROFILES)
def test_channels_are_the_same(name):
    """At one time and at a time of each device, to a day in."""
    numpy, compiled = both(PROFILES[name])
    for devices in (np.array([3]), np.array([69, 0, 12, 12]), np.arange(70)):
        for when in (0.0, 1.2345, 86_400.5, np.linspace(0.0, 7.0, len(devices))):
            np.testing.assert_array_equal(compiled.power_gains(when, devices), numpy.power_gains(when, devices))
            np.testing.assert_array_equal(
                compiled.frequency_response(when, devices), numpy.frequency_response(when, devices)
            )
    np.testing.assert_array_equal(compiled.power_gains(0.5), numpy.power_gains(0.5))


@pytest.mark.parametrize("num_sinusoids", [2, 4, 6, 12, 20])
def test_any_number_of_sinusoids(num_sinusoids):
    """Pairs are added half by half while they are even; what is left, one by one."""
    numpy, compiled = both(PROFILES["tapped"], num_sinusoids=num_sinusoids)
    rows = np.arange(5)
    np.testing.assert_array_equal(compiled.power_gains(0.7, rows), numpy.power_gains(0.7, rows))


@pytest.mark.parametrize("correlation", ["low", "medium"])
def test_a_bank_and_several_antennas(correlation):
    """Devices with profiles of their own, one of them in sight, behind antennas at both ends."""
    bank = ProfileBank(GROUPS_HZ, max(len(profile.powers) for profile in PROFILES.values()))
    bank.add(list(PROFILES.values())[:2])
    index, k = np.arange(70) % 2, np.where(np.arange(70) % 2, 9.0, 0.0)
    made = []
    for is_compiled in (False, True):
        arrays = AntennaArrays(4, 2, correlation, "cross")
        fading = MimoFading(arrays, bank, np.full(70, 9.0), 3.5, 1, np.arange(70), "x", is_compiled=is_compiled)
        fading.use_profiles(index, k, np.full(70, 0.3), np.full(70, -0.2))
        made.append([fading.matrices(3.3, np.array([4, 5, 60]), *ends) for ends in ((), (2, 1))])
    for plain, compiled in zip(*made, strict=True):
        np.testing.assert_array_equal(compiled, plain)
    single = [
        FadingChannel(bank, np.full(70, 9.0), 3.5, GROUPS_HZ, 1, None, "x", None, index, k, one)
        for one in (False, True)
    ]
    rows = np.array([7, 8, 9, 33])
    np.testing.assert_array_equal(*(one.power_gains(2.2, rows) for one in single))
