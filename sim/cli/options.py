"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from sim.sweep.cluster import Cluster

ScenarioArgument = Annotated[str, typer.Argument(help="A YAML file, or the name of a bundled scenario.")]
SetOption = Annotated[
    Optional[list[str]],  # noqa: UP045 -- typer reads the annotation at run time
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change one key; may be repeated."),
]
VaryOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--vary", metavar="KEY.PATH=V1,V2,...", help="Add or replace an axis; may be repeated."),
]
SeedOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=0, max=(1 << 64) - 1, help="Master seed; the scenario's own by default."),
]
OutOption = Annotated[Path, typer.Option(help="Folder of results.")]
ModelArgument = Annotated[
    str, typer.Argument(metavar="NAME_OR_PATH", help="smollm2/target, a folder, a .gguf file, or a hub id.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print results as JSON on stdout instead of a table.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print results as CSV on stdout instead of a table.")]
TrustOption = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Let checkpoints run code of their own; no scenario can say so."),
]
TlsCaOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="Authority that signed the certificate of a scheduler at tls://, a PEM file."),
]
TlsCertOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="This side's own certificate, a PEM file."),
]
TlsKeyOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE", help="Its key; without this the certificate's file holds it."),
]
JobsOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Worker processes; all cores by default."),
]
SchedulerOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="ADDRESS",
        help="A Dask scheduler to run on, tcp://HOST:PORT, or tls:// with the following; local starts one with --jobs.",
    ),
]
WhereOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        metavar="COLUMN=VALUE",
        help="Draw these rows only; else what is not shown is held at its middle value.",
    ),
]
LegendOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        metavar="PLACE|NAME[=LABEL]",
        help="outside, inside, right or none; or a series, which comes in the order given, under another label.",
    ),
]
ColorOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(metavar="NAME=COLOR", help="Colour of a series; may be repeated."),
]
LogXOption = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--log-x/--linear-x", help="Scale of the horizontal axis; logarithmic over 1.5 decades by default."),
]
LogYOption = Annotated[
    Optional[bool],  # noqa: UP045
    typer.Option("--log-y/--linear-y", help="Scale of the vertical axis, likewise."),
]
LatexOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Also write means and intervals as a booktabs table, the proved winner in bold."),
]


def trust(trusted: bool) -> None:
    """What ``--trust-remote-code`` does."""
    from sim.core.user_code import trust_remote_code

    trust_remote_code(trusted)


def cluster_of(
    scheduler: str | None, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None
) -> Cluster | None:
    """The Dask cluster that ``--scheduler`` and the options of TLS name; None without one.

    Raises:
        BadParameter: There are certificates and no scheduler.
        InputError: Address and files do not fit together, or a file is not there.
    """
    from sim.sweep.cluster import Cluster

    if scheduler is not None:
        return Cluster(scheduler, tls_ca, tls_cert, tls_key)
    if any(option is not None for option in (tls_ca, tls_cert, tls_key)):
        raise typer.BadParameter("--tls-ca, --tls-cert and --tls-key are about --scheduler tls://HOST:PORT")
    return None
