"""A slot's PRBs among queues of devices whose power does not reach for all that they could use.

Up to its power headroom (TS 38.213 7.7.1) each PRB brings a device as many bits as the first. Beyond it the power is
spread thinner, and each further PRB brings less: of h PRBs at an SINR of x, w > h of them carry w log2(1 + x h / w).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
RATIOS = np.array([1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 280])
"""Widths over the headroom between which a further PRB counts the same."""
_BINS_PER_BIT, _MAX_BITS = 8, 12


@cache
def spread_gains(max_capacity: float) -> Array:
    """What a PRB beyond the headroom brings, by that of one within: [num_bins, num_steps] by capacity and width.

    Args:
        max_capacity: What the highest MCS carries [bit per resource element].
    """
    sinr = 2 ** ((np.arange(_MAX_BITS * _BINS_PER_BIT)[:, None] + 0.5) / _BINS_PER_BIT) - 1
    carried = RATIOS * np.minimum(np.log2(1 + sinr / RATIOS), max_capacity)
    gains = np.diff(carried, axis=1) / np.diff(RATIOS) / carried[:, :1]
    # Falling to the last bit, too: who goes step by step and who sorts all steps come to the same.
    return np.asarray(np.minimum.accumulate(np.minimum(gains, 1.0), axis=1))


def gain_rows(capacity: Array) -> Indices:
    """Rows of `spread_gains` for mean capacities of a layer at the headroom's width, [num_queues]."""
    return np.asarray(np.minimum(capacity * _BINS_PER_BIT, _MAX_BITS * _BINS_PER_BIT - 1).astype(np.int64))


def level_of(needed: Indices, num_prb: int) -> int:
    """PRBs up to which all queues can be served alike: the greatest level with sum(min(needed, level)) <= num_prb."""
    levels = np.minimum(needed, np.arange(1, num_prb + 1)[:, None]).sum(axis=1)
    return int(np.searchsorted(levels, num_prb, side="right"))


def share_evenly(needed: Indices, num_prb: int) -> Indices:
    """PRBs of each queue if all are to have as many, as far as they can use them; by falling priority. [num_queues]."""
    even = np.minimum(needed, level_of(needed, num_prb))
    # What the level leaves over goes, PRB by PRB, to the first who can use it.
    more = (even < needed).nonzero()[0][: num_prb - int(even.sum())]
    even[more] += 1
    return even


def share_in_order(needed: Indices, limit: Indices, num_prb: int) -> Indices:
    """PRBs that each queue may be given where one comes before the other: its headroom, and no less than an even share.

    Args:
        needed: PRBs that each can use, by falling priority, [num_queues].
        limit: Its headroom, [num_queues].
        num_prb: PRBs that are free.

    Returns:
        [num_queues]; their sum may be more than there are, of which the first then have theirs.
    """
    return np.maximum(np.minimum(needed, limit), share_evenly(needed, num_prb))


def share_by_gain(needed: Indices, limit: Indices, value: Array, gains: Array, num_prb: int) -> Indices:
    """PRBs of each queue if each PRB goes where it is worth most.

    Args:
        needed: PRBs that each can use, by falling priority, [num_queues].
        limit: Its headroom, [num_queues].
        value: Worth of a PRB within it, such as the rate over the average one, [num_queues].
        gains: What those beyond bring, by that, [num_queues, num_steps].
        num_prb: PRBs that are free.

    Returns:
        [num_queues], no more than there are in all.
    """
    ends = np.minimum(needed[:, None], np.maximum(limit[:, None] * RATIOS, 0).astype(np.int64))
    sizes = np.diff(ends, axis=1, prepend=0)
    worth = np.empty(sizes.shape)
    worth[:, 0] = value
    np.multiply(value[:, None], gains, out=worth[:, 1:])
    order = (-worth).ravel().argsort(kind="stable")
    sorted_sizes = sizes.ravel()[order]
    before = sorted_sizes.cumsum() - sorted_sizes
    given = np.empty_like(sorted_sizes)
    given[order] = np.clip(num_prb - before, 0, sorted_sizes)
    return np.asarray(given.reshape(sizes.shape).sum(axis=1))
