"""From tables on disk to the conditions that a figure compares: what was varied, and each condition's mean values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, choices
from sim.figures.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

RESULT = "result"


def join(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All tables as one; several are told apart by a column ``result``, named by ``attrs["name"]`` or numbered."""
    import pandas as pd

    if not tables:
        raise InputError("no tables to draw")
    if len(tables) == 1:
        return tables[0]
    names = [str(table.attrs.get("name", f"result {place}")) for place, table in enumerate(tables, 1)]
    return pd.concat([table.assign(**{RESULT: name}) for name, table in zip(names, tables, strict=True)])


def varied_columns(table: pd.DataFrame) -> list[str]:
    """Columns that say under which condition a row was made, and that differ: dotted keys, variant, result."""
    labels = [name for name in map(str, table) if "." in name or name in ("variant", RESULT)]
    return [column for column in labels if table[column].nunique() > 1]


def check_columns(table: pd.DataFrame, **named: str | None) -> None:
    """Raise InputError for a column that the table lacks.

    Args:
        table: Where it is looked for.
        named: Column by the option that names it; None is passed over.
    """
    for option, column in named.items():
        if column is not None and column not in table:
            raise InputError(f"--{option}: {choices('column', column, table.columns)}")


def check_numeric(table: pd.DataFrame, **named: str) -> None:
    """Raise InputError for a column that does not hold numbers."""
    import pandas as pd

    for option, column in named.items():
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise InputError(f"--{option}: column {column!r} does not hold numbers")


def values_of(table: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column, numbers in ascending order, names in the table's order."""
    import pandas as pd

    values = list(table[column].dropna().unique())
    return sorted(values) if pd.api.types.is_numeric_dtype(table[column]) else values


def spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the values, evenly spread, first and last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def means_by(table: pd.DataFrame, groups: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """A row per condition with the mean of each column over replications, ``<column>_half`` and ``n``.

    Without groups each row is a condition of its own.
    """
    import pandas as pd

    if not groups:
        alone = {f"{column}_half": float("nan") for column in columns}
        return table.assign(**alone, n=1)
    rows = []
    for key, group in table.groupby(list(groups), sort=False, dropna=False):
        row: dict[str, Any] = dict(zip(groups, key, strict=True))
        for column in columns:
            mean, half, count = mean_interval(group[column])
            row[column], row[f"{column}_half"], row["n"] = mean, half, count
        rows.append(row)
    return pd.DataFrame(rows)
