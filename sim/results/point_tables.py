"""The tables of all points of a sweep, one below the other in one Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim.core.addresses import run_id
from sim.core.files import sync_folder
from sim.core.unfinished import unfinished_file
from sim.results.point_log import SavedPoint

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of one row group: what is in memory at once.
_GROUP_ROWS = 1 << 16


def write_point_tables(path: Path, name: str, points: Sequence[SavedPoint]) -> None:
    """Write one table of all points, each row with its run's id; whole or not at all.

    Args:
        path: The Parquet file.
        name: Which table.
        points: In order, each with that table.

    Raises:
        OSError: It cannot be written.
        RunError: Tables are not what their points say of them.
    """
    try:
        _write_tables(path, name, points)
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise points[0].damaged(error) from error


def _write_tables(path: Path, name: str, points: Sequence[SavedPoint]) -> None:
    import pyarrow.parquet as pq

    schema = _common_schema([point.tables[name][1] for point in points])
    with unfinished_file(path.parent) as (temporary, file):
        with pq.ParquetWriter(file, schema) as writer:
            for group in _groups(name, points):
                writer.write_table(_as_one(group, schema))
        file.flush()
        os.fsync(file.fileno())
        os.replace(temporary, path)
    sync_folder(path.parent)


def _groups(name: str, points: Sequence[SavedPoint]) -> Iterator[list[tuple[str, pa.Table]]]:
    group: list[tuple[str, pa.Table]] = []
    count = 0
    for point in points:
        table = point.table(name)
        group.append((run_id(point.address), table))
        count += table.num_rows
        if count >= _GROUP_ROWS:
            yield group
            group, count = [], 0
    if group:
        yield group


def _common_schema(texts: Sequence[str]) -> pa.Schema:
    """A column for each that any point has, of a type that holds the values of all."""
    import pyarrow as pa

    types: dict[str, set[str]] = {}
    for text in dict.fromkeys(texts):
        for column in text.split(",") if text else ():
            column_name, _, kind = column.rpartition(":")
            types.setdefault(column_name, set()).add(kind)
    columns = [("run_id", pa.string())]
    for column_name, kinds in types.items():
        known = kinds - {"null"}
        if len(known) > 1:
            known = {"double"} if known <= {"int64", "double"} else {"string"}
        columns.append((column_name, pa.type_for_alias(known.pop()) if known else pa.null()))
    return pa.schema(columns)


def _as_one(group: list[tuple[str, pa.Table]], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    texts = [field.name for field in schema if field.type == pa.string()]
    rows = []
    for own_id, table in group:
        own = table.add_column(0, "run_id", pa.array([own_id] * table.num_rows, pa.string()))
        for name in texts[1:]:
            place = own.schema.get_field_index(name)
            if place >= 0:
                own = own.set_column(place, name, own.column(place).cast(pa.string()))
        rows.append(own)
    whole = pa.concat_tables(rows, promote_options="permissive").combine_chunks()
    for field in schema:
        if field.name not in whole.column_names:
            whole = whole.append_column(field, pa.nulls(whole.num_rows, field.type))
    return whole.select(schema.names).cast(schema)
