"""Every mutant still fits the code: its line is there, once, and the tests that it names exist."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS
from tests.structure.test_layers import LAYERS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code(mutant: Mutant):
    original = (ROOT / mutant.path).read_text(encoding="utf-8")
    assert mutant.apply(original) != original
    assert all((ROOT / test.split("::")[0]).exists() for test in mutant.tests)


def test_there_are_many_over_all_packages_and_names_are_unique():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60
    top, inner = zip(*(mutant.path.split("/")[:2] for mutant in MUTANTS), strict=True)
    assert set(LAYERS) - {"plotting"} <= {*top, *inner}, "plotting hands a name on"
