"""``specran city``: many cells as worlds of their own, coupled by what their neighbours send."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from sim.cli.options import (
    JobsOption,
    JsonOption,
    OutOption,
    SeedOption,
    SetOption,
    number_from,
    on_cluster,
)
from sim.sweep.cluster import Cluster


@on_cluster
def city(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="That of one cell.")] = "city",
    cells: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=7, help="Cells; the very cells of the scenario as one world if left out."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, max=4, help="Most rounds.")] = 4,
    tolerance: Annotated[
        float,
        typer.Option(callback=number_from(0, 1), help="Change of throughput and latency at which rounds end, 0 to 1."),
    ] = 0.01,
    set_: SetOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    cluster: Optional[Cluster] = None,  # noqa: UP045
    out: OutOption = Path("results"),
    json: JsonOption = False,
) -> None:
    """Simulate a city: cells as worlds of their own that hear each other, in two to four rounds."""
    city_command(scenario, cells, rounds, tolerance, set_ or [], seed, jobs, cluster, out, json)


def city_command(
    name: str,
    num_cells: int | None,
    max_rounds: int,
    tolerance: float,
    set_: list[str],
    seed: int | None,
    jobs: int | None,
    cluster: Cluster | None,
    out: Path,
    as_json: bool,
) -> None:
    """Simulate, write the tables, and print a row per round."""
    import pandas as pd

    from sim.cli.output import ProgressBars, only_results_on_stdout, print_json, print_table, say
    from sim.cli.run import say_notes, say_user_code
    from sim.results.csv_file import write_csv
    from sim.results.folder import write_json
    from sim.runs.manifest import code_and_versions, host
    from sim.scenario.loading import load_scenario, locate_errors
    from sim.scenario.overrides import changes_of
    from sim.sweep.city import run_city

    changes = changes_of(set_, seed)
    workers = jobs if jobs is not None else os.cpu_count() or 1
    with only_results_on_stdout():
        scenario = load_scenario(name, changes)
        say_user_code()
        say_notes([scenario])
        with locate_errors(name, changes), ProgressBars() as progress:
            found = run_city(scenario, num_cells, max_rounds, tolerance, workers, cluster, progress)
    folder = out / scenario.name / f"city-{'explicit' if num_cells is None else num_cells}"
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(pd.DataFrame(found.rows()), folder / "cells.csv")
    write_csv(pd.DataFrame(found.rounds), folder / "rounds.csv")
    (folder / "scenario.yaml").write_text(scenario.to_yaml(), encoding="utf-8")
    described = {"rounds": found.rounds, "code": code_and_versions()}
    write_json(described, folder / "city.json")
    cpu_s = {"cpu_s": found.cpu_s, "cpu_per_cell_s": [one / len(found.cells) for one in found.cpu_s], "host": host()}
    write_json(cpu_s, folder / "times.json")
    if as_json:
        print_json({**described, "folder": str(folder)})
    else:
        columns = list(found.rounds[0])
        print_table(f"{scenario.name}: round by round", columns, [list(one.values()) for one in found.rounds])
    say(f"time:    {sum(found.cpu_s):.0f} s of a core, {sum(found.cpu_s) / len(found.cells):.2f} s per cell")
    say(f"files:   {folder}")
