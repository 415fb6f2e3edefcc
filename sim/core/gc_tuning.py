"""Python's garbage collector, tuned where repeated full collections are a waste."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Allocations between two looks at the young objects, instead of 700.
_RELAXED_THRESHOLD = 50_000


def relax_gc() -> None:
    """Collect seldom from now on, as suits a process whose objects mostly stay."""
    gc.set_threshold(_RELAXED_THRESHOLD, *gc.get_threshold()[1:])


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Let what is alive now out of collections, and collect seldom, while many objects are made that stay.

    A recorder makes millions of records that are all kept until their requests end: with the collector's defaults a
    tenth of its time goes into walking them.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    relax_gc()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
