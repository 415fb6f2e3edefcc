"""The command about load: ``specran capacity``; its work lives in ``capacity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from sim.cli.options import (
    DEFAULT_LOAD,
    JobsOption,
    JsonOption,
    OutOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    number_from,
    on_cluster,
)
from sim.sweep.cluster import Cluster


@on_cluster
def capacity(
    scenario: ScenarioArgument,
    vary: Annotated[
        str,
        typer.Option(
            metavar="KEY[=LOW,HIGH]",
            help="Key that sets the load, and loads to begin with; devices.count and devices.total_rate_hz scale all "
            "kinds of devices alike.",
        ),
    ] = DEFAULT_LOAD,
    metric: Annotated[
        Literal["goodput", "ttft", "tpot", "e2e", "completed"],
        typer.Option(help="What must hold: goodput (all objectives), one of them, or completion at all."),
    ] = "goodput",
    slo_share: Annotated[
        float, typer.Option(callback=number_from(0.01, 1.0), help="Share of the requests that must hold it, 0.01 to 1.")
    ] = 0.95,
    tolerance: Annotated[
        float,
        typer.Option(callback=number_from(0.001, 1.0), help="Relative width of the bracket to end at, 0.001 to 1."),
    ] = 0.05,
    replications: Annotated[int, typer.Option(min=1, max=1000, help="Runs at each load.")] = 3,
    set_: SetOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    cluster: Optional[Cluster] = None,  # noqa: UP045
    out: OutOption = Path("results"),
    json: JsonOption = False,
) -> None:
    """Find the largest load under which a share of the requests still meets the objectives."""
    from sim.cli.capacity import capacity_command

    capacity_command(
        scenario, vary, metric, slo_share, tolerance, replications, set_ or [], seed, jobs, cluster, out, json
    )
