"""One run, from scenario to tables: what ``specran run``, each point of a sweep and ``sim.run`` all do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sim.prepare import Progress, no_progress, prepare
from sim.results.folder import complete_folder, run_id, write_json, write_table
from sim.results.manifest import make_manifest
from sim.results.summary import summarise
from sim.scenario.schema import Scenario
from sim.world import Ingredients, RunOutput, World

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class RunResult:
    """What a run produced.

    Attributes:
        scenario: What was run.
        output: Rows of the tables and figures of link and sites.
        summary: Figures over the requests, by column name.
        manifest: Where it came from.
        folder: Where its files lie, if they were written.
    """

    scenario: Scenario
    output: RunOutput
    summary: dict[str, Any]
    manifest: dict[str, Any]
    folder: Path | None = None

    @property
    def requests(self) -> pd.DataFrame:
        """One row per request."""
        import pandas as pd

        return pd.DataFrame(self.output.requests)

    @property
    def rounds(self) -> pd.DataFrame:
        """One row per round."""
        import pandas as pd

        return pd.DataFrame(self.output.rounds)


def simulate(scenario: Scenario, ingredients: Ingredients) -> RunResult:
    """Run a prepared scenario."""
    start = perf_counter()
    output = World(scenario, ingredients).run()
    return RunResult(scenario, output, summarise(output), make_manifest(scenario, ingredients, perf_counter() - start))


def run(
    scenario: Scenario, out: Path | str | None = None, *, live: bool = False, progress: Progress = no_progress
) -> RunResult:
    """Run a scenario.

    Args:
        scenario: What to run.
        out: Folder of results; the run lands in ``out/<scenario>/<run id>``. None writes nothing.
        live: Decode while simulating, even where a tape would do.
        progress: Told what is going on.

    Raises:
        InputError: Something the scenario names cannot be used.
    """
    result = simulate(scenario, prepare(scenario, progress, live))
    if out is not None:
        result.folder = write_run(result, Path(out) / scenario.name / run_id(scenario))
    return result


def write_run(result: RunResult, place: Path) -> Path:
    """Write a run's folder, figures included; returns it."""
    from sim.figures.run_figures import draw_run

    with complete_folder(place) as folder:
        (folder / "scenario.yaml").write_text(result.scenario.to_yaml(), encoding="utf-8")
        write_table(result.requests, folder, "requests")
        write_table(result.rounds, folder, "rounds")
        write_json(result.summary, folder / "summary.json")
        write_json(result.manifest, folder / "manifest.json")
        draw_run(result.requests, folder / "figures")
    return place
