"""``specran explain``: what requests of a run waited for, and what would have helped."""

from __future__ import annotations

import json
import shlex
from contextlib import nullcontext
from pathlib import Path

from sim.cli.output import ProgressBars, only_results_on_stdout, print_json, print_table
from sim.cli.run import say_user_code
from sim.cli.terminal import print_lines
from sim.core.errors import InputError
from sim.scenario.loading import load_scenario, locate_errors
from sim.scenario.overrides import changes_of


def explain_command(name: str, request: str | None, set_: list[str], as_json: bool) -> None:
    """Explain a run on disk, or one of a scenario that is run for it."""
    from sim.runs.explain import as_dict, explain, parse_request

    chosen = None if request is None else parse_request(request)
    folder = Path(name)
    is_run, changes = folder.is_dir(), changes_of(set_, None)
    if is_run and changes:
        raise InputError("a run on disk is explained as it is; change the scenario, and explain that", place="--set")
    with only_results_on_stdout():
        if is_run:
            _refuse_other_folders(folder)
        scenario = load_scenario(folder / "scenario.yaml" if is_run else name, changes)
        say_user_code()
        from sim.results.reading import read_table

        known = read_table(folder / "requests.parquet") if is_run else None
        with locate_errors(name, changes) if not is_run else nullcontext(), ProgressBars() as progress:
            found = explain(scenario, chosen, known, progress)
    if as_json:
        print_json(as_dict(found))
        return
    rows = [[part.replace("_", " "), s, f"{s / found.e2e_s:.1%}"] for part, s in found.waits_s.items()]
    print_table(f"{scenario.name}: {found.subject}", ("waited for", "seconds", "share"), rows)
    print_lines([""])
    cells = [
        [one.part, one.booked_s, one.e2e_s, one.saved_s, f"{one.saved_share:.1%}", one.acceptance_rate]
        for one in found.what_ifs
    ]
    columns = ("made free", "booked s", "latency then s", "saved s", "share", "acceptance rate")
    print_table("Runs of the same scenario with one part made free", columns, cells)
    print_lines(["", *found.sentences])
    if found.given_up:
        print_lines([f"Not counted: {found.given_up} requests that were given up."])


def _refuse_other_folders(folder: Path) -> None:
    if (folder / "sweep.parquet").exists() or (folder / "points").exists():
        raise InputError(f"{folder} is a sweep; explain one of its points, such as the first: {_first_point(folder)}")
    if not (folder / "scenario.yaml").exists() or not (folder / "requests.parquet").exists():
        raise InputError(f"{folder}: no run here; looked for scenario.yaml and requests.parquet")


def _first_point(folder: Path) -> str:
    """The command that explains the first point of a sweep on disk."""
    from sim.scenario.points import expand

    path = folder / "scenario.yaml"
    try:
        scenario = load_scenario(path)
        first = expand(scenario)[0]
        variants = {} if scenario.sweep is None else scenario.sweep.variants
        changes = {**first.changes, **variants.get(first.variant, {})}
    except InputError:
        changes = {}
    texts = [value if isinstance(value, str) else json.dumps(value) for value in changes.values()]
    options = [word for key, text in zip(changes, texts, strict=True) for word in ("--set", f"{key}={text}")]
    return shlex.join(["specran", "explain", str(path), *options])
