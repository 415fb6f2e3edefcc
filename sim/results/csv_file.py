"""CSV that opens in a spreadsheet as what it says: a text that looks like a formula is marked as text."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # All but tabs and ends of lines, which are quoted.


def inert_cell(value: Any) -> Any:
    """A cell; a text that a spreadsheet would take for a formula gets an apostrophe in front, which marks text.

    Control characters become their escapes: a terminal that shows the file would obey them, and a carriage return,
    which the writers leave unquoted, would end a row.
    """
    if not isinstance(value, str):
        return value
    text = _CONTROLS.sub(lambda found: repr(found.group())[1:-1], value)
    if not value.startswith(_FORMULA):
        return text
    try:
        float(value)
    except ValueError:
        return f"'{text}"
    return text


def inert_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose texts are no formulas; the same one if it has none."""
    texts = [column for column in frame.columns if frame[column].dtype.kind not in "biufcM"]
    changed = {column: frame[column].map(inert_cell) for column in texts}
    changed = {column: cells for column, cells in changed.items() if not cells.equals(frame[column])}
    return frame.assign(**changed) if changed else frame


def write_csv(frame: pd.DataFrame, path: Path, append: bool = False) -> None:
    """Write a frame as CSV, or append its rows to one with the same columns."""
    inert_frame(frame).to_csv(path, mode="a" if append else "w", header=not append, index=False)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as CSV text under a line of column names; not-a-number and None are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([inert_cell(column) for column in columns])
    for row in rows:
        writer.writerow(["" if value is None or _is_nan(value) else inert_cell(value) for value in row])
    return text.getvalue()
