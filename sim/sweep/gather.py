"""What a sweep leaves: one table of all points, its scenario and manifest, figures, a report."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.files import cannot_write, remove_leftovers, unfinished_folder, write_atomically
from sim.results.csv_file import inert_frame
from sim.results.folder import json_text
from sim.scenario.schema import Scenario
from sim.sweep.points import Point
from sim.sweep.work import KINDS

if TYPE_CHECKING:
    import pandas as pd


def sweep_id(scenario: Scenario) -> str:
    """Content address of a sweep."""
    return "sweep-" + hashlib.sha256(json.dumps(scenario.dump(), sort_keys=True).encode()).hexdigest()[:12]


def table_of(points: Sequence[Point], summaries: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per point that was run, in the order of the points, whichever worker ran them."""
    import pandas as pd

    ran = [(point, summaries[point.index]) for point in points if point.index in summaries]
    rows = [{**point.labels, **{name: v for name, v in own.items() if name != KINDS}} for point, own in ran]
    table = pd.DataFrame(rows)
    for column in table.columns:
        if len({type(value) for value in table[column]} - {int, float, type(None)}) > 1:
            # An axis of mixed types, such as `candidates: [1, [4, 2]]`.
            table[column] = table[column].map(str)
    return table


def kinds_table(points: Sequence[Point], summaries: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per point and kind of devices; empty where all devices are alike."""
    import pandas as pd

    ran = [(point, summaries[point.index].get(KINDS, ())) for point in points if point.index in summaries]
    return pd.DataFrame([{**point.labels, **row} for point, kinds in ran for row in kinds])


def gather(
    place: Path,
    scenario: Scenario,
    points: Sequence[Point],
    table: pd.DataFrame,
    failures: Mapping[int, str],
    manifest: Mapping[str, Any],
    kinds: pd.DataFrame | None = None,
) -> None:
    """Write a sweep's own files, each of them whole or not at all, so that two sweeps in one folder do no harm.

    Raises:
        RunError: They cannot be written.
    """
    from sim.figures.sweep_figures import draw_sweep
    from sim.report.results import report_sweep

    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    try:
        remove_leftovers(place)
        write_atomically(place / "scenario.yaml", scenario.to_yaml().encode())
        write_atomically(place / "sweep.parquet", parquet.getvalue())
        write_atomically(place / "sweep.csv", csv_bytes(table))
        if kinds is not None and not kinds.empty:
            write_atomically(place / "kinds.csv", csv_bytes(kinds))
        write_atomically(place / "manifest.json", json_text(manifest).encode())
        with unfinished_folder(place) as folder:
            figures = draw_sweep(table, drawn_axes(scenario, points), folder / "figures")
            report_sweep(folder, scenario, points, table, failures, figures)
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    target = place / path.relative_to(folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(target)
    except OSError as error:
        raise cannot_write("results", place, error) from error


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV that opens in a spreadsheet as what it says."""
    text = io.StringIO()
    inert_frame(table).to_csv(text, index=False)
    return text.getvalue().encode()


def drawn_axes(scenario: Scenario, points: Sequence[Point]) -> list[str]:
    """Axes to draw over; of those that are varied together, the first speaks for all."""
    followers = list(scenario.sweep.zip)[1:] if scenario.sweep is not None else []
    return [axis for axis in points[0].changes if axis not in followers]
