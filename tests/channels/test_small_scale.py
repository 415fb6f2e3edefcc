"""Delay spread and K-factor by scenario, state and frequency against the table, against Sionna, and as draws."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from channels.propagation import SCENARIOS
from channels.small_scale import STATES, draw_small_scale, small_scale_parameters


@pytest.mark.parametrize(
    ("scenario", "state", "nanoseconds"),
    [("umi", "los", 50), ("umi", "nlos", 103), ("uma", "los", 93), ("uma", "nlos", 364)],
)
def test_median_delay_spreads_at_3_5_ghz(scenario, state, nanoseconds):
    """TR 38.901 Table 7.5-6; UMa is evaluated at 6 GHz, the least frequency of its formulas."""
    assert small_scale_parameters(scenario, state, 3.5).median_delay_spread_s * 1e9 == pytest.approx(
        nanoseconds, abs=0.6
    )


def test_k_factors():
    assert small_scale_parameters("umi", "los", 3.5).k_factor_db == 9.0
    assert small_scale_parameters("umi", "los", 3.5).k_factor_sigma_db == 5.0
    assert small_scale_parameters("rma", "los", 0.7).median_k_linear == pytest.approx(10**0.7)
    for scenario in SCENARIOS:
        for state in ("nlos", "o2i"):
            assert small_scale_parameters(scenario, state, 3.5).median_k_linear == 0.0


def test_spread_falls_with_frequency():
    for scenario in ("umi", "uma"):
        for state in ("los", "nlos"):
            spreads = [small_scale_parameters(scenario, state, f).lg_delay_spread for f in (6.0, 28.0, 70.0)]
            assert spreads[0] > spreads[1] > spreads[2]


@pytest.mark.parametrize("carrier_ghz", [6.0, 28.0])
@pytest.mark.parametrize(("family", "name"), [("umi", "UMi"), ("uma", "UMa"), ("rma", "RMa"), ("inh", "InH")])
def test_laws_are_those_of_sionna(family, name, carrier_ghz):
    """Sionna's parameter files of Release 16, the same table transcribed by others."""
    folder = Path(next(iter(find_spec("sionna").submodule_search_locations)))
    for state, suffix in (("los", "LoS"), ("nlos", "NLoS"), ("o2i", "O2I")):
        if family == "inh" and state == "o2i":
            continue
        path = folder / f"phy/channel/tr38901/models/v16_1/{name}_{suffix}.json"
        theirs = json.loads(path.read_text())

        def at(key, table=theirs):
            return table[f"{key}a"] * np.log10(table[f"{key}b"] + carrier_ghz) + table[f"{key}c"]

        law = small_scale_parameters(family, state, carrier_ghz)
        assert law.lg_delay_spread == pytest.approx(at("muDS"))
        assert law.lg_delay_spread_sigma == pytest.approx(at("sigmaDS"))
        assert np.log10(law.azimuth_spread_deg) == pytest.approx(at("muASD"))
        if state == "los":
            assert (law.k_factor_db, law.k_factor_sigma_db) == (theirs["muK"], theirs["sigmaK"])
            assert law.delay_k_correlation == theirs["corrDSvsK"]


def test_draws_follow_the_law_and_belong_to_the_link():
    ids = np.arange(6000)
    spread, k = draw_small_scale("umi", "los", 3.5, 1, ids)
    law = small_scale_parameters("umi", "los", 3.5)
    lg, k_db = np.log10(spread), 10 * np.log10(k)
    # Cut at three standard deviations, sigma is 0.987 of the law's; four standard errors on top.
    assert lg.mean() == pytest.approx(law.lg_delay_spread, abs=4 * 0.38 / np.sqrt(6000))
    assert lg.std() == pytest.approx(0.38, rel=0.05)
    assert k_db.mean() == pytest.approx(9.0, abs=4 * 5 / np.sqrt(6000))
    assert k_db.std() == pytest.approx(5.0, rel=0.05)
    assert np.corrcoef(lg, k_db)[0, 1] == pytest.approx(-0.7, abs=0.03)
    few, _ = draw_small_scale("umi", "los", 3.5, 1, [5, 900])
    np.testing.assert_array_equal(few, spread[[5, 900]])
    _, none = draw_small_scale("umi", "nlos", 3.5, 1, ids)
    assert not none.any()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_every_state(scenario):
    for state in STATES:
        law = small_scale_parameters(scenario, state, 3.5)
        assert 1e-9 < law.median_delay_spread_s < 1e-6
        assert 1 < law.azimuth_spread_deg < 60
