"""Reading tables back from disk, whatever a user points at: a run's folder, a sweep's folder, or a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sim.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path) -> pd.DataFrame:
    """A sweep's table, else a run's requests, or the table file itself.

    Raises:
        InputError: There is no table that can be read.
    """
    import pandas as pd

    candidates = [path / "sweep.parquet", path / "requests.parquet"] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            try:
                return pd.read_csv(candidate) if candidate.suffix == ".csv" else pd.read_parquet(candidate)
            except (OSError, ValueError) as error:
                raise InputError(f"{candidate}: not a table: {error}") from error
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    looked_for = " or ".join(candidate.name for candidate in candidates)
    raise InputError(f"{path}: no table here; looked for {looked_for}")
