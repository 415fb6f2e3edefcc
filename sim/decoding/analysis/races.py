"""Exact distributions of several exponential races on the same noise: what random numbers of one address imply."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from sim.decoding.core.rows import Probabilities

Cone = npt.NDArray[np.float64]  # [d, d], one generator a row

# A generator this close to a hyperplane lies on it: generators have unit sum.
_ON_PLANE = 1e-15


def race_probability(rows: Sequence[Probabilities], winners: Sequence[int]) -> float:
    """Probability that race k, in which token x takes E_x / rows[k][x], is won by winners[k] for every k.

    The exponentials E are common to all races. Given the times u of the d distinct winners, a token y that wins
    nowhere survives with exp(-max_i u_i c_i(y)), c_i(y) = row(y) / row(winner i). What is left is the integral of
    exp(-S(u)) over a cone, S piecewise linear: for one winner 1 / sum_y max_k, for two a sum over the segments
    between breakpoints, for more a sum over simplicial cones on which S is linear.

    Args:
        rows: Probabilities [vocab_size] per race.
        winners: Token that wins each race.
    """
    for row, winner in zip(rows, winners, strict=True):
        if row[winner] <= 0:
            return 0.0
    distinct = list(dict.fromkeys(winners))
    slopes = np.array(
        [
            np.max([row / row[w] for row, winner in zip(rows, winners, strict=True) if winner == w], axis=0)
            for w in distinct
        ]
    )
    if len(distinct) == 1:
        return float(1.0 / slopes.sum())
    among_winners = slopes[:, distinct]
    others = np.delete(slopes, distinct, axis=1)
    if len(distinct) == 2:
        return _two_winners(among_winners, others)
    return many_winners(among_winners, others)


def _two_winners(among_winners: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> float:
    """The integral in the plane, directions written (1 - s, s): S is linear between breakpoints of s."""
    first, last = among_winners[0, 1], 1.0 / among_winners[1, 0] if among_winners[1, 0] > 0 else np.inf
    low, high = first / (1 + first), last / (1 + last) if np.isfinite(last) else 1.0
    if low >= high:
        return 0.0
    kinked = others[:, others.sum(axis=0) > 0]
    breaks = kinked[0] / (kinked[0] + kinked[1])
    inner = np.sort(breaks[(breaks > low) & (breaks < high)])
    s = np.concatenate([[low], inner, [high]])
    exponent = 1.0 + np.maximum(np.outer(1 - s, others[0]), np.outer(s, others[1])).sum(axis=1)
    return float((np.diff(s) / (exponent[1:] * exponent[:-1])).sum())


def many_winners(among_winners: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> float:
    """The integral in any dimension, by cutting the cone along every hyperplane at which S has a kink.

    Args:
        among_winners: Slope of winner i at winner j, [d, d].
        others: Slope of winner i at every token that wins nowhere, [d, num_others].
    """
    d = len(among_winners)
    cones: list[Cone] = [np.eye(d)]
    for i in range(d):
        for j in range(d):
            if i != j:
                normal = np.zeros(d)
                normal[j], normal[i] = 1.0, -among_winners[i, j]
                cones = [part for cone in cones for part in cut(cone, normal)[0]]
    for token in range(others.shape[1]):
        for i, j in combinations(range(d), 2):
            normal = np.zeros(d)
            normal[i], normal[j] = others[i, token], -others[j, token]
            if normal.any():
                cones = [part for cone in cones for side in cut(cone, normal) for part in side]
    total = 0.0
    for cone in cones:
        exponent = cone.sum(axis=1) + np.max(cone[:, :, None] * others[None], axis=1).sum(axis=1)
        total += abs(float(np.linalg.det(cone))) / float(exponent.prod())
    return total


def cut(cone: Cone, normal: npt.NDArray[np.float64]) -> tuple[list[Cone], list[Cone]]:
    """Cut a simplicial cone by a hyperplane through the origin into simplicial cones on its two sides.

    While generators lie on both sides, the edge between two of them is split where it meets the plane.
    """
    heights = cone @ normal
    scale = _ON_PLANE * np.abs(normal).max()
    above, below = np.flatnonzero(heights > scale), np.flatnonzero(heights < -scale)
    if not len(below):
        return [cone], []
    if not len(above):
        return [], [cone]
    top, bottom = above[0], below[0]
    middle = cone[top] * -heights[bottom] + cone[bottom] * heights[top]
    middle /= middle.sum()
    upper, lower = cone.copy(), cone.copy()
    upper[bottom], lower[top] = middle, middle
    kept, dropped = cut(upper, normal), cut(lower, normal)
    return kept[0] + dropped[0], kept[1] + dropped[1]
