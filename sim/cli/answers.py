"""The commands that answer a question: ``specran explain`` and ``advise``; their work lives in modules of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sim.cli.options import (
    JobsOption,
    JsonOption,
    OutOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    on_cluster,
)
from sim.sweep.cluster import Cluster


def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run; or a scenario, which is run for it.")],
    request: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="DEVICE/REQUEST", help="One request; the mean of all that were measured by default."),
    ] = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a request waited for and what would have helped, each statement checked by a run."""
    from sim.cli.explain import explain_command

    explain_command(run, request, set_ or [], json)


@on_cluster
def advise(
    scenario: ScenarioArgument,
    over: Annotated[
        list[str],
        typer.Option(
            metavar="KEY,KEY,...|KEY=V1,V2,...",
            help="Keys to search: variant, protocol, controller, a key of theirs, or a dotted key.",
        ),
    ],
    minimise: Annotated[Optional[str], typer.Option(metavar="COLUMN", help="Column to make least.")] = None,  # noqa: UP045
    maximise: Annotated[Optional[str], typer.Option(metavar="COLUMN", help="Column to make greatest.")] = None,  # noqa: UP045
    subject_to: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="COLUMN<NUMBER", help="What the mean must keep; may be repeated."),
    ] = None,
    against: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="COLUMN", help="Other column of the front; that of the first constraint by default."),
    ] = None,
    trials: Annotated[int, typer.Option(min=2, max=10_000, help="Candidates to try.")] = 40,
    replications: Annotated[int, typer.Option(min=1, max=1000, help="Runs of those that are left in the end.")] = 8,
    sensitivity: Annotated[
        bool, typer.Option(help="Run the best ones with other uplinks, loads and hardware, too.")
    ] = True,
    set_: SetOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    cluster: Optional[Cluster] = None,  # noqa: UP045
    out: OutOption = Path("results"),
    json: JsonOption = False,
) -> None:
    """Recommend protocol and settings: best, runner-up, Pareto front, and where the advice would change."""
    from sim.cli.advise import advise_command
    from sim.sweep.advice.question import make_question

    question = make_question(minimise, maximise, subject_to or [], against, trials, replications)
    advise_command(scenario, question, over, set_ or [], seed, sensitivity, jobs, cluster, out, json)
