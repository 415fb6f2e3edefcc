"""Profiles of links: the delay spread and K that each was given, shared where they are alike."""

import numpy as np
import pytest

from channels.fading import FadingChannel
from channels.link_profiles import LinkProfiles
from channels.nr import prb_group_centres_hz
from channels.tap_profiles import tdl_profile, with_k_factor

GROUPS_HZ = prb_group_centres_hz(51, 4, 30)


def frequency_correlation(profiles, index, k, spacing_hz):
    """|E H(f) H*(f + spacing)| of one link from its row in the bank, direct path included."""
    response = profiles.bank.responses[index].astype(complex)
    return np.abs(np.sum(np.conj(response[:, 0]) * response[:, 1]) / (1 + k) + k / (1 + k))


@pytest.mark.parametrize(("los", "k_db", "nanoseconds"), [(False, 0.0, 103), (True, 9.0, 50), (True, 0.0, 200)])
def test_each_link_has_its_delay_spread_and_k(los, k_db, nanoseconds):
    """Coherence over 1 MHz of the link's profile against the standard's, scaled by itself; steps of 5 % leave 0.02."""
    profiles = LinkProfiles("tdl", [0.0, 1e6])
    k = 10 ** (k_db / 10)
    index, got = profiles.of(np.array([los]), np.array([nanoseconds * 1e-9]), np.array([k]))
    assert got[0] == (k if los else 0.0)
    whole = with_k_factor(tdl_profile("tdl_d" if los else "tdl_a", 1e-7), got[0], nanoseconds * 1e-9)
    expected = np.abs(whole.frequency_correlation(1e6))
    assert frequency_correlation(profiles, index[0], got[0], 1e6) == pytest.approx(float(expected), abs=0.02)


def test_alike_links_share_a_profile():
    profiles = LinkProfiles("tdl", GROUPS_HZ)
    spreads = np.geomspace(20e-9, 500e-9, 2000)
    index, _ = profiles.of(np.zeros(2000, dtype=bool), spreads, np.zeros(2000))
    assert len(profiles.bank.k_linear) <= np.log(25) / np.log(1.05) + 2
    again, _ = profiles.of(np.zeros(2000, dtype=bool), spreads, np.zeros(2000))
    np.testing.assert_array_equal(again, index)
    assert np.all(np.diff(index) >= 0)


def test_other_models_are_the_same_in_and_out_of_sight():
    for model, has_direct in (("tdl_c", False), ("tdl_e", True), ("rayleigh", False), ("rician", True)):
        profiles = LinkProfiles(model, GROUPS_HZ)
        index, k = profiles.of(np.array([False, True]), np.full(2, 1e-7), np.full(2, 4.0))
        assert index[0] == index[1]
        assert k.tolist() == [4.0 * has_direct] * 2
    with pytest.raises(ValueError, match="fading model: got 'cdl'"):
        LinkProfiles("cdl", GROUPS_HZ)


def test_state_decides_who_fades_how():
    """E|h|^4 / E^2 over 4000 links each: 1.21 in sight at 9 dB (UMi), 2 out of sight."""
    profiles = LinkProfiles("tdl", GROUPS_HZ)
    is_los = np.arange(8000) % 2 == 1
    index, k = profiles.of(is_los, np.where(is_los, 50e-9, 103e-9), np.full(8000, 10**0.9))
    gains = FadingChannel(profiles.bank, np.ones(8000), 3.5, GROUPS_HZ, 1, profile_index=index, k_linear=k)
    power = gains.power_gains(1.0)[:, ::6].astype(float)
    for state, expected, bound in ((True, 1.21, 0.03), (False, 2.0, 0.12)):
        rows = power[is_los == state]
        assert np.mean(rows**2) / np.mean(rows) ** 2 == pytest.approx(expected, abs=bound)
