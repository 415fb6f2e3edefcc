"""One run, from scenario to tables: what ``specran run``, each point of a sweep and ``sim.run`` all do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sim.core.addresses import run_id
from sim.core.files import clean_cache, no_empty_folders_of
from sim.inputs.identity import RunAddresses
from sim.inputs.workload import PlannedRequest
from sim.results.csv_file import write_csv
from sim.results.folder import complete_folder, write_json
from sim.results.output import RunOutput
from sim.results.portable import scenario_text
from sim.results.summary import SummaryByKind
from sim.results.tables import Keep, RunTables, Table
from sim.runs.inputs import SimulationInputs
from sim.runs.manifest import hashes_of, make_manifest
from sim.runs.prepare import Progress, bare_inputs, keys_of, no_progress, prepare, record_all, tape_store
from sim.runs.world import World
from sim.scenario.schema import Scenario
from sim.tape.pruning import max_tape_bytes, needed, prune

if TYPE_CHECKING:
    import pandas as pd

    from sim.links.base import Link
    from sim.runs.timeline import Timeline


@dataclass
class RunResult:
    """What a run produced.

    Attributes:
        scenario: What was run.
        output: Tables, and figures of link and sites.
        summary: Figures over the requests, by column name.
        manifest: Where it came from.
        link: The link as the run has left it, with what it recorded.
        folder: Where its files lie, if they were written.
        by_kind: Figures over the requests of each kind of devices; empty where all are alike.
        by_category: Figures over the requests of each category of prompts; empty where there are fewer than two.
    """

    scenario: Scenario
    output: RunOutput
    summary: dict[str, Any]
    manifest: dict[str, Any]
    link: Link
    folder: Path | None = None
    by_kind: list[dict[str, Any]] = field(default_factory=list)
    by_category: list[dict[str, Any]] = field(default_factory=list)

    @property
    def requests(self) -> pd.DataFrame:
        """One row per request."""
        return self._table("requests")

    @property
    def rounds(self) -> pd.DataFrame:
        """One row per round."""
        return self._table("rounds")

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        if self.folder is not None:
            return pd.read_parquet(self.folder / f"{name}.parquet")
        table: Table = getattr(self.output.tables, name)
        return table.frame()


def simulate(
    scenario: Scenario,
    inputs: SimulationInputs,
    folder: Path | None = None,
    keep: Keep = "rounds",
    timeline: Timeline | None = None,
    wrap_link: Callable[[Link], Link] | None = None,
) -> RunResult:
    """Run a prepared scenario.

    Args:
        scenario: What to run.
        inputs: What its world needs.
        folder: Where its tables go as they grow; None keeps them in memory.
        keep: The finest table that is kept; the summary is the same whatever is kept.
        timeline: Notes what happens when, or None.
        wrap_link: Makes what devices send over from the scenario's link, or None for that link itself.
    """
    start = perf_counter()
    builder = SummaryByKind([kind.name for kind in scenario.by_kind()])
    tables = RunTables(folder, builder.add, keep)
    tape = inputs.tape

    def record_more(part: Scenario, planned: list[PlannedRequest]) -> None:
        assert tape is not None
        record_all([(part, planned)], tape)

    if timeline is None:
        world = World(scenario, inputs, tables, record_more, wrap_link)
    else:
        world = World(timeline.with_slots(scenario), inputs, tables, record_more, wrap_link)
        timeline.watch(world)
    output = world.run()
    manifest = make_manifest(scenario, inputs, perf_counter() - start)
    by_kind, by_category = builder.by_kind(output), builder.by_category(output)
    return RunResult(
        scenario, output, builder.summary(output), manifest, world.link, by_kind=by_kind, by_category=by_category
    )


def run(
    scenario: Scenario,
    out: Path | str | None = None,
    *,
    live: bool = False,
    progress: Progress = no_progress,
    timeline: Timeline | None = None,
) -> RunResult:
    """Run a scenario.

    Args:
        scenario: What to run.
        out: Folder of results; the run lands in ``out/<scenario>/<run id>``. None writes nothing.
        live: Decode while simulating, even where a tape would do.
        progress: Called with what is going on.
        timeline: Notes what happens when; ``timeline.json`` is written beside the tables.

    Raises:
        InputError: Something the scenario names cannot be used.
    """
    max_bytes = max_tape_bytes()
    clean_cache()
    decoded = live

    def noting(what: str, done: int, total: int) -> None:
        nonlocal decoded
        decoded = True
        progress(what, done, total)

    bare = bare_inputs(scenario)
    with needed(tape_store(), keys_of(scenario, bare)):
        inputs = prepare(scenario, noting, live, bare)
        result = _simulate_into(out, scenario, inputs, timeline)
    if decoded:
        prune(tape_store(), max_bytes)
    return result


def _simulate_into(
    out: Path | str | None, scenario: Scenario, inputs: SimulationInputs, timeline: Timeline | None
) -> RunResult:
    if out is None:
        return simulate(scenario, inputs, timeline=timeline)
    place = Path(out) / scenario.name / run_id(RunAddresses().of_kinds(scenario, inputs.parts))
    with no_empty_folders_of(place.parent, Path(out)), complete_folder(place) as folder:
        result = simulate(scenario, inputs, folder, timeline=timeline)
        write_run(result, folder)
        if timeline is not None:
            timeline.write(folder / "timeline.json")
    result.folder = place
    return result


def write_run(result: RunResult, folder: Path) -> None:
    """Write what goes beside a run's tables: scenario, summary, manifest, figures, report."""
    from sim.figures.cell import draw_link
    from sim.figures.gpu import draw_gpu
    from sim.figures.run_figures import draw_run
    from sim.figures.servers import draw_servers
    from sim.report.results import report_run

    (folder / "scenario.yaml").write_text(scenario_text(result.scenario, folder), encoding="utf-8")
    write_json(result.summary, folder / "summary.json")
    if result.by_kind:
        _write_rows(result.by_kind, folder / "kinds.csv")
    if result.by_category:
        _write_rows(result.by_category, folder / "categories.csv")
    if flows := result.link.flows():
        _write_rows(flows, folder / "flows.csv")
    if measurements := result.link.measurements():
        _write_rows(measurements, folder / "kpm.csv")
    if (capture := result.link.capture()) is not None:
        (folder / "mac_nr.pcap").write_bytes(capture)
    requests = result.output.tables.requests.frame()
    figures = draw_run(_answered(requests), folder / "figures")
    figures += draw_servers(result.output.tables.servers.frame(), folder / "figures")
    figures += draw_gpu(result.output.tables.gpu.frame(), folder / "figures")
    if slots := result.link.slots():
        _write_slots(slots, folder)
        figures += draw_link(result.link, folder / "figures")
    report_run(folder, result.scenario, result.summary, result.manifest, requests, figures, result.by_category)
    tables = [path for path in folder.iterdir() if path.suffix in (".csv", ".parquet")]
    files = hashes_of([*tables, folder / "requests.parquet", folder / "summary.json"], folder)
    write_json({**result.manifest, "files": files}, folder / "manifest.json")


def _answered(requests: pd.DataFrame) -> pd.DataFrame:
    """Without those that were given up, if any is left then."""
    if requests.empty:
        return requests
    answered = requests[requests["given_up"] == 0]
    return requests if answered.empty else answered


def _write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """Summaries of parts of the requests, a row each."""
    import pandas as pd

    write_csv(pd.DataFrame(rows), path)


def _write_slots(rows: list[dict[str, Any]], folder: Path) -> None:
    """What a slotted link has recorded, a row per transmission."""
    import pandas as pd

    table = pd.DataFrame(rows)
    table.to_parquet(folder / "slots.parquet", index=False)
    write_csv(table, folder / "slots.csv")
