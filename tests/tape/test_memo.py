"""Remembered forwards: the same rows and the same charges, nothing run twice, bounded memory."""

from __future__ import annotations

import numpy as np

from sim.models.interface import Forward
from sim.models.tabular import TabularModel
from sim.tape.memo import RememberingModel

FORWARDS = [
    Forward((0, "edge", "target"), [1, 2, 3]),
    Forward((0, "edge", "target"), [1, 2, 3], (4, 5)),
    Forward((0, "edge", "target"), [1, 2, 3, 4], (6,), None, 1),
    Forward((0, "edge", "target"), [1, 2, 3], (4, 4), (-1, -1)),
]


def test_rows_and_charges_are_those_of_the_model():
    plain, model = TabularModel.random(2, 16), RememberingModel(TabularModel.random(2, 16))
    for _ in range(2):
        for forward in FORWARDS:
            assert model.new_tokens(forward) == plain.new_tokens(forward)
            np.testing.assert_array_equal(model.forward([forward])[0], plain.forward([forward])[0])
        for each in (plain, model):
            each.close_request(0)
    assert (model.num_run, model.num_remembered) == (len(FORWARDS), len(FORWARDS))


def test_memory_is_bounded():
    model = RememberingModel(TabularModel.random(2, 16), most_bytes=3 * 16 * 8)
    for token in range(10):
        model.forward([Forward((token, "edge", "target"), [token])])
        assert model._bytes <= model.most_bytes
    model.forward([Forward((10, "edge", "target"), [9])])
    model.forward([Forward((11, "edge", "target"), [0])])
    assert (model.num_run, model.num_remembered) == (11, 1)
