"""The commands that answer a question: ``specran explain``; their work lives in modules of their own."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from sim.cli.options import JsonOption, SetOption


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
