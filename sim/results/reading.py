"""Reading tables back from disk, whatever a user points at: a run's folder, a sweep's or one of its points, a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from channels.text_files import has_suffix
from sim.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


# Columns of names, which are text even where a name looks like a number or like nothing.
_NAMES = ("variant", "run_id", "kind", "category")
# What readers raise at a damaged file; it depends on where the damage is.
_DAMAGE = (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError, RuntimeError)
_NO_NUMBER = ("", "nan", "NaN", "NA", "N/A", "null", "None")


def read_table(path: Path, by_kind: bool = False) -> pd.DataFrame:
    """A sweep's table, else a run's requests, or the table file itself.

    Args:
        path: A folder, a file, or a point of a sweep: ``points/<run id>`` in the sweep's folder.
        by_kind: Of a sweep over several kinds of devices, the table that has a row per point and kind.

    Raises:
        InputError: There is no table that can be read.
    """
    import pandas as pd

    candidates = [path / "sweep.parquet", path / "requests.parquet"] if path.is_dir() else [path]
    if by_kind and candidates[0].is_file() and (path / "kinds.csv").is_file():
        candidates.insert(0, path / "kinds.csv")
    for candidate in candidates:
        if candidate.is_file():
            try:
                is_csv = has_suffix(candidate, ".csv")
                return _checked(_read_csv(candidate) if is_csv else pd.read_parquet(candidate))
            except _DAMAGE as error:
                reason = str(error).partition("\n")[0] or type(error).__name__
                raise InputError(f"{candidate}: not a table, or damaged: {reason}") from error
    if not path.exists() and path.parent.name == "points" and path.parent.is_dir():
        return read_point(path.parent.parent, path.name)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    looked_for = " or ".join(candidate.name for candidate in candidates)
    raise InputError(f"{path}: no table here; looked for {looked_for}")


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    columns = pd.read_csv(path, nrows=0).columns
    empty = {column: _NO_NUMBER for column in columns if column not in _NAMES}
    as_text = {column: str for column in columns if column in _NAMES}
    return pd.read_csv(path, dtype=as_text, na_values=empty, keep_default_na=False)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """The table, if its columns have names of their own.

    Raises:
        ValueError: They do not.
    """
    names = [str(column) for column in table.columns]
    if len(set(names)) < len(names) or not names:
        raise ValueError("its columns have no names of their own")
    return table


def read_point(sweep: Path, run_id: str, table: str = "requests") -> pd.DataFrame:
    """One table of one point of a sweep.

    Args:
        sweep: The sweep's folder.
        run_id: As the sweep's table has it.
        table: ``requests`` or ``rounds``.

    Raises:
        InputError: There is no such point, or the sweep does not keep that table.
    """
    from sim.results.saved_points import SavedPoints

    points = SavedPoints(sweep / "points").load()
    found = next((point for address, point in points.items() if run_id and address.startswith(run_id)), None)
    if found is None:
        raise InputError(f"{sweep}: no point has the run id {run_id!r}; the column run_id of sweep.csv has them all")
    if table not in found.tables:
        kept = ", ".join(found.tables) or "summaries alone"
        raise InputError(f"{sweep}: keeps {kept} of its points, not {table}; see sweep.keep")
    frame: pd.DataFrame = found.table(table).to_pandas()
    return frame
