"""A run's folder: tables, summary, scenario, manifest; written beside its place and moved there when complete."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.core.errors import InputError
from sim.core.files import cannot_write, make_folder, remove_leftovers, take_place, unfinished_folder
from sim.results.csv_file import write_csv


@contextmanager
def complete_folder(place: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``place`` when the block ends well, and vanishes when it does not.

    Raises:
        InputError: The results' folder cannot be written to.
        RunError: It could no longer be written to, such as when the disk is full.
    """
    try:
        make_folder(place.parent)
        remove_leftovers(place.parent)
        with unfinished_folder(place.parent):
            pass
    except OSError as error:
        raise InputError(str(cannot_write("results", place.parent, error))) from error
    try:
        with unfinished_folder(place.parent) as temporary:
            yield temporary
            take_place(temporary, place)
    except OSError as error:
        raise cannot_write("results", place, error) from error


def write_table(rows: Any, folder: Path, name: str) -> None:
    """Write rows or a frame as Parquet and CSV."""
    import pandas as pd

    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    frame.to_parquet(folder / f"{name}.parquet", index=False)
    write_csv(frame, folder / f"{name}.csv")


def write_json(value: Any, path: Path) -> None:
    """Write JSON that every parser reads: not-a-number becomes null."""
    path.write_text(json_text(value), encoding="utf-8")


def json_text(value: Any) -> str:
    """JSON that every parser reads: not-a-number becomes null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
