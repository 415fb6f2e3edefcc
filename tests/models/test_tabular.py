"""Tabular models say exactly what their tables hold, in any block shape, and without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sim.models.interface import ForwardPass
from sim.models.tabular import TabularModel


def test_table_rows_come_back_as_log_probabilities():
    model = TabularModel.from_table({(0,): [0.5, 0.5, 0.0], (0, 1): [1.0, 0.0, 0.0]}, default=[0.2, 0.3, 0.5])
    rows = model.forward([ForwardPass("a", [0], (1, 2), (-1, -1))])[0]
    assert rows.dtype == np.float64
    np.testing.assert_allclose(np.exp(rows), [[0.5, 0.5, 0.0], [1, 0, 0], [0.2, 0.3, 0.5]], atol=1e-15)
    assert rows[0, 2] == -np.inf


def test_tree_rows_follow_their_paths():
    model = TabularModel.random(3, 5)
    forward = ForwardPass("a", [1, 2], (3, 4, 0, 1), (-1, 0, 0, -1), first_row=1)
    rows = model.forward([forward])[0]
    paths = [[1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 0], [1, 2, 1]]
    np.testing.assert_array_equal(rows, [np.log(model.row(path)) for path in paths])


def test_random_table_is_a_function_of_seed_and_text():
    one, same, other = (TabularModel.random(seed, 6) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.row([4, 2]), same.row([4, 2]))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert not np.allclose(one.row([4, 2]), other.row([4, 2]))
    assert not np.allclose(one.row([4, 2]), one.row([2, 4]))


def test_zeros_and_ties_occur_and_rows_stay_distributions():
    model = TabularModel.random(5, 4, zeros=0.9, ties=0.5)
    rows = np.array([model.row([token, other]) for token in range(20) for other in range(20)])
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-12)
    assert (rows == 0).mean() > 0.5
    tied = TabularModel.random(5, 8, ties=1.0)
    assert all(len(set(tied.row([token]))) < 8 for token in range(20))


def test_near_model_agrees_more_than_a_stranger():
    target = TabularModel.random(1, 8)
    near, stranger = TabularModel.random(2, 8, near=target, nearness=0.7), TabularModel.random(2, 8)

    def gap(draft):
        return np.mean([np.abs(draft.row([token]) - target.row([token])).sum() for token in range(40)])

    assert gap(near) == pytest.approx(0.3 * gap(stranger), rel=1e-9)


def test_markov_chain_looks_back_as_far_as_its_order():
    rng = np.random.default_rng(0)
    transitions = rng.dirichlet(np.ones(3), size=(3, 3))
    model = TabularModel.markov(transitions)
    np.testing.assert_array_equal(model.row([2, 1, 0, 2]), transitions[0, 2])
    np.testing.assert_array_equal(model.row([2]), transitions[0, 2])
    memoryless = TabularModel.markov([0.25, 0.75])
    np.testing.assert_array_equal(memoryless.row([1, 1, 0]), [0.25, 0.75])


@pytest.mark.parametrize(
    "make",
    [
        lambda: TabularModel.from_table({(0,): [0.5, 0.5], (1,): [1.0]}),
        lambda: TabularModel.from_table({(0,): [0.5, 0.5]}).row([1]),
        lambda: TabularModel.from_table({(0,): [0.5, 0.6]}).row([0]),
        lambda: TabularModel.from_table({(0,): [1.5, -0.5]}).row([0]),
        lambda: TabularModel.markov(np.ones((2, 3))),
        lambda: TabularModel.random(1, 3, zeros=1.5),
    ],
)
def test_senseless_tables_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_neither_interface_nor_tables_import_torch():
    code = "import sys, sim.models, sim.models.interface, sim.models.tabular; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
