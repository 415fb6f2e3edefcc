"""A device's memory: weights, keys and values beside the operating system, or the run is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sim.core.errors import InputError
from sim.runs.world import World
from sim.scenario.schema import Scenario
from tests.worlds import FIXED_COMPUTE, inputs, small_scenario

# 8 GB, of which the system has 15 %; a 3B model in fp16 takes 6.4 GB of them.
_COMPUTE = {**FIXED_COMPUTE, "device": {"kind": "roofline", "hardware": "jetson-orin-nano", "model_size": "3B"}}


def run(share: float | None, protocol: str = "tslt", **workload: Any) -> Scenario:
    devices = {"count": 1} if share is None else {"count": 1, "os_memory_share": share}
    scenario = small_scenario(devices=devices, compute=_COMPUTE, protocol={"name": protocol}, workload=workload)
    World(scenario, inputs(scenario)).run()
    return scenario


def test_weights_beside_the_operating_system_must_fit() -> None:
    run(0.1, max_new_tokens=4)
    run(None, max_new_tokens=4)
    with pytest.raises(
        InputError, match=r"devices\.os_memory_share: the memory of a device does not hold the weights of"
    ):
        run(0.5, max_new_tokens=4)
    run(0.5, "edge_only", max_new_tokens=4)  # no model runs at the device


def test_texts_whose_keys_and_values_do_not_fit_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"a text of \d+ tokens does not fit a device, whose memory has room for .* of 6753:"
    ):
        run(0.1, max_new_tokens=1_000_000)
