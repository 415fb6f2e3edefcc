"""How long the command line takes to answer, against a bare import of typer."""

from __future__ import annotations

from typing import Any

from tests.bench.measure import paired_ratio, process_s, result


def run() -> list[dict[str, Any]]:
    """``--help`` against ``import typer``, and ``validate`` in seconds."""
    help_s, typer_s, ratio = paired_ratio(
        lambda: process_s(["-m", "sim.cli", "--help"]), lambda: process_s(["-c", "import typer"]), 7
    )
    validate_s, _, _ = paired_ratio(lambda: process_s(["-m", "sim.cli", "validate", "quickstart"]), lambda: 1.0, 5)
    return [
        result(
            "specran --help over python -c 'import typer', CPU time",
            ratio,
            "ratio",
            at_most=2.0,
            help_s=help_s,
            typer_s=typer_s,
        ),
        result("specran validate quickstart", validate_s, "s CPU", at_most=1.0),
    ]
