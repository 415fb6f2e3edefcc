"""The models that a scenario names: which key an error is told of."""

from __future__ import annotations

import pytest

from sim.core.errors import InputError
from sim.inputs.scenario_models import naming_key_at_fault

_PROBLEM = "logits of 'a' are not finite: its weights are damaged"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"draft": "a", "target": "b"}, f"models.draft: {_PROBLEM}"),
        ({"draft": "b", "target": "a"}, f"models.target: {_PROBLEM}"),
        ({"draft": "a", "target": "a"}, f"models.draft and models.target: {_PROBLEM}"),
        ({"draft": "b", "middle": "a", "target": "a"}, f"models.middle and models.target: {_PROBLEM}"),
        ({"draft": "b", "target": "c"}, _PROBLEM),
    ],
)
def test_a_model_that_cannot_be_used_is_told_with_all_its_roles(names: dict[str, str], told: str):
    with pytest.raises(InputError) as error, naming_key_at_fault(names):
        raise InputError(_PROBLEM)
    assert str(error.value) == told


def test_what_is_said_of_two_models_blames_neither_key():
    with pytest.raises(InputError) as error, naming_key_at_fault({"draft": "a", "target": "b"}):
        raise InputError("'a' and 'b' do not fit")
    assert str(error.value) == "'a' and 'b' do not fit"
