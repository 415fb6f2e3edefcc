"""WISP's drafting: acceptance by class of confidence is learned, and drafts end at the predicted first rejection."""

from __future__ import annotations

import pytest

from sim.decoding import decode
from sim.decoding.controllers.wisp import Wisp, WispSettings
from sim.decoding.core.rows import Row
from tests.worlds import table_models


def test_drafting_stops_where_survival_falls_below_the_threshold():
    controller = Wisp(WispSettings(survival=0.4, prior_acceptance=0.7))
    row, tokens = Row.dense_row([0.6, 0.4]), [0, 0, 0]
    # Nothing is learned yet: 0.7, 0.49, 0.343.
    assert [controller.keep_drafting([row] * count, tokens[:count]) for count in (1, 2, 3)] == [True, True, False]


def test_acceptance_of_a_class_is_what_was_seen_in_it():
    models = table_models()
    controller = Wisp(WispSettings(classes=2, max_draft_length=4, survival=0.01))
    done = decode("tslt", models["draft"], models["target"], [0], top_k=8, max_new_tokens=300, controller=controller)
    seen = [round_ for round_ in done.rounds[:-1] if round_.drafted]
    tested, accepted = sum(round_.tested for round_ in seen), sum(round_.accepted for round_ in seen)
    assert sum(controller._tested) == tested
    assert sum(controller._accepted) == accepted
    assert min(controller._tested) > 0
    assert controller.acceptance(0) == (controller._accepted[0] + 2.8) / (controller._tested[0] + 4)


def test_drafts_are_longer_where_the_draft_agrees_with_the_target():
    models = table_models()

    def mean_length(draft) -> float:
        done = decode(
            "tslt", draft, models["target"], [0], max_new_tokens=120, controller={"name": "wisp", "survival": 0.5}
        )
        return sum(round_.drafted for round_ in done.rounds) / len(done.rounds)

    assert mean_length(models["target"]) > 1.5 * mean_length(models["draft"])


def test_the_controller_is_refused_where_nothing_can_be_turned():
    from sim.core.errors import InputError

    models = table_models()
    with pytest.raises(InputError, match="has none to adjust"):
        decode("outcome_cache", models["draft"], models["target"], [0], controller="wisp")
