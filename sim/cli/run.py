"""``specran run`` and ``specran sweep``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.output import ProgressBars, only_results_on_stdout, print_json, print_table, say
from sim.cli.terminal import print_lines
from sim.core.errors import InputError
from sim.core.user_code import user_modules
from sim.scenario.loading import load_scenario, locate_errors
from sim.scenario.overrides import changes_of, parse_axes

if TYPE_CHECKING:
    from sim.scenario.schema import Scenario
    from sim.sweep.cluster import Cluster

_RUN_ROWS = (
    ("End-to-end latency, mean", "e2e_mean_s", "s"),
    ("End-to-end latency, median", "e2e_p50_s", "s"),
    ("End-to-end latency, 95 %", "e2e_p95_s", "s"),
    ("Time to first token, mean", "ttft_mean_s", "s"),
    ("Time per output token, mean", "tpot_mean_s", "s"),
    ("Throughput, all devices", "tokens_per_s", "tokens/s"),
    ("Requests offered", "offered_rps", "1/s"),
    ("Requests completed", "completed_rps", "1/s"),
    ("Acceptance rate", "acceptance_rate", ""),
    ("Overlap of draft and target", "overlap", ""),
    ("Block efficiency", "block_efficiency", "tokens/round"),
    ("Uplink payload", "uplink_bits_per_token", "bit/token"),
    ("Downlink payload", "downlink_bits_per_token", "bit/token"),
    ("Uplink bits charged", "uplink_charged_bits_per_token", "bit/token"),
    ("Downlink bits charged", "downlink_charged_bits_per_token", "bit/token"),
    ("Device energy", "device_energy_per_token_j", "J/token"),
    ("Edge utilisation", "edge_utilisation", ""),
    ("Layer 1's share of its GPU", "layer1_gpu_share", ""),
    ("Model's share of a GPU", "model_gpu_share", ""),
    ("Late slots of layer 1", "layer1_late_per_1e5", "of 1e5"),
    ("Target's entropy", "target_entropy_bits", "bit/row"),
    ("Draft's entropy, as sent", "draft_entropy_bits", "bit/row"),
    ("Draft probability truncated", "tail_mass", ""),
    ("Target's perplexity of the text", "perplexity", ""),
    ("Vocabulary", "vocab_size", "tokens"),
)


_KIND_COLUMNS = ("kind", "requests", "e2e_mean_s", "ttft_mean_s", "tpot_mean_s", "slo_attainment", "goodput_rps")
_CATEGORY_COLUMNS = ("category", "requests", "tokens", "acceptance_rate", "overlap", "block_efficiency")
_CATEGORY_COLUMNS += ("target_entropy_bits", "e2e_mean_s")
_FAILURES_SHOWN = 8
# What a sweep's table leaves out first in a narrow terminal.
_DISPENSABLE = ("overlap", "tpot_mean_s", "downlink_jain_index", "downlink_prb_utilisation", "ttft_mean_s")
# Rows of a sweep's table that a terminal is given; typesetting thousands takes longer than resuming them.
ROWS_SHOWN = 200


def say_notes(scenarios: Iterable[Scenario]) -> None:
    """Tell, a line each, where keys do not do what their names may promise."""
    from sim.scenario.notes import scenario_notes

    for note in scenario_notes(scenarios):
        say(f"note:    {note}")


def say_prompts(scenarios: Iterable[Scenario]) -> None:
    """Tell how many prompts the user's own files hold, and as what they were read."""
    from sim.cli.named_files import prompt_lines

    for line in prompt_lines(scenarios):
        say(f"prompts: {line}")


def run_command(
    name: str, set_: list[str], seed: int | None, out: Path, live: bool, as_json: bool, window: str | None = None
) -> None:
    """Run one scenario and show what came of it."""
    changes = changes_of(set_, seed)
    with only_results_on_stdout():
        scenario = load_scenario(name, changes)
        say_user_code()
        say_notes([scenario])
        from sim.runs.run import run
        from sim.runs.timeline import Timeline, parse_window

        timeline = None if window is None else Timeline(*parse_window(window))
        with locate_errors(name, changes), ProgressBars() as progress:
            say_prompts([scenario])
            result = run(scenario, out, live=live, progress=progress, timeline=timeline)
    if as_json:
        kinds = {"kinds": result.by_kind} if result.by_kind else {}
        kinds |= {"categories": result.by_category} if result.by_category else {}
        print_json({**result.summary, **kinds, "folder": str(result.folder)})
    else:
        _print_run(scenario, result.summary)
        if result.by_kind:
            rows = [[row.get(column, "") for column in _KIND_COLUMNS] for row in result.by_kind]
            print_lines([""])
            print_table("By kind of device", _KIND_COLUMNS, rows)
        if result.by_category:
            print_lines([""])
            cells = [[_with_error(row, column) for column in _CATEGORY_COLUMNS] for row in result.by_category]
            print_table("By category of prompt", _CATEGORY_COLUMNS, cells)
    from sim.report import warnings as told

    models = [*told.unlike_chat_models(result.summary), *told.whole_rows(result.summary)]
    models += [*told.vocabulary_warnings(result.manifest), *told.model_notes(result.manifest)]
    load = [*told.incident_warnings(result.summary), *told.overload_warnings(result.summary)]
    for warning in [*load, *models, *result.manifest["workload_notes"]]:
        say(f"warning: {warning}")
    say(f"files:   {result.folder}")
    assert result.folder is not None
    if timeline is not None:
        hint = "open it at ui.perfetto.dev"
        if not timeline.events:
            hint = f"nothing begins in its window; the run ended at {result.summary['simulated_s']:.3g} s"
        say(f"timeline: {result.folder / 'timeline.json'} ({hint})")
    say(f"report:  {result.folder / 'report.html'}")


def say_user_code() -> None:
    """Which files' code runs, besides this package's."""
    for name, module in user_modules().items():
        say(f"code:    {module.path} (module {name})")


def _with_error(summary: Mapping[str, Any], key: str) -> Any:
    """A figure, with its standard error where there is one."""
    error = summary.get("acceptance_se", math.nan)
    if key != "acceptance_rate" or math.isnan(error):
        return summary[key]
    return f"{summary[key]:.3f} ± {error:.3f}"


def _share(part: float, total: float) -> str:
    """A part of a total; a dash where nothing was measured."""
    return "-" if math.isnan(part / total) else f"{part / total:.1%}"


def _print_run(scenario: Scenario, summary: Mapping[str, Any]) -> None:
    from sim.figures.labels import name_of
    from sim.results.columns import BREAKDOWN_COLUMNS, INCIDENT_COLUMNS

    title = f"{scenario.name}: {scenario.protocol.name} over {scenario.link.name}, {summary['requests']} requests"
    rows = [(label, _with_error(summary, key), unit) for label, key, unit in _RUN_ROWS if key in summary]
    rows += [(name_of(key), int(summary[key]), "") for key in INCIDENT_COLUMNS if summary.get(key)]
    print_table(title, ("figure", "value", "unit"), rows)
    total = summary["e2e_mean_s"]
    parts = [
        (column.removesuffix("_s"), summary[column.removesuffix("_s") + "_mean_s"]) for column in BREAKDOWN_COLUMNS
    ]
    breakdown = [(name.replace("_", " "), value, _share(value, total)) for name, value in parts if value]
    print_lines([""])
    print_table("Where the time of a mean request goes", ("part", "seconds", "share"), breakdown)


def sweep_command(
    name: str,
    vary: list[str],
    set_: list[str],
    seed: int | None,
    jobs: int | None,
    cluster: Cluster | None,
    resume: bool,
    out: Path,
    as_json: bool,
) -> int:
    """Run a sweep and show its table; 1 if a point failed."""
    if jobs is not None and cluster is not None and not cluster.is_local:
        raise InputError("--jobs is about processes of this machine, --scheduler about others; give one of them")
    axes, changes = parse_axes(vary), changes_of(set_, seed)
    with only_results_on_stdout():
        from sim.scenario.points import expand
        from sim.sweep.run import sweep

        scenario = load_scenario(name, changes, axes, check=expand)
        say_user_code()
        say_notes(point.scenario for point in expand(scenario))
        with locate_errors(name, changes, axes), ProgressBars() as progress:
            say_prompts(point.scenario for point in expand(scenario))
            result = sweep(scenario, out, jobs=jobs, scheduler=cluster, resume=resume, progress=progress)
    if as_json:
        print_json({"folder": str(result.folder), "points": result.table.to_dict("records"), "failed": result.failed})
    elif len(result.table):
        from sim.figures.labels import label_of, number

        columns, rows = result.overview()
        is_key = ["." in column or column == "variant" for column in columns]
        cells = [[number(cell) if key else cell for key, cell in zip(is_key, row, strict=True)] for row in rows]
        heads = [label_of(column) for column in columns]
        print_table(
            f"{scenario.name}: {len(result.table)} runs", heads, cells[:ROWS_SHOWN], [*map(label_of, _DISPENSABLE)]
        )
        if len(rows) > ROWS_SHOWN:
            say(f"         and {len(rows) - ROWS_SHOWN:,} more rows in sweep.csv; --json prints them all")
    if resume:
        say(f"resumed: {result.resumed} of {len(result.table)} runs were finished already")
    say(f"table:   {result.folder / 'sweep.csv'}")
    for picture in sorted((result.folder / "figures").glob("*.png")):
        say(f"figure:  {picture}")
    if (result.folder / "report.html").exists():
        say(f"report:  {result.folder / 'report.html'}")
    for failure in result.failed[:_FAILURES_SHOWN]:
        say(f"failed:  {failure}")
    if len(result.failed) > _FAILURES_SHOWN:
        say(f"         and {len(result.failed) - _FAILURES_SHOWN} more; all of them stand in the report")
    return 1 if result.failed else 0
