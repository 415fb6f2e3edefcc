"""Which column of a table is drawn how: axes, series, panels; and whether what was asked for can be drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sim.core.errors import InputError
from sim.figures.conditions import check_columns, check_numeric, free_columns, is_numeric, varied_columns
from sim.figures.labels import name_of

if TYPE_CHECKING:
    import pandas as pd

_MAX_NAMES = 24
# Columns that number rows: values of one are means over all rows that share it, as of a varied key.
_NUMBERING = ("replication", "seed", "device", "request", "round", "slot")
_SCHEMES = ("variant", "protocol.name", "result")
_DEFAULT_METRIC = "e2e_mean_s"


@dataclass(frozen=True)
class Roles:
    """Which column is drawn how; ``metric`` is what a heat map compares."""

    x: str
    y: str
    by: str | None
    facet: str | None
    metric: str = ""


def find_roles(table: pd.DataFrame, x: str | None, y: str, by: str | None, facet: str | None, kind: str) -> Roles:
    """Columns for the axes, lines and panels of a figure, those left out chosen from what a table varies."""
    if x is None:
        varied = varied_columns(table)
        numeric = [column for column in varied if is_numeric(table, column)]
        if not varied:
            raise InputError(f"--x: nothing was varied here; name a column of {', '.join(map(str, table.columns))}")
        x = next((column for column in [*numeric, *varied] if not _lacking(table, column)), varied[0])
    check_numeric(table, y=y)
    if kind == "pareto":
        check_numeric(table, x=x)
    elif not is_numeric(table, x) and table[x].nunique() > _MAX_NAMES:
        raise InputError(f"--x: {x!r} has {table[x].nunique()} values; at most {_MAX_NAMES} names fit on an axis")
    roles = Roles(x, y, by, facet)
    if by is None and (rest := _rest(table, roles)):
        roles = replace(roles, by=rest[0])
    if facet is None and kind == "line" and has_curves(table, x) and (rest := _rest(table, roles)):
        roles = replace(roles, facet=rest[0])
    return roles


def _rest(table: pd.DataFrame, roles: Roles) -> list[str]:
    """What was varied and is not shown yet; what distinguishes schemes makes the series, before axes do."""
    shown = shown_columns(table, roles)
    free = free_columns(table, shown)
    # Results stay apart even where no two have a value of ``x`` in common.
    if "result" in varied_columns(table) and "result" not in [*shown, *free]:
        free.append("result")
    rest = [column for column in free if column != roles.y and not _lacking(table, column)]
    return sorted(rest, key=lambda column: column not in ("variant", "result"))


def shown_columns(table: pd.DataFrame, roles: Roles) -> list[str]:
    """Columns whose values distinguish the figure's rows."""
    x = [roles.x] if has_curves(table, roles.x) else []
    return [*x, *(column for column in (roles.by, roles.facet) if column is not None)]


def has_curves(table: pd.DataFrame, x: str) -> bool:
    """Whether values of ``x`` are conditions, over which means are drawn, rather than figures of their own."""
    return x in varied_columns(table) or x in _NUMBERING or not is_numeric(table, x)


def off_axis(table: pd.DataFrame, roles: Roles, log_x: bool | None, log_y: bool | None) -> list[str]:
    """What a logarithmic axis that was asked for cannot show."""
    asked = [column for column, log in ((roles.x, log_x), (roles.y, log_y)) if log]
    return [f"{name_of(column).lower()} of 0 is off the axis" for column in asked if (table[column] <= 0).any()]


def _lacking(table: pd.DataFrame, column: str) -> list[str]:
    """Results that have no value of a column."""
    if "result" not in table:
        return []
    return [str(name) for name, rows in table.groupby("result", sort=False) if rows[column].isna().all()]


def check_results(table: pd.DataFrame, roles: Roles) -> None:
    """Refuse columns in which the table has no results."""
    named = (("x", roles.x), ("y", roles.y), ("y", roles.metric), ("by", roles.by), ("facet", roles.facet))
    for option, column in named:
        if column and (lacking := _lacking(table, column)):
            raise InputError(f"--{option}: column {column!r} is empty in {', '.join(lacking)}")


def check_logs(table: pd.DataFrame, roles: Roles, log_x: bool | None, log_y: bool | None) -> None:
    """Refuse a logarithmic axis without positive numbers."""
    for option, column, log in (("log-x", roles.x, log_x), ("log-y", roles.y, log_y)):
        if log and not (is_numeric(table, column) and (table[column] > 0).any()):
            raise InputError(f"--{option}: column {column!r} holds no positive numbers")


def heatmap_roles(table: pd.DataFrame, x: str | None, y: str, by: str | None, facet: str | None) -> Roles:
    """Columns of a heat map: two that are varied, and the metric that colours."""
    varied = varied_columns(table)
    metric = y
    if y in varied:
        check_columns(table, y=_DEFAULT_METRIC)
        metric = _DEFAULT_METRIC
    check_numeric(table, y=metric)
    schemes = [column for column in _SCHEMES if column in varied and column != facet]
    if by is None and schemes:
        by = schemes[0]
    axes = [column for column in varied if column not in (by, facet, *schemes)]
    first = x if x is not None else next(iter(axes), None)
    second = y if y in varied else next((column for column in axes if column != first), None)
    if first is None or second is None:
        raise InputError(
            f"a heat map needs two varied keys besides the series; varied here: {', '.join(varied) or 'none'}"
        )
    return Roles(first, second, by, facet, metric)
