"""Options and arguments that several commands have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar

import typer

from sim.sweep.cluster import Cluster

Result = TypeVar("Result")

DEFAULT_LOAD = "devices.total_rate_hz"
"""Key that sets the load in ``specran capacity`` where none is named."""

_MAX_SEED = (1 << 64) - 1


def _seed_of(text: str | int) -> int:
    """A seed as scenarios and ``--set`` have it: a whole number, with or without an exponent.

    Raises:
        BadParameter: It is none.
    """
    from sim.core.yaml_text import YamlError, read_values

    try:
        value = read_values(str(text))
    except YamlError:
        value = None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 <= value <= _MAX_SEED:
        raise typer.BadParameter(f"expected a whole number from 0 to {_MAX_SEED}, got {text!r}")
    return value


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
    typer.Option(parser=_seed_of, metavar="INTEGER", help="Master seed; the scenario's own by default."),
]
OwnSeedOption = Annotated[int, typer.Option(parser=_seed_of, metavar="INTEGER", help="Master seed.")]
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
        metavar="COLUMN=VALUE[,...]",
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


def number_from(low: float, high: float) -> Callable[[float], float]:
    """What checks that an option is a number within bounds; not-a-number is none.

    Args:
        low: The least value.
        high: The largest.
    """

    def check(value: float) -> float:
        if not low <= value <= high:
            raise typer.BadParameter(f"must be a finite number from {low:g} to {high:g}, got {value:g}")
        return value

    return check


def trust(trusted: bool) -> None:
    """What ``--trust-remote-code`` does."""
    from sim.core.user_code import trust_remote_code

    trust_remote_code(trusted)


def cluster_of(
    scheduler: SchedulerOption = None,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
) -> Cluster | None:
    """The Dask cluster that these options name; None without one.

    Raises:
        BadParameter: There are certificates and no scheduler.
        InputError: Address and files do not fit together, or a file is not there.
    """
    if scheduler is not None:
        return Cluster(scheduler, tls_ca, tls_cert, tls_key)
    if any(option is not None for option in (tls_ca, tls_cert, tls_key)):
        raise typer.BadParameter("--tls-ca, --tls-cert and --tls-key are about --scheduler tls://HOST:PORT")
    return None


def on_cluster(command: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the options of ``cluster_of`` in the place of its parameter ``cluster``, which takes the result.

    Typer makes options from a function's signature, so the command gets one with the parameters of both.
    """
    options = inspect.signature(cluster_of, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True)
    merged: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        merged += options.values() if parameter.name == "cluster" else [parameter]

    @wraps(command)
    def with_options(**given: Any) -> Result:
        cluster = cluster_of(**{name: given.pop(name) for name in options})
        return command(**given, cluster=cluster)

    with_options.__signature__ = own.replace(parameters=merged)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
    return with_options
