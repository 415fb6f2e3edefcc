"""What a sweep leaves: one table of all points, its scenario and manifest, figures, a report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.addresses import digest, run_id
from sim.core.files import (
    cannot_write,
    make_folder,
    read_json_object,
    remove_leftovers,
    sync_file,
    sync_folder,
    unfinished_folder,
    write_atomically,
)
from sim.inputs.versions import all_code
from sim.results.csv_file import inert_frame
from sim.results.folder import json_text
from sim.results.point_log import SavedPoint
from sim.results.point_tables import write_point_tables
from sim.results.portable import scenario_text, short_names, without_folders
from sim.runs.manifest import code_and_versions, hashes_of
from sim.scenario.points import Point
from sim.scenario.schema import Scenario
from sim.sweep.tasks import Executor, results_of
from sim.sweep.work import KINDS

if TYPE_CHECKING:
    import pandas as pd


# Files whose bytes depend on how the run went: their hashes stand in that block of the manifest.
_WITH_RUN_FACTS = ("report.html",)


def sweep_id(points: Sequence[Point], keep: str) -> str:
    """Content address of a sweep: of its points, the columns that distinguish them, and what is kept of them."""
    labels = [[point.address, [*point.changes], point.variant, point.replication] for point in points]
    return f"sweep-{digest([labels, keep])[:12]}"


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
        if points and column in points[0].changes and table[column].dtype.kind not in "biuf":
            table[column] = short_names(list(table[column]))
    return table


def kinds_table(points: Sequence[Point], summaries: Mapping[int, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per point and kind of devices; empty where all devices are alike."""
    import pandas as pd

    ran = [(point, summaries[point.index].get(KINDS, ())) for point in points if point.index in summaries]
    return pd.DataFrame([{**point.labels, **row} for point, kinds in ran for row in kinds])


@dataclass(frozen=True)
class Gathered:
    """All that a sweep's files are made from.

    Attributes:
        scenario: The sweep.
        points: Its points.
        table: One row per point.
        failures: What went wrong, by index of the point.
        finished: The points that did not fail, in order.
        tables: Names of the tables that are kept of each.
        kinds: One row per point and kind of devices; empty where all devices are alike.
    """

    scenario: Scenario
    points: Sequence[Point]
    table: pd.DataFrame
    failures: Mapping[int, str]
    finished: Sequence[SavedPoint]
    tables: Sequence[str]
    kinds: pd.DataFrame

    def manifest(self, place: Path) -> dict[str, Any]:
        """What the sweep came from, without facts of the run."""
        failures = {index: without_folders(text) for index, text in sorted(self.failures.items())}
        made_from = {
            "seed": self.scenario.seed,
            "points": len(self.points),
            "run": len(self.table),
            "failed": {run_id(self.points[index].address): text for index, text in failures.items()},
            **code_and_versions(),
            "drawn_by": all_code(),
        }
        content = [point.digest for point in self.finished]
        return {**made_from, "content": digest([made_from, content, scenario_text(self.scenario, place)])}


def gather(place: Path, gathered: Gathered, run_facts: Mapping[str, Any], executor: Executor) -> None:
    """Write a sweep's own files, each of them whole or not at all, so that two sweeps in one folder do no harm.

    Files that were made from the very same points are left as they are, unless one of them was changed since.

    Args:
        place: The sweep's folder.
        gathered: What they are made from.
        run_facts: How this run went, for the manifest.
        executor: Draws figures side by side, if its workers see the folder.

    Raises:
        RunError: They cannot be written.
    """
    manifest = gathered.manifest(place)
    try:
        remove_leftovers(place)
        files = _files_as_they_were(place, manifest)
        if files is None:
            files = _write_files(place, gathered, {**manifest, "run_facts": run_facts}, executor)
        # The report shows facts of the run.
        of_run = {name: files.pop(name) for name in _WITH_RUN_FACTS if name in files}
        text = json_text({**manifest, "files": files, "run_facts": {**run_facts, "files": of_run}})
        write_atomically(place / "manifest.json", text.encode())
    except OSError as error:
        raise cannot_write("results", place, error) from error


def _files_as_they_were(place: Path, manifest: Mapping[str, Any]) -> dict[str, str] | None:
    """The hashes of a sweep's files, if they were made from the same and none of them was changed; else None."""
    before = read_json_object(place / "manifest.json")
    files, of_run = before.get("files"), before.get("run_facts")
    of_run = of_run.get("files") if isinstance(of_run, dict) else None
    if not isinstance(files, dict) or not isinstance(of_run, dict) or before.get("content") != manifest["content"]:
        return None
    try:
        files = {**files, **of_run}
        is_same = hashes_of([place / name for name in files], place) == files
    except (OSError, ValueError):
        return None
    return files if is_same else None


def _write_files(place: Path, gathered: Gathered, manifest: Mapping[str, Any], executor: Executor) -> dict[str, str]:
    from sim.figures.sweep_figures import draw_sweep
    from sim.report.results import report_sweep

    parquet = io.BytesIO()
    gathered.table.to_parquet(parquet, index=False)
    contents = {
        "scenario.yaml": scenario_text(gathered.scenario, place).encode(),
        "sweep.parquet": parquet.getvalue(),
        "sweep.csv": csv_bytes(gathered.table),
    }
    if not gathered.kinds.empty:
        contents["kinds.csv"] = csv_bytes(gathered.kinds)
    written: list[Path] = []
    try:
        for name, data in contents.items():
            written.append(place / name)
            write_atomically(written[-1], data)
        for name in gathered.tables if gathered.finished else ():
            written.append(place / "points" / f"{name}.parquet")
            write_point_tables(written[-1], name, gathered.finished)
        with unfinished_folder(place) as folder:
            axes, each = drawn_axes(gathered.scenario, gathered.points), partial(results_of, executor)
            figures = draw_sweep(gathered.table, axes, folder / "figures", each=each if executor.shares_files else map)
            report_sweep(
                folder, gathered.scenario, gathered.points, gathered.table, gathered.failures, figures, manifest
            )
            _move_files(folder, place, written)
        for point in gathered.finished[:1]:
            point.path.stat()  # All of them lie in one file.
        return hashes_of(written, place)
    except FileNotFoundError:
        _take_back(written, place)
        raise


def _take_back(written: Sequence[Path], place: Path) -> None:
    """Remove what was written of a sweep whose folder was removed meanwhile: the rest of it is gone."""
    for path in written:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    for folder in sorted({path.parent for path in written} - {place}, reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _move_files(source: Path, target: Path, moved: list[Path]) -> None:
    """Move all files of a folder into another one, each whole, and have them on disk.

    Args:
        source: The folder.
        target: The other one.
        moved: Gets the files' new places.
    """
    for path in sorted(source.rglob("*")):
        if path.is_file():
            sync_file(path)
            moved.append(target / path.relative_to(source))
            make_folder(moved[-1].parent)
            path.replace(moved[-1])
    for folder in sorted({path.parent for path in moved} | {target}):
        sync_folder(folder)


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV that opens in a spreadsheet as what it says."""
    text = io.StringIO()
    inert_frame(table).to_csv(text, index=False)
    return text.getvalue().encode()


def drawn_axes(scenario: Scenario, points: Sequence[Point]) -> list[str]:
    """Axes to draw over; of those that are varied together, the first speaks for all."""
    followers = list(scenario.sweep.zip)[1:] if scenario.sweep is not None else []
    return [axis for axis in points[0].changes if axis not in followers]
