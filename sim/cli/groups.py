"""The groups of commands ``channel``, ``tape`` and ``models`` and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from sim.cli.options import (
    JsonOption,
    ModelArgument,
    OwnSeedOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    TrustOption,
    VaryOption,
    trust,
)


def channel_commands() -> typer.Typer:
    """The group of ``specran channel``."""
    channel = typer.Typer(help="Channels and bandwidth traces.", no_args_is_help=True, rich_markup_mode=None)
    channel.command("record")(record_channel)
    channel.command("import")(import_channel)
    channel.command("calibrate")(calibrate_channel)
    return channel


def tape_commands() -> typer.Typer:
    """The group of ``specran tape``."""
    tape = typer.Typer(
        no_args_is_help=True, help="What was decoded once and is replayed under every channel.", rich_markup_mode=None
    )
    tape.command(name="record")(tape_record)
    tape.command(name="list")(tape_list)
    tape.command(name="verify")(tape_verify)
    tape.command(name="prune")(tape_prune)
    tape.command(name="export")(tape_export)
    tape.command(name="import")(tape_import)
    return tape


def model_commands() -> typer.Typer:
    """The group of ``specran models``."""
    models = typer.Typer(no_args_is_help=True, help="Language models: what they are.", rich_markup_mode=None)
    models.command(name="list")(models_list)
    models.command(name="get")(models_get)
    models.command(name="check")(models_check)
    return models


def record_channel(
    model: Annotated[str, typer.Argument(help="cdl_a to cdl_e, or a ray-tracing scene such as munich.")],
    out: Annotated[Path, typer.Option(help="Trace file to write, .npz.")],
    devices: Annotated[int, typer.Option(min=1, help="Devices.")] = 8,
    duration_s: Annotated[float, typer.Option(help="Length in seconds.")] = 1.0,
    sample_period_s: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Seconds between samples; a sixteenth of the Doppler period by default."),
    ] = None,
    speed_kmh: Annotated[float, typer.Option(help="Speed of the devices in km/h.")] = 3.0,
    carrier_ghz: Annotated[float, typer.Option(help="Carrier frequency in GHz.")] = 3.5,
    delay_spread_s: Annotated[float, typer.Option(help="RMS delay spread in seconds (CDL).")] = 100e-9,
    bandwidth_mhz: Annotated[float, typer.Option(help="Channel bandwidth in MHz.")] = 20.0,
    scs_khz: Annotated[int, typer.Option(help="Subcarrier spacing in kHz.")] = 30,
    prb_group: Annotated[int, typer.Option(min=1, help="PRBs per group.")] = 4,
    seed: OwnSeedOption = 1,
) -> None:
    """Record a CDL or ray-traced channel by Sionna, for links that replay traces."""
    from sim.cli.channels import record_channel_command

    record_channel_command(
        model,
        out,
        devices,
        duration_s,
        sample_period_s,
        speed_kmh,
        carrier_ghz,
        delay_spread_s,
        bandwidth_mhz,
        scs_khz,
        prb_group,
        seed,
    )


def import_channel(
    file: Annotated[Path, typer.Argument(help="Measurement to read.")],
    format_: Annotated[str, typer.Option("--format", help="mahimahi, ucc5g, lumos5g, nuwins, ghent or csv.")],
    out: Annotated[Optional[Path], typer.Option(help="CSV trace to write; beside the file by default.")] = None,  # noqa: UP045
    direction: Annotated[
        str, typer.Option(help="downlink or uplink; of a file that holds one, which it is.")
    ] = "downlink",
    column: Annotated[Optional[str], typer.Option(help="Column of the rate (its number without a header).")] = None,  # noqa: UP045
    unit: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="bit/s, kbit/s, Mbit/s, byte/s, kbyte/s, Mbyte/s, or bits, bytes since the row before."),
    ] = None,
    time_column: Annotated[Optional[str], typer.Option(help="Column of the time.")] = None,  # noqa: UP045
    time_format: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="s, ms, us, iso, ucc, or row: one row per second."),
    ] = None,
    gaps: Annotated[str, typer.Option(help="Pauses of 3 usual steps (and 1 s) or more: cut, hold or zero.")] = "cut",
    merge_s: Annotated[float, typer.Option(help="Rows this near to each other are one measurement [s].")] = 0.01,
    bin_s: Annotated[float, typer.Option(help="Bins of Mahimahi's opportunities [s], whole milliseconds.")] = 0.1,
    json: JsonOption = False,
) -> None:
    """Make a bandwidth trace for the link trace of a published measurement."""
    from sim.cli.channels import import_trace_command

    import_trace_command(
        file, format_, out, direction, column, unit, time_column, time_format, gaps, merge_s, bin_s, json
    )


def calibrate_channel(
    scenario: ScenarioArgument,
    set_: SetOption = None,
    devices: Annotated[int, typer.Option(min=20, max=20_000, help="Devices of one drop.")] = 570,
    drops: Annotated[int, typer.Option(min=1, max=1000, help="Drops, each with its own shadowing.")] = 20,
    seed: SeedOption = None,
    out: Annotated[Path, typer.Option(help="Folder of the figure.")] = Path("results/calibration"),
    json: JsonOption = False,
) -> None:
    """Coupling loss and geometry of a scenario's cells beside those of 3GPP's calibration; simulates no slot."""
    from sim.cli.channels import calibrate_channel_command

    calibrate_channel_command(scenario, set_ or [], devices, drops, seed, out, json)


def tape_record(
    scenario: ScenarioArgument,
    vary: VaryOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    jobs: Annotated[Optional[int], typer.Option(min=1, help="Worker processes; all cores by default.")] = None,  # noqa: UP045
    payloads: Annotated[bool, typer.Option(help="Keep the bytes of all messages too.")] = False,
    trust_remote_code: TrustOption = False,
) -> None:
    """Decode what a scenario and its sweep will replay."""
    from sim.cli.tape import record_tape_command

    trust(trust_remote_code)
    record_tape_command(scenario, vary or [], set_ or [], seed, jobs, payloads)


def tape_list(json: JsonOption = False) -> None:
    """One line per recorded request."""
    from sim.cli.tape import list_tape_command

    list_tape_command(json)


def tape_verify(
    remove: Annotated[bool, typer.Option(help="Remove what is damaged or of another version.")] = False,
) -> int:
    """Check every entry; exit code 1 if one is damaged."""
    from sim.cli.tape import verify_command

    return verify_command(remove)


def tape_prune(
    max_gb: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="What may be left; SPECRAN_TAPE_MAX_GB by default, which is 20 unless set."),
    ] = None,
) -> None:
    """Remove the least recently used entries until the rest fits."""
    from sim.cli.tape import prune_command

    prune_command(max_gb)


def tape_export(
    scenario: Annotated[Optional[str], typer.Argument(help="Whose requests; all by default, for --parquet.")] = None,  # noqa: UP045
    vary: VaryOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    parquet: Annotated[Optional[Path], typer.Option(help="Write a table of all rounds.")] = None,  # noqa: UP045
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write what another machine needs to replay the scenario, without its models."),
    ] = None,
    archive: Annotated[Optional[Path], typer.Option(help="The same as --folder, in one compressed file.")] = None,  # noqa: UP045
    trust_remote_code: TrustOption = False,
) -> None:
    """Rounds and acceptance as a table, or a tape for another machine."""
    from sim.cli.tape import export_command

    trust(trust_remote_code)
    export_command(scenario, vary or [], set_ or [], seed, parquet, folder, archive)


def tape_import(
    source: Annotated[Path, typer.Argument(help="Folder or archive that another machine exported.")],
) -> None:
    """Take over a tape from another machine."""
    from sim.cli.tape import import_tape_command

    import_tape_command(source)


def models_list(json: JsonOption = False) -> None:
    """One line per model that ships with SpecRAN or is fetched by name."""
    from sim.cli.models import list_models_command

    list_models_command(json)


def models_get(name: ModelArgument) -> None:
    """Fetch, download or convert a model, and print where it is."""
    from sim.cli.models import get_command

    get_command(name)


def models_check(
    name: ModelArgument,
    other: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--with", metavar="NAME_OR_PATH", help="Target that the model is to be the draft of."),
    ] = None,
    trust_remote_code: TrustOption = False,
    json: JsonOption = False,
) -> int:
    """Tell what a model is and whether it can draft for another; exit code 2 if a run refuses it, 1 if it cannot."""
    from sim.cli.models import check_command

    trust(trust_remote_code)
    return check_command(name, other, json)
