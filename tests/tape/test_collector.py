"""The collector's settings while a recorder makes what stays: put back afterwards, whatever happens inside."""

from __future__ import annotations

import gc

import pytest

from sim.core.gc_tuning import relaxed_gc


def test_the_collector_is_as_before_afterwards():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(KeyError), relaxed_gc():
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > frozen
        raise KeyError
    assert gc.get_threshold() == before
    assert gc.isenabled()
