"""``specran capacity``: the largest load that holds the objectives."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.options import DEFAULT_LOAD
from sim.cli.output import ProgressBars, answer_folder, only_results_on_stdout, print_json, print_table, say
from sim.cli.run import say_notes, say_user_code
from sim.core.errors import InputError
from sim.scenario.loading import load_scenario, locate_errors
from sim.scenario.overrides import changes_of

if TYPE_CHECKING:
    from sim.sweep.capacity import Capacity, Search
    from sim.sweep.cluster import Cluster


def capacity_command(
    name: str,
    vary: str,
    metric: str,
    share: float,
    tolerance: float,
    replications: int,
    set_: list[str],
    seed: int | None,
    jobs: int | None,
    cluster: Cluster | None,
    out: Path,
    as_json: bool,
) -> None:
    """Find the capacity, print it with its interval, and draw the curve."""
    from sim.results.folder import write_json
    from sim.sweep.capacity import Search, draw_capacity, find_capacity

    key, low, high = _load_of(vary)
    search = Search(key, metric, share, tolerance, replications, low, high)
    changes = changes_of(set_, seed)
    with only_results_on_stdout():
        scenario = load_scenario(name, changes)
        say_user_code()
        say_notes([scenario])
        # A key that was named is to blame by its option, one that the scenario gives by its line.
        named = {} if key == DEFAULT_LOAD else {key: None}
        with locate_errors(name, changes, named), ProgressBars() as progress:
            found = find_capacity(scenario, search, out, jobs=jobs, scheduler=cluster, progress=progress)
    folder = answer_folder(out, scenario, f"capacity-{key}", asdict(search))
    found.runs.to_csv(folder / "capacity.csv", index=False)
    described = _described(found, search)
    write_json(described, folder / "capacity.json")
    draw_capacity(found, search, folder)
    if as_json:
        print_json({**described, "folder": str(folder)})
    else:
        columns = (key, "share", "95 % interval ±") if found.has_interval else (key, "share")
        rows = [[point.load, point.mean, point.half][: len(columns)] for point in found.points]
        print_table(f"{scenario.name}: share of {metric} over {key}", columns, rows)
        print(f"capacity: {found.load:.4g}{_range_text(found)}")
    say(f"files:   {folder}")


def _described(found: Capacity, search: Search) -> dict[str, Any]:
    points = [{"load": point.load, "mean": point.mean, "half_width": point.half} for point in found.points]
    low, high = found.bracket
    return {
        "key": search.key,
        "metric": search.metric,
        "share": search.share,
        "replications": search.replications,
        "capacity": found.load,
        "bracket": {"low": low, "high": high},
        "interval": {"low": found.low, "high": found.high} if found.has_interval else None,
        "points": points,
    }


def _range_text(found: Capacity) -> str:
    """The interval, or that there is none."""
    if not found.has_interval:
        low, high = found.bracket
        return f", between {low:.4g} and {high:.4g} (bracket of the search; one replication gives no interval)"
    above = "no load that surely breaks it" if math.isinf(found.high) else f"{found.high:.4g}"
    return f" (95 % interval {found.low:.4g} to {above})"


def _load_of(vary: str) -> tuple[str, float | None, float | None]:
    """The key, and the loads to begin with, of ``KEY`` or ``KEY=LOW,HIGH``."""
    key, _, values = vary.partition("=")
    try:
        loads = [float(value) for value in values.split(",")] if values else []
    except ValueError as error:
        raise InputError(f"expected KEY or KEY=LOW,HIGH, got {vary!r}", place="--vary") from error
    if len(loads) > 2 or any(not 0 < load < math.inf for load in loads) or loads != sorted(loads):
        raise InputError(f"expected one or two ascending positive loads, got {values!r}", place="--vary")
    return key, *([*loads, None, None][:2])  # type: ignore[return-value]
