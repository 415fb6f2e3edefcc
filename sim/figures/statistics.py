"""Means over replications and their 95 % confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd


def mean_interval(values: npt.ArrayLike) -> tuple[float, float, int]:
    """Mean, half width of its 95 % interval (Student's t), and how many values there are.

    Not-a-number is left out; below two values there is no interval and its half width is not a number.
    """
    from scipy.special import stdtrit

    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    count = len(finite)
    if count == 0:
        return float("nan"), float("nan"), 0
    mean = float(finite.mean())
    if count == 1:
        return mean, float("nan"), 1
    half = float(stdtrit(count - 1, 0.975)) * float(finite.std(ddof=1)) / float(np.sqrt(count))
    return mean, half, count


def over_replications(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Columns x, mean, half and n: a row per value of ``x`` in ascending order."""
    import pandas as pd

    rows = [(value, *mean_interval(group[y])) for value, group in table.groupby(x, sort=True)]
    return pd.DataFrame(rows, columns=["x", "mean", "half", "n"])
