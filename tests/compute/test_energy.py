"""Energy: power between idle and peak by load, and a step's energy shared by work without a joule lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.compute.base import WorkSize
from sim.compute.hardware import hardware_names
from sim.compute.roofline import RooflineCompute, RooflineSettings, price_model
from tests.worlds import FIXED_COMPUTE, simulate, small_scenario

ITEMS = st.builds(
    lambda new, before, rows: WorkSize(new, new + before, min(rows, new)),
    st.integers(1, 2048),
    st.integers(0, 4000),
    st.integers(0, 8),
)


def roofline(**settings: Any) -> RooflineCompute:
    return price_model(RooflineSettings(**settings))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ITEMS, min_size=1, max_size=40))
def test_a_steps_energy_is_shared_without_loss(batch: list[WorkSize]) -> None:
    model = roofline(hardware="l4", model_size="7B")
    joules = model.price(batch).joules
    shares = model.split(batch, joules)
    assert min(shares) > 0
    assert sum(shares) == pytest.approx(joules, rel=1e-12)
    assert sum(model.work_of(batch)) > 0


def test_verifications_beside_a_prompt_pay_for_their_own_work() -> None:
    """15 verifications of 5 tokens are 3.5 % of the tokens beside a 2048-token prompt; equal shares were 94 %.

    They read caches and want rows, so that they pay somewhat more than for their tokens.
    """
    model = roofline(hardware="l4", model_size="7B")
    batch = [WorkSize(5, 300, 5)] * 15 + [WorkSize(2048, 2048, 1)]
    shares = model.split(batch, 1.0)
    assert 0.03 < sum(shares[:15]) < 0.1
    assert shares[0] == pytest.approx(shares[14])


def test_a_longer_text_pays_for_its_cache() -> None:
    model = roofline(hardware="h100", model_size="8B")
    short, long = model.split([WorkSize(1, 100, 1), WorkSize(1, 30_000, 1)], 1.0)
    assert long > 1.3 * short


def test_power_lies_between_idle_and_peak_on_all_hardware() -> None:
    for name in hardware_names():
        model = roofline(hardware=name, model_size="0.5B")
        room_w = model.hardware.peak_power_w - model.hardware.idle_power_w
        for batch in ([WorkSize(1, 100, 1)], [WorkSize(1, 1000, 1)] * 64, [WorkSize(2000, 2000, 1)]):
            price = model.price(batch)
            assert 0 < price.joules / price.seconds <= room_w * (1 + 1e-12), name


def test_power_rises_with_load() -> None:
    model = roofline(hardware="h100", model_size="8B")
    watts = [
        (p := model.price([WorkSize(1, 400, 1)] * b)).joules / p.seconds + model.idle_power_w for b in (1, 8, 64, 256)
    ]
    assert watts == sorted(watts)
    assert watts[1] == pytest.approx(486, rel=0.1) and watts[3] == pytest.approx(691, rel=0.1)  # ML.ENERGY


def test_a_stated_power_and_more_processors() -> None:
    price = roofline(hardware="l4", model_size="1B", power_w=60, num_processors=2).price([WorkSize(3, 40, 3)])
    assert price.joules == pytest.approx(2 * 60 * price.seconds)
    assert roofline(hardware="h100", model_size="8B", num_processors=4).idle_power_w == 4 * 70


def test_requests_are_charged_what_the_server_has_used() -> None:
    """Conservation: the requests' shares add up to the server's total; idle energy is told beside it."""
    edge = {"kind": "roofline", "hardware": "h100", "model_size": "8B"}
    output = simulate(small_scenario(compute={**FIXED_COMPUTE, "edge": edge}))
    charged = sum(row["edge_energy_j"] for row in output.requests)
    assert charged > 0
    assert charged == pytest.approx(output.figures["edge_busy_energy_j"], rel=1e-9)
    assert output.figures["edge_idle_energy_j"] == pytest.approx(70 * output.simulated_s)
    assert "device_idle_energy_j" not in output.figures  # nothing is known of a device with stated times


def test_idle_energy_of_devices_counts_each_of_them() -> None:
    device = {"kind": "roofline", "hardware": "jetson-orin-nano", "model_size": "160M"}
    output = simulate(small_scenario(compute={**FIXED_COMPUTE, "device": device}))
    assert output.figures["device_idle_energy_j"] == pytest.approx(3 * 0.12 * 25 * output.simulated_s)
