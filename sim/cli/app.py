"""The application: commands and their options; each command's work lives in a module of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from sim.cli.answers import advise, explain
from sim.cli.city import city
from sim.cli.groups import channel_commands, model_commands, tape_commands
from sim.cli.load import capacity
from sim.cli.options import (
    ColorOption,
    CsvOption,
    JobsOption,
    JsonOption,
    LatexOption,
    LegendOption,
    LogXOption,
    LogYOption,
    OutOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    TrustOption,
    VaryOption,
    WhereOption,
    on_cluster,
    trust,
)
from sim.sweep.cluster import Cluster


def build() -> typer.Typer:
    """Put the application together."""
    app = typer.Typer(
        name="specran",
        help="Simulate language-model inference that is split across a 5G radio link, with real models in the loop.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    app.command()(run)
    app.command()(sweep)
    app.command()(capacity)
    app.command()(explain)
    app.command()(advise)
    app.command()(city)
    app.command()(plot)
    app.command()(compare)
    app.command()(validate)
    app.command()(calibrate)
    app.command()(price)
    app.command(name="list")(list_names)
    app.command()(schema)
    app.command()(prove)
    app.add_typer(channel_commands(), name="channel")
    app.add_typer(tape_commands(), name="tape")
    app.add_typer(model_commands(), name="models")
    return app


def _print_version(wanted: bool) -> None:
    """Answer before any command is asked for."""
    if wanted:
        from sim.cli.inspect import version_command

        version_command()
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of all commands; the callback of each does what it asks for."""


def run(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    seed: SeedOption = None,
    out: OutOption = Path("results"),
    live: Annotated[bool, typer.Option(help="Decode while simulating, even where a tape would do.")] = False,
    timeline: Annotated[bool, typer.Option(help="Write timeline.json, which Perfetto opens.")] = False,
    window: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="FROM:TO", help="Simulated seconds that --timeline shows; 0:10 if not given."),
    ] = None,
    trust_remote_code: TrustOption = False,
    json: JsonOption = False,
) -> None:
    """Run one scenario: table, figures, files."""
    from sim.cli.run import run_command

    if window is not None and not timeline:
        raise typer.BadParameter("--window is about --timeline, which is not given")
    trust(trust_remote_code)
    run_command(scenario, set_ or [], seed, out, live, json, (window or "0:10") if timeline else None)


@on_cluster
def sweep(
    scenario: ScenarioArgument,
    vary: VaryOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    cluster: Optional[Cluster] = None,  # noqa: UP045
    resume: Annotated[bool, typer.Option(help="Skip points that a sweep of this scenario has finished.")] = False,
    out: OutOption = Path("results"),
    trust_remote_code: TrustOption = False,
    json: JsonOption = False,
) -> int:
    """Run all points of a scenario's sweep: table, figures, files."""
    from sim.cli.run import sweep_command

    trust(trust_remote_code)
    return sweep_command(scenario, vary or [], set_ or [], seed, jobs, cluster, resume, out, json)


def plot(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]RESULT...",
            help="Folders of runs or sweeps, or their tables; of a scenario's folder the newest.",
        ),
    ],
    x: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Column on the horizontal axis, of numbers or of names."),
    ] = None,
    y: Annotated[str, typer.Option(help="Column on the vertical axis.")] = "e2e_mean_s",
    by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Column that makes the series; a key that variants set will do."),
    ] = None,
    facet: Annotated[Optional[str], typer.Option(help="Column that makes the panels.")] = None,  # noqa: UP045
    where: WhereOption = None,
    kind: Annotated[
        str, typer.Option(help="line, pareto, heatmap, a name of specran list figures, or module:Name.")
    ] = "line",
    size: Annotated[
        str, typer.Option(help="ieee1, ieee2, acm, acm2, nature, nature2, or WIDTHxHEIGHT in inches (12x8cm).")
    ] = "ieee1",
    style: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="FILE.mplstyle", help="A matplotlib style over the project's own."),
    ] = None,
    title: Annotated[Optional[str], typer.Option(help="Title above the figure.")] = None,  # noqa: UP045
    xlabel: Annotated[Optional[str], typer.Option(help="Label of the horizontal axis.")] = None,  # noqa: UP045
    ylabel: Annotated[Optional[str], typer.Option(help="Label of the vertical axis.")] = None,  # noqa: UP045
    xlim: Annotated[Optional[str], typer.Option(metavar="LOW:HIGH", help="Ends of the axis.")] = None,  # noqa: UP045
    ylim: Annotated[Optional[str], typer.Option(metavar="LOW:HIGH", help="Ends of the axis.")] = None,  # noqa: UP045
    legend: LegendOption = None,
    color: ColorOption = None,
    log_x: LogXOption = None,
    log_y: LogYOption = None,
    latex: LatexOption = None,
    out: Annotated[Path, typer.Option(help="Picture to write; the suffix gives the format.")] = Path("plot.png"),
) -> None:
    """Draw a figure from tables on disk; simulates nothing."""
    from sim.cli.plot import PlotRequest, plot_command

    columns = PlotRequest(results, x, y, by, facet, where or [], kind, log_x, log_y, out, latex)
    looks = replace(columns, size=size, style=style, title=title, legend=legend or [], color=color or [])
    plot_command(replace(looks, xlabel=xlabel, ylabel=ylabel, xlim=xlim, ylim=ylim))


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of a run or sweep.")],
    b: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="Another one; without it, two sides of the first are compared."),
    ] = None,
    metric: Annotated[str, typer.Option(help="Column to compare.")] = "e2e_mean_s",
    json: JsonOption = False,
    csv: CsvOption = False,
    side_a: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--a", metavar="VARIANT|COLUMN=VALUE", help="Rows of the first side."),
    ] = None,
    side_b: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--b", metavar="VARIANT|COLUMN=VALUE", help="Rows of the second side."),
    ] = None,
) -> None:
    """Paired differences B - A with 95 % intervals; both sides saw the same random numbers."""
    from sim.cli.plot import compare_command

    compare_command(a, b, metric, _form(json, csv), side_a, side_b)


def _form(json: bool, csv: bool) -> Literal["json", "csv", "table"]:
    if json and csv:
        raise typer.BadParameter("give --json or --csv, not both")
    return "json" if json else "csv" if csv else "table"


def validate(
    scenarios: Annotated[list[str], typer.Argument(help="YAML files or names of bundled scenarios.")],
    vary: VaryOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
) -> None:
    """Check scenarios: schema and sense, with file and line; changed as run and sweep would change them."""
    from sim.cli.inspect import validate_command

    validate_command(scenarios, vary or [], set_ or [], seed)


def calibrate(
    scenario: Annotated[str, typer.Argument(help="Whose models to time.")] = "quickstart",
    set_: SetOption = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Also write a calibration file that other hosts can use."),
    ] = None,
    trust_remote_code: TrustOption = False,
) -> None:
    """Measure this host's model timings anew."""
    from sim.cli.inspect import calibrate_command

    trust(trust_remote_code)
    calibrate_command(scenario, set_ or [], out)


def price(
    hardware: Annotated[str, typer.Option(help="Named hardware, or a YAML file with a block that describes it.")],
    model: Annotated[str, typer.Option(help="Listed model, config.json, cached repository, or number of parameters.")],
    batch: Annotated[int, typer.Option(min=1, help="Sequences in the step.")] = 1,
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens that each sequence feeds.")] = 1,
    context: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Tokens that each attends to, the new ones included; the new ones alone by default."),
    ] = None,
    rows: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=0, help="Rows of logits that each wants; one for each new token by default, 1 beyond 16."),
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=0, help="Tokens of a prompt that shares the step.")] = 0,
    weights: Annotated[str, typer.Option(help="Precision of the weights (specran list precisions).")] = "fp16",
    cached_bytes: Annotated[float, typer.Option(help="Bytes per value of the key-value cache.")] = 2.0,
    processors: Annotated[int, typer.Option(min=1, help="Processors that share every layer.")] = 1,
    runtime: Annotated[str, typer.Option(help="Inference runtime (specran list runtimes).")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the price as JSON on stdout.")] = False,
) -> None:
    """Price one step of a model on hardware: seconds, joules, what bounds it, and its parts."""
    from sim.cli.price import PriceRequest, price_command

    request = PriceRequest(
        hardware, model, batch, new_tokens, context, rows, prompt_tokens, weights, cached_bytes, processors, runtime
    )
    price_command(request, json)


def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            help="keys, protocols, rules, controllers, links, schedulers, xapps, engines, policies, routings, "
            "handovers, sharing_modes, orchestrators, compute, figures, hardware, runtimes, precisions, sizes, "
            "scenarios, columns"
        ),
    ] = "protocols",
    section: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="Of keys: only those below this one, such as workload, link, link.nr or protocol.tslt."),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
) -> None:
    """What can be named in YAML, one line each; of keys their unit, bounds, default and meaning."""
    from sim.cli.inspect import list_command

    list_command(kind, section, _form(json, csv))


def schema() -> None:
    """JSON Schema of scenarios, for editors."""
    from sim.cli.inspect import schema_command

    schema_command()


def prove(
    name: Annotated[str, typer.Argument(help="A protocol's name, or module:Name of one of your own.")],
    set_: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="One of the protocol's keys; may be repeated."),
    ] = None,
    vocab_size: Annotated[int, typer.Option(min=2, max=6, help="Tokens of the tables.")] = 3,
    tokens: Annotated[int, typer.Option(min=1, max=5, help="Tokens generated; a draft is cut to them.")] = 3,
    pairs: Annotated[int, typer.Option(min=1, max=100, help="Pairs of draft and target tables.")] = 4,
    max_outcomes: Annotated[
        int,
        typer.Option(min=1, help="Random outcomes to follow at most, some 500 a second; more end with exit code 2."),
    ] = 20_000,
    json: JsonOption = False,
) -> int:
    """Enumerate a protocol's output distribution on small tables; exit code 1 if it is not the target's own."""
    from sim.cli.prove import prove_command

    return prove_command(name, set_ or [], vocab_size, tokens, pairs, max_outcomes, json)
