"""``specran compare``: paired differences of two results that used the same random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim.core.errors import InputError, choices
from sim.figures.conditions import check_columns, check_numeric
from sim.figures.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

_LABELS = ("variant", "seed", "replication", "device", "request", "round")


def compare(a: pd.DataFrame, b: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Differences B - A of pairs of rows, with 95 % intervals (Student's t).

    Points of a sweep under one seed share their random numbers, so the intervals are over seeds, each one's pairs
    averaged first; where there is no seed, as in the requests of one run, they are over the pairs.

    Rows are paired by everything that both tables say about the condition: axes, variant, seed, replication, device,
    request. What is constant in each table and differs between them is what is being compared, and is not matched;
    seeds always are, since a pair must have used the same random numbers.

    Args:
        a: Requests of a run, or a sweep's table.
        b: The same kind of table.
        metric: Column to compare.

    Returns:
        A row for all pairs, and if an axis or variant varies one per value of those, with columns ``condition``,
        ``pairs``, ``independent`` (seeds, or pairs), ``mean_a``, ``mean_b``, ``difference``, ``difference_low``,
        ``difference_high``, ``ratio``, ``ratio_low``, ``ratio_high``. The ratio is the geometric mean of B / A with the
        interval of its logarithm. ``attrs`` hold ``varied``, the keys that a condition names, which are columns as
        well; ``per``, what is independent; and ``alone``, how many rows of A and of B found no partner.

    Raises:
        InputError: A column that is missing, a sweep beside a run, or no pairs.
    """
    _check_same_kind(a, b)
    for table in (a, b):
        check_columns(table, metric=metric)
        check_numeric(table, metric=metric)
    keys = _pairing_keys(a, b)
    _check_no_key(a, b, metric)
    if not keys:
        raise InputError("nothing to pair rows by: the tables share no axis, seed, device or request")
    pairs = _paired(a, b, metric, keys)
    if pairs.empty:
        raise InputError(f"no rows of the two results belong together; paired by {', '.join(keys)}")
    table = _table_of(pairs, [key for key in keys if "." in key or key == "variant"])
    table.attrs["per"] = "seeds" if "seed" in pairs else "pairs"
    table.attrs["alone"] = tuple(int(side[metric].notna().sum()) - len(pairs) for side in (a, b))
    return table


def _check_same_kind(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Refuse a table of a sweep beside one of requests: their rows mean different things."""
    rows = {"run_id": "a sweep (a row per point)", "request": "a run (a row per request)"}
    kinds = [next((kind for column, kind in rows.items() if column in table), "") for table in (a, b)]
    if all(kinds) and kinds[0] != kinds[1]:
        raise InputError(
            f"A is {kinds[0]}, B is {kinds[1]}: compare two sweeps, two runs, or two sides of one sweep; "
            "a point of a sweep, SWEEP/points/RUN_ID, is a run as well"
        )


def _check_no_key(a: pd.DataFrame, b: pd.DataFrame, metric: str) -> None:
    """Refuse to compare what rows are paired by, which is equal in both or the question itself."""
    if "." not in metric and metric not in _LABELS:
        return
    valid = [
        str(column)
        for column in a
        if column in b
        and "." not in str(column)
        and column not in _LABELS
        and all(side[column].dtype.kind in "iuf" for side in (a, b))
    ]
    raise InputError(
        f"--metric: {metric!r} is a key of the rows, by which they are paired; valid: {choices(metric, valid)}"
    )


def _pairing_keys(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    shared = [str(column) for column in a if column in b.columns and ("." in str(column) or column in _LABELS)]
    return [key for key in shared if not _differs_as_a_whole(a, b, key)]


def _differs_as_a_whole(a: pd.DataFrame, b: pd.DataFrame, key: str) -> bool:
    """Whether a key has one value in A and another one in B, so that it is what is compared."""
    first, second = a[key].unique(), b[key].unique()
    return key != "seed" and len(first) == len(second) == 1 and first[0] != second[0]


def _paired(a: pd.DataFrame, b: pd.DataFrame, metric: str, keys: list[str]) -> pd.DataFrame:
    sides = []
    for name, table in (("a", a), ("b", b)):
        side = table[[*keys, metric]].rename(columns={metric: name}).dropna(subset=[name])
        if side.duplicated(keys).any():
            why = f"rows of {name.upper()} are not distinguished by {', '.join(keys)}: pairs are not unique"
            only = _only(a, b)
            raise InputError(f"A and B vary different keys ({only}); {why}" if only else why)
        sides.append(side)
    for key in keys:
        if sides[0][key].dtype != sides[1][key].dtype and not all(_is_number(side[key]) for side in sides):
            # One table has numbers, the other names, some of which may be such numbers.
            sides = [side.assign(**{key: side[key].map(_name_of)}) for side in sides]
    return sides[0].merge(sides[1], on=keys, how="inner")


def _name_of(value: object) -> str:
    """Numbers of equal size alike, however they are written."""
    try:
        return repr(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)


def _is_number(column: pd.Series) -> bool:
    return column.dtype.kind in "biuf"


def _only(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Which keys one table has and the other lacks, in words."""
    texts = []
    for name, table, other in (("A", a, b), ("B", b, a)):
        if keys := [str(column) for column in table if "." in str(column) and column not in other]:
            texts.append(f"{', '.join(keys)} in {name} alone")
    return "; ".join(texts)


def _table_of(pairs: pd.DataFrame, conditions: list[str]) -> pd.DataFrame:
    import pandas as pd

    varied = [key for key in conditions if pairs[key].nunique() > 1]
    rows = [{**dict.fromkeys(varied), "condition": "all", **_differences(pairs)}]
    for key, group in pairs.groupby(varied, sort=False) if varied else ():
        named = dict(zip(varied, key, strict=True))
        label = ", ".join(f"{name}={value}" for name, value in named.items())
        rows.append({**named, "condition": label, **_differences(group)})
    table = pd.DataFrame(rows)
    table[varied] = table[varied].astype(object)
    table.attrs["varied"] = varied
    return table


def _differences(pairs: pd.DataFrame) -> dict[str, float]:
    first, second = pairs["a"].to_numpy(dtype=float), pairs["b"].to_numpy(dtype=float)
    difference, half, count = mean_interval(_per_seed(pairs, second - first))
    ratio = log_half = float("nan")
    if (first > 0).all() and (second > 0).all():
        log_ratio, log_half, _ = mean_interval(_per_seed(pairs, np.log(second / first)))
        ratio = float(np.exp(log_ratio))
    return {
        "pairs": len(pairs),
        "independent": count,
        "mean_a": float(first.mean()),
        "mean_b": float(second.mean()),
        "difference": difference,
        "difference_low": difference - half,
        "difference_high": difference + half,
        "ratio": ratio,
        "ratio_low": ratio * float(np.exp(-log_half)),
        "ratio_high": ratio * float(np.exp(log_half)),
    }


def _per_seed(pairs: pd.DataFrame, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means of the values of each seed; the values themselves where there is no seed."""
    if "seed" not in pairs:
        return values
    return pairs.assign(value=values).groupby("seed")["value"].mean().to_numpy(dtype=float)
