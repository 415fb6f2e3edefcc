"""ODLD and FlexSpec against exhaustive search, published cells, and the measurements that they rest on."""

from __future__ import annotations

import numpy as np
import pytest

from sim.decoding.controllers.flexspec import FlexSpec, FlexSpecSettings
from sim.decoding.controllers.measure import Meter
from sim.decoding.controllers.odld import Odld, OdldSettings
from sim.decoding.core.controller import Controls
from sim.decoding.core.request import Request
from sim.decoding.core.steps import Observation
from sim.decoding.theory import expected_tokens, tk_slt_speedup

START = Controls.chain(4)


def seen_with(load: float) -> Observation:
    """A channel and compute times at which a row of 1000 bits makes this load, half of it the link's."""
    return Observation(uplink_bps=1000 / (load / 2 * 0.1), draft_token_s=load / 2 * 0.1, target_forward_s=0.1)


def odld_at(bench, alpha: float, load: float) -> Controls:
    controller = Odld(OdldSettings(prior_acceptance=alpha, max_draft_length=64), row_bits=1000)
    return bench.planned(controller, Request(0, [0], 8, 500), START, seen_with(load))


@pytest.mark.parametrize(("alpha", "load", "length"), [(0.4, 0.01, 4), (0.6, 0.2, 2), (0.8, 0.1, 6)])
def test_odld_gives_published_cells(bench, alpha, load, length):
    """arXiv 2509.04576, Table I."""
    assert odld_at(bench, alpha, load).draft_length == length


@pytest.mark.parametrize("alpha", [0.2, 0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("load", [0.01, 0.05, 0.1, 0.2, 0.4, 0.7])
def test_odld_is_the_best_of_all_lengths_and_switches_off_where_none_pays(bench, alpha, load):
    best = max(range(1, 65), key=lambda length: tk_slt_speedup(alpha, length, load))
    controls = odld_at(bench, alpha, load)
    if tk_slt_speedup(alpha, best, load) > 1 + 1e-9:
        assert controls.speculate
        assert controls.draft_length == best
    else:
        assert not controls.speculate


def test_odld_comes_back_when_the_channel_does(bench):
    controller = Odld(OdldSettings(prior_acceptance=0.8), row_bits=1000)
    request = Request(0, [0], 8, 500)
    assert not bench.planned(controller, request, START, seen_with(3.0)).speculate
    later = [bench.planned(controller, request, START, seen_with(0.02)) for _ in range(12)]
    assert later[-1].speculate


def test_meter_measures_what_happened():
    """Acceptance as a ratio of sums, bits and joules per level, and nothing across a request's border."""
    rng = np.random.default_rng(3)
    meter = Meter(0.5)
    now, bits, joules = 0.0, 0, 0.0
    for number in range(3):
        request = Request(number, [0], 8, 4000)
        assert meter.look(request, Observation(now, uplink_bits=bits, device_energy_j=joules)) is None
        for _ in range(400):
            meter.plan(5)
            accepted = min(int(rng.geometric(0.3)) - 1, 5)
            request.emit([1] * (accepted + 1), drafted=5, tested=min(accepted + 1, 5), accepted=accepted)
            now, bits, joules = now + 0.2, bits + 500, joules + 0.05
            spent = meter.look(request, Observation(now, uplink_bits=bits, device_energy_j=joules))
            assert spent is not None
            assert spent.seconds == pytest.approx(0.2)
            assert (spent.tokens, spent.levels, spent.uplink_bits) == (accepted + 1, 5, 500)
        now, bits, joules = now + 100, 0, 0.0
    # 1200 rounds of about 2.7 tested positions: a standard error of 0.008.
    assert meter.acceptance_rate == pytest.approx(0.7, abs=0.03)
    assert meter.bits_per_level == pytest.approx(100)
    assert meter.joules_per_level == pytest.approx(0.01)


def test_meter_notes_rounds_that_the_limit_cut_short():
    meter, request = Meter(0.5), Request(0, [0], 8, 6)
    meter.look(request, Observation())
    cut = []
    for drafted, accepted in ((3, 1), (3, 0), (2, 1)):
        meter.plan(3)
        request.emit([1] * (accepted + 1), drafted=drafted, tested=2, accepted=accepted)
        spent = meter.look(request, Observation())
        assert spent is not None
        cut.append(spent.cut_short)
    assert cut == [False, False, True]


def flexspec_at(bench, alpha: float, rate_bps: float, round_trip_s: float) -> int:
    controller = FlexSpec(FlexSpecSettings(prior_acceptance=alpha, max_draft_length=20))
    request = Request(0, [0], 8, 500)
    known = {"uplink_bps": rate_bps, "round_trip_s": round_trip_s, "draft_token_s": 0.004, "target_forward_s": 0.03}
    first = bench.planned(controller, request, START, Observation(**known, uplink_bits=0))
    assert first.draft_length == 4  # the scenario's, until the first draft was measured
    request.emit([1, 1, 1], drafted=4, tested=0, accepted=0)
    return bench.planned(controller, request, START, Observation(0.1, **known, uplink_bits=40_000)).draft_length


@pytest.mark.parametrize("alpha", [0.5, 0.8])
def test_flexspec_lengthens_with_the_rate_and_with_the_delay(bench, alpha):
    rates = [flexspec_at(bench, alpha, rate, 0.02) for rate in np.geomspace(1e4, 1e8, 13)]
    assert rates == sorted(rates)
    assert rates[0] == 1 < rates[-1]
    delays = [flexspec_at(bench, alpha, 1e7, delay) for delay in (0.0, 0.02, 0.1, 0.5)]
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]


@pytest.mark.parametrize("rate_bps", [1e5, 1e6, 1e7])
def test_flexspec_is_the_best_of_all_lengths(bench, rate_bps):
    """10 kbit a level, 4 ms a drafted token, 30 ms a verdict, 20 ms of delays."""

    def per_second(length: int) -> float:
        return expected_tokens(0.8, length) / (length * (0.004 + 1e4 / rate_bps) + 0.02 + 0.03)

    assert flexspec_at(bench, 0.8, rate_bps, 0.02) == max(range(1, 21), key=per_second)
