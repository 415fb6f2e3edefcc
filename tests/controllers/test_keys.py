"""Every key of every controller changes some output, beside other keys where it acts only with them."""

from __future__ import annotations

from typing import Any

import pytest

from sim.decoding.controllers.registry import CONTROLLERS
from tests.worlds import controlled_scenario, simulate

# Another value of each key, and what it stands beside.
VALUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "odld.max_draft_length": (2, {}),
    "odld.prior_acceptance": (0.2, {}),
    "odld.prior_load": (0.5, {}),
    "odld.standalone_tokens": (2, {"prior_load": 2.0}),
    "flexspec.max_draft_length": (2, {}),
    "flexspec.prior_acceptance": (0.2, {}),
    "ucb_specstop.draft_lengths": ([1, 3], {}),
    "ucb_specstop.top_k": ([2, 4], {}),
    "ucb_specstop.candidates": ([1, 2], {}),
    "ucb_specstop.exploration": (3.0, {"draft_lengths": [2, 3]}),
    "confidence.threshold": (0.05, {}),
    "confidence.max_draft_length": (6, {"threshold": 0.05}),
    "wisp.survival": (0.8, {}),
    "wisp.classes": (1, {}),
    "wisp.prior_acceptance": (0.2, {}),
    "wisp.max_draft_length": (2, {"survival": 0.05}),
    "gelato.energy_per_round_j": (1e-4, {}),
    "gelato.weight": (0.01, {}),
    "gelato.max_draft_length": (2, {}),
    "gelato.prior_acceptance": (0.2, {}),
    "gelato.entropy_leak_bits": (0.1, {}),
    "gelato.entropy_bucket_bits": (0.1, {"entropy_leak_bits": 0.5}),
    "goodspeed.verify_budget": (4, {}),
    "goodspeed.max_draft_length": (2, {}),
    "goodspeed.prior_acceptance": (0.1, {}),
    "goodspeed.smoothing": (0.9, {}),
    "dip_sd.max_draft_length": (2, {}),
    "dip_sd.prior_acceptance": (0.1, {}),
    "dip_sd.replan_rounds": (1, {}),
    "dip_sd.verify_fixed_s": (1e-6, {}),
    "dip_sd.verify_token_s": (0.1, {}),
    "multi_spin.max_draft_length": (2, {}),
    "multi_spin.prior_acceptance": (0.1, {}),
    "multi_spin.replan_rounds": (1, {}),
    "multi_spin.verify_s": (5.0, {}),
    "multi_spin.equal_lengths": (True, {}),
}
KEYS = [f"{entry.name}.{key}" for entry in CONTROLLERS for key in entry.settings.model_fields]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_changes_some_output(key):
    name, _, field = key.partition(".")
    value, beside = VALUES[key]
    # The device's radio draws power in proportion to its airtime, so that GELATO's queue has something to count.
    base = {"workload": {"max_new_tokens": 30}, "devices": {"count": 3, "requests": 2, "tx_power_w": 2.0}}
    changed = simulate(controlled_scenario({"name": name, **beside, field: value}, **base))
    same = simulate(controlled_scenario({"name": name, **beside}, **base))
    assert changed.rounds != same.rounds
