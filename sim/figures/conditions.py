"""From tables on disk to the conditions that a figure compares: what was varied, and each condition's mean values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.core.errors import InputError, unknown_name_message
from sim.figures.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd

RESULT = "result"


def join(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All tables as one; several are distinguished by a column ``result``, named by ``attrs["name"]`` or numbered."""
    import pandas as pd

    if not tables:
        raise InputError("no tables to draw")
    if len(tables) == 1:
        return tables[0]
    names = [str(table.attrs.get("name", f"result {place}")) for place, table in enumerate(tables, 1)]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    return pd.concat([table.assign(**{RESULT: name}) for name, table in zip(names, tables, strict=True)])


def varied_columns(table: pd.DataFrame) -> list[str]:
    """Columns that say under which condition a row was made, and that differ: dotted keys, variant, result."""
    labels = [name for name in map(str, table) if "." in name or name in ("variant", RESULT)]
    return [column for column in labels if table[column].nunique() > 1]


def free_columns(table: pd.DataFrame, shown: Sequence[str]) -> list[str]:
    """Varied columns that still vary where all shown ones are held; those varied along with a shown one do not."""
    others = [column for column in varied_columns(table) if column not in shown]
    if not shown:
        return others
    groups = table.groupby(list(dict.fromkeys(shown)), dropna=False, observed=True)
    return [column for column in others if groups[column].nunique().max() > 1]


def hold(table: pd.DataFrame, shown: Sequence[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows at the middle value of whatever a figure does not show, and those values by column.

    Conditions are never averaged as if they were replications. Results that do not vary a column keep their rows.
    """
    held: dict[str, Any] = {}
    while free := free_columns(table, shown):
        column = free[0]
        values = values_of(table, column)
        held[column] = values[len(values) // 2]
        table = table[(table[column] == held[column]) | table[column].isna() | (table[column] == "")]
    return table, held


def only(table: pd.DataFrame, where: Mapping[str, Sequence[str]]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows with one of the values asked for in each of these columns, and those columns that have one value then.

    Several values are given one by one or with commas between them.

    Raises:
        InputError: An unknown column, or a value that no row has.
    """
    fixed: dict[str, Any] = {}
    for column, asked in where.items():
        if column not in table:
            raise InputError(f"--where: {unknown_name_message('column', column, table.columns)}")
        known = {text_of(value): value for value in values_of(table, column)}
        texts = [part for text in asked for part in _values_in(text, known)]
        for text in texts:
            if text_of(text) not in known:
                raise InputError(f"--where {column}: {unknown_name_message('value', text, known)}")
        chosen = [known[text_of(text)] for text in texts]
        table = table[table[column].isin(chosen)]
        if len(chosen) == 1 and len(known) > 1:
            fixed[column] = chosen[0]
    return table, fixed


def _values_in(text: str, known: Mapping[str, Any]) -> list[str]:
    """Values that a text names: itself, or its parts between commas where no value is called like the whole."""
    return [text] if text_of(text) in known or "," not in text else [part.strip() for part in text.split(",")]


def text_of(value: Any) -> str:
    """What a value is called: numbers of equal size alike, however they are written."""
    try:
        return f"{float(value):g}" if not isinstance(value, bool) else str(value)
    except (TypeError, ValueError):
        return str(value)


def check_columns(table: pd.DataFrame, **named: str | None) -> None:
    """Raise InputError for a column that the table lacks.

    Args:
        table: Where it is looked for.
        named: Column by the option that names it; None is passed over.
    """
    for option, column in named.items():
        if column is not None and column not in table:
            raise InputError(f"--{option}: {unknown_name_message('column', column, table.columns)}")


def is_numeric(table: pd.DataFrame, column: str) -> bool:
    """Whether a column holds numbers."""
    import pandas as pd

    return pd.api.types.is_numeric_dtype(table[column])


def check_numeric(table: pd.DataFrame, **named: str) -> None:
    """Raise InputError for a column that does not hold numbers, or none at all."""
    for option, column in named.items():
        if not is_numeric(table, column):
            raise InputError(f"--{option}: column {column!r} does not hold numbers")
        if table[column].isna().all():
            raise InputError(f"--{option}: column {column!r} is empty here")


def values_of(table: pd.DataFrame, column: str) -> list[Any]:
    """The values of a column, numbers in ascending order, names in the table's order."""
    values = list(table[column].dropna().unique())
    return sorted(values) if is_numeric(table, column) else values


def spread(values: Sequence[Any], max_values: int) -> list[Any]:
    """At most so many of the values, evenly spread, first and last among them."""
    if len(values) <= max_values:
        return list(values)
    return [values[round(i * (len(values) - 1) / (max_values - 1))] for i in range(max_values)]


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
