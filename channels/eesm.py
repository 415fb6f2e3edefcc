"""Exponential effective SINR mapping: one SINR per transport block from its PRB groups, by a stable log-sum-exp."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import exp, log

import numpy as np
import numpy.typing as npt

from channels._tables import load_table
from channels._validation import require_choice, require_positive
from channels.nr.mcs import MCS_TABLES, mcs_table

Array = npt.NDArray[np.float64]


@cache
def eesm_betas(table_index: int) -> Array:
    """Beta of each MCS of a table. [num_mcs].

    Tables 1 and 2 are calibrated values. Table 3 has none published: its entries take the beta of table 1 at the same
    modulation order and code rate (all 16QAM and 64QAM entries and QPSK from R = 120/1024 on have such a twin); QPSK
    below that rate takes table 1's lowest, towards which the QPSK betas flatten.
    """
    require_choice("mcs_table", table_index, MCS_TABLES)
    calibrated = load_table("eesm_beta")["tables"]
    if str(table_index) in calibrated:
        betas = np.array(calibrated[str(table_index)], dtype=np.float64)
    else:
        betas = _betas_by_rate(table_index, np.array(calibrated["1"], dtype=np.float64))
    betas.flags.writeable = False
    return betas


def _betas_by_rate(table_index: int, table_one_betas: Array) -> Array:
    source, target = mcs_table(1), mcs_table(table_index)
    betas = np.empty(len(target))
    for order in np.unique(target.modulation_order):
        known, wanted = source.modulation_order == order, target.modulation_order == order
        betas[wanted] = np.interp(target.code_rate[wanted], source.code_rate[known], table_one_betas[known])
    return betas


def effective_sinr(sinr: npt.ArrayLike, beta: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Array:
    """-beta ln(sum_g w_g exp(-sinr_g / beta) / sum_g w_g) over the last axis, linear. [..., num_groups] -> [...].

    Args:
        sinr: linear SINR per PRB group, >= 0, [..., num_groups].
        beta: scalar or [...], see `eesm_betas`.
        weights: resource elements (or PRBs) of each group in the block, 0 where it is not allocated; None weighs all
            alike. A block without any group has effective SINR 0.

    Notes: the smallest used SINR is factored out, so neither high SINR nor small beta underflows; the result lies
    between the smallest and the arithmetic mean of the SINRs used.
    """
    values = np.asarray(sinr, dtype=np.float64)
    scale = np.asarray(beta, dtype=np.float64)
    if not np.minimum.reduce(scale, axis=None, initial=np.inf) > 0:
        require_positive("beta", scale)
    if weights is None:
        if not values.shape[-1]:
            return np.zeros(np.broadcast_shapes(values.shape[:-1], scale.shape))
        smallest = values.min(axis=-1)
        spread = np.exp((smallest[..., None] - values) / scale[..., None]).mean(axis=-1)
        return np.asarray(smallest - scale * np.log(spread))
    share = np.asarray(weights, dtype=np.float64)
    total = np.add.reduce(share, axis=-1)
    # An unused group counts as one of endless SINR, whose share of the sum is nothing.
    exponent = np.where(share > 0, values, np.inf)
    floor = np.minimum.reduce(exponent, axis=-1, initial=np.inf)
    is_empty = total <= 0
    some_empty = np.logical_or.reduce(is_empty, axis=None)
    if some_empty:
        floor, total = np.where(is_empty, 0.0, floor), np.where(is_empty, 1.0, total)
    exponent = (floor[..., None] - exponent) / scale[..., None]
    spread = np.vecdot(np.exp(exponent, out=exponent), share) / total
    if some_empty:
        spread = np.where(is_empty, 1.0, spread)
    return np.asarray(floor - scale * np.log(spread))


def block_effective_sinr(sinr: Sequence[float], beta: float, weights: Sequence[float]) -> float:
    """`effective_sinr` of one block, in plain numbers: over its few groups arrays cost more than they save.

    Args:
        sinr: linear SINR per PRB group, >= 0, [num_groups].
        beta: > 0.
        weights: as in `effective_sinr`, [num_groups].
    """
    used = [(value, weight) for value, weight in zip(sinr, weights, strict=True) if weight]
    if not used:
        return 0.0
    smallest, total, spread = min(used)[0], 0.0, 0.0
    for value, weight in used:
        total += weight
        spread += weight * exp((smallest - value) / beta)
    return smallest - beta * log(spread / total)


def effective_sinr_db(sinr_db: npt.ArrayLike, beta: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Array:
    """`effective_sinr` in decibels at both ends; -inf for a block without resources."""
    linear = effective_sinr(10 ** (np.asarray(sinr_db, dtype=np.float64) / 10), beta, weights)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(linear))
