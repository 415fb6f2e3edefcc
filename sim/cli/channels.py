"""``specran channel``: fading traces made by Sionna ahead of time, bandwidth traces of others, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from channels.text_files import has_suffix
from sim.cli.terminal import print_lines
from sim.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from channels.recorded import FadingTrace
    from channels.trace_import import ImportedTrace
    from sim.links.nr import NrLinkSettings
    from sim.scenario.overrides import Changes


# Warnings of gaps beyond these are summed up.
_SHOWN_GAPS = 10


def record_channel_command(
    model: str,
    out: Path,
    devices: int,
    duration_s: float,
    sample_period_s: float | None,
    speed_kmh: float,
    carrier_ghz: float,
    delay_spread_s: float,
    bandwidth_mhz: float,
    scs_khz: int,
    prb_group: int,
    seed: int,
) -> None:
    """Record a CDL channel, or a ray-traced scene with devices dropped in it, as one ``.npz`` file."""
    from channels.nr import num_prb, prb_group_centres_hz
    from channels.record_cdl import CDL_MODELS
    from channels.record_ray_tracing import SCENES, RayTracingUnavailable
    from sim.cli.output import say
    from sim.core.errors import unknown_name_message

    if not has_suffix(out, ".npz"):
        raise InputError(f"--out must end in .npz, got {out}")
    if model not in (*CDL_MODELS, *SCENES):
        raise InputError(unknown_name_message("channel model or scene", model, (*CDL_MODELS, *SCENES)))
    speed_m_s = speed_kmh / 3.6
    try:
        frequencies_hz = prb_group_centres_hz(num_prb(bandwidth_mhz, scs_khz), prb_group, scs_khz)
        period_s = sample_period_s or sensible_sample_period_s(speed_m_s, carrier_ghz)
        if model in CDL_MODELS:
            from channels.record_cdl import record_cdl

            trace = record_cdl(
                model, delay_spread_s, carrier_ghz, speed_m_s, frequencies_hz, devices, duration_s, period_s, seed
            )
        else:
            trace = _ray_traced(model, devices, speed_m_s, carrier_ghz, frequencies_hz, duration_s, period_s, seed)
    except RayTracingUnavailable as error:
        raise InputError(str(error)) from error
    except ValueError as error:
        raise InputError(f"channel record: {error}") from error
    try:
        trace.save(out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    say(f"trace:   {out} ({devices} devices, {len(frequencies_hz)} PRB groups, {duration_s:g} s)")


def sensible_sample_period_s(speed_m_s: float, carrier_ghz: float) -> float:
    """A sixteenth of the Doppler period, and at most 10 ms."""
    doppler_hz = speed_m_s * carrier_ghz * 1e9 / 299_792_458.0
    return min(0.01, 1 / (16 * doppler_hz)) if doppler_hz > 0 else 0.01


def _ray_traced(
    scene: str,
    devices: int,
    speed_m_s: float,
    carrier_ghz: float,
    frequencies_hz: npt.NDArray[np.float64],
    duration_s: float,
    period_s: float,
    seed: int,
) -> FadingTrace:
    """Devices dropped around the origin of a bundled scene, walking in random directions."""
    import numpy as np

    from channels.geometry import drop_devices
    from channels.mobility import random_headings_deg
    from channels.record_ray_tracing import record_ray_traced

    headings = np.deg2rad(random_headings_deg(seed, np.arange(devices)))
    velocities = speed_m_s * np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    positions = drop_devices(devices, 60.0, seed, min_distance_m=10.0)
    return record_ray_traced(
        scene, (0.0, 0.0, 25.0), positions, velocities, carrier_ghz, frequencies_hz, duration_s, period_s, seed
    )


def import_trace_command(
    path: Path,
    format_: str,
    out: Path | None,
    direction: str,
    column: str | None,
    unit: str | None,
    time_column: str | None,
    time_format: str | None,
    gaps: str,
    merge_s: float,
    bin_s: float,
    as_json: bool,
) -> None:
    """Turn a published measurement into a CSV trace for the link ``trace``."""
    from channels._validation import require_choice
    from channels.trace_formats import DIRECTIONS, FORMATS, ONE_DIRECTION, trace_format
    from channels.trace_import import import_trace
    from sim.core.errors import unknown_name_message
    from sim.core.files import cannot_write, write_atomically

    if format_ not in FORMATS:
        raise InputError(unknown_name_message("format", format_, FORMATS))
    place = out or path.with_name(f"{path.stem}_{direction}.csv")
    if not has_suffix(place, ".csv"):
        raise InputError(f"--out must end in .csv, got {place}")
    if place.exists() and path.exists() and place.samefile(path):
        raise InputError(f"--out {place} is the file to import")
    try:
        require_choice("direction", direction, DIRECTIONS)
        if format_ == "mahimahi":
            layout = None
        else:
            layout = trace_format(format_, direction, column, unit, time_column, time_format)
        trace = import_trace(path, layout, gaps, merge_s, bin_s)
    except ValueError as error:
        raise InputError(f"channel import: {error}") from error
    try:
        write_atomically(place, trace.as_csv(f"{path.name} ({format_}, {direction})").encode())
    except OSError as error:
        raise cannot_write("the trace", place, error) from error
    is_told = format_ in ONE_DIRECTION and column is None
    _warn_of_direction(path, direction, is_told)
    _warn_of_rows(trace, gaps)
    _show_trace(
        trace, place, f"{direction}, as --direction says; the file holds one" if is_told else direction, as_json
    )


def _warn_of_direction(path: Path, direction: str, is_told: bool) -> None:
    """Say if a file that holds one direction is named after the other."""
    from sim.cli.output import say

    name = path.name.lower()
    named = [each for each, end in (("downlink", ".down"), ("uplink", ".up")) if each in name or name.endswith(end)]
    if is_told and named and direction not in named:
        say(f"warning: {path.name} is imported as {direction}; its name says {named[0]} (--direction {named[0]})")


def _warn_of_rows(trace: ImportedTrace, gaps: str) -> None:
    """Say what is missing in the measurement, and if its unit seems wrong."""
    from sim.cli.output import say

    if trace.num_skipped:
        say(f"warning: rows without a measurement (empty or NaN) that were skipped: {trace.num_skipped}")
    if trace.is_implausible:
        say("warning: half of the rates are over 10 Gbit/s: probably they are in another unit (--unit)")
    for start_s, length_s in trace.gaps[:_SHOWN_GAPS]:
        say(f"warning: no measurement for {length_s:.3g} s from {start_s:.6g} s on ({gaps})")
    if len(trace.gaps) > _SHOWN_GAPS:
        say(f"warning: {len(trace.gaps) - _SHOWN_GAPS} more such gaps (--json lists all)")


def _show_trace(trace: ImportedTrace, place: Path, direction: str, as_json: bool) -> None:
    """What was imported, and warnings of what it may not show."""
    from sim.cli.output import print_json, say

    for start_s, end_s, reason in trace.limited:
        say(f"warning: {start_s:.6g} to {end_s:.6g} s may not show what the air could carry: {reason}")
    traits = {
        "trace": str(place),
        "direction": direction.partition(",")[0],
        "num_rows": trace.num_rows,
        "num_skipped": trace.num_skipped,
        "num_merged": trace.num_merged,
        "num_reordered": trace.num_reordered,
        "num_steps": len(trace.times_s),
        "duration_s": trace.duration_s,
        "mean_mbps": trace.mean_mbps,
        "min_mbps": float(trace.mbps.min()),
        "max_mbps": float(trace.mbps.max()),
        "gaps": [{"start_s": start, "length_s": length} for start, length in trace.gaps],
        "application_limited": [{"start_s": a, "end_s": b, "reason": reason} for a, b, reason in trace.limited],
        "application_limited_share": trace.limited_share,
    }
    if as_json:
        print_json(traits)
        return
    rates = f"{trace.mean_mbps:.4g} Mbit/s in the mean, {trace.mbps.min():.4g} to {trace.mbps.max():.4g}"
    print_lines(
        [
            f"trace:     {place}",
            f"direction: {direction}",
            f"length:    {trace.duration_s:.6g} s in {len(trace.times_s)} steps",
            f"rate:      {rates}",
            f"read:      {trace.num_rows} rows, {trace.num_merged} merged, {trace.num_reordered} out of order, "
            f"{trace.num_skipped} skipped",
            f"limited:   {trace.limited_share:.1%} of the time may be the application's rate, {len(trace.gaps)} gaps",
        ]
    )


def calibrate_channel_command(
    name: str, set_: list[str], devices: int, drops: int, seed: int | None, out: Path, as_json: bool
) -> None:
    """Coupling loss and geometry of a scenario's cells beside the curves of 3GPP's calibration."""
    from channels.calibration import QUANTITIES, shown, shown_reference
    from sim.cli.output import print_json, say
    from sim.cli.run import say_user_code
    from sim.figures.calibration import draw_calibration
    from sim.links.nr import NrLinkSettings
    from sim.links.nr.calibration import calibration_drop
    from sim.scenario.loading import load_scenario, locate_errors
    from sim.scenario.overrides import changes_of

    changes = _with_a_carrier_of_its_range(changes_of(set_, seed))
    scenario = load_scenario(name, changes)
    say_user_code()
    settings = scenario.link.settings
    if not isinstance(settings, NrLinkSettings):
        raise InputError(f"got {scenario.link.name}; valid: nr, which has cells to calibrate", "link.kind", f"{name}:")
    with locate_errors(name, changes):
        _check_has_neighbours(settings)
        try:
            drop = calibration_drop(settings, devices, scenario.seed, drops)
        except ValueError as error:
            raise InputError(str(error), "link") from error
    values = {"coupling_loss_db": drop.coupling_loss_db, "sir_db": drop.sir_db}
    ours = {quantity: shown(values[quantity]) for quantity in QUANTITIES}
    theirs = {q: shown_reference(q, settings.scenario, settings.carrier_ghz) for q in QUANTITIES}
    files = draw_calibration(values, settings.scenario, settings.carrier_ghz, out, scenario.name)
    if theirs["sir_db"] is None:
        say(
            f"no curves are published for {settings.scenario} at {settings.carrier_ghz:g} GHz (umi, uma: 6, 30, 70 GHz)"
        )
    say(f"figure:  {files[0]}")
    if as_json:
        conditions = {
            "scenario": settings.scenario,
            "carrier_ghz": settings.carrier_ghz,
            "num_devices": devices * drops,
        }
        print_json({**ours, "reference": theirs, **conditions})
        return
    of_both = [_compared(quantity, ours[quantity], theirs[quantity]) for quantity in QUANTITIES]
    print_lines([_layout(settings, devices, drops), *(line for lines in of_both for line in lines)])


def _with_a_carrier_of_its_range(changes: Changes) -> Changes:
    """Another carrier frequency has a width and a subcarrier spacing that there are; gains depend on neither."""
    from channels.nr.bandwidth import frequency_range_of

    carrier_ghz = changes.get("link.carrier_ghz")
    if not isinstance(carrier_ghz, int | float) or isinstance(carrier_ghz, bool):
        return changes
    widths: dict[str | None, dict[str, Any]] = {
        "fr1": {"link.scs_khz": 30, "link.bandwidth_mhz": 20},
        "fr2": {"link.scs_khz": 120, "link.bandwidth_mhz": 100},
    }
    for key, value in widths.get(frequency_range_of(carrier_ghz), {}).items():
        changes.setdefault(key, value)
    return changes


def _check_has_neighbours(settings: NrLinkSettings) -> None:
    """Refuse a single cell, which has no geometry.

    Raises:
        InputError: There is one cell.
    """
    if settings.snr_db is None and settings.num_sites * settings.sectors_per_site < 2:
        message = "got 1 site of 1 sector; geometry is what neighbours leave of it, and needs some: link.num_sites=7"
        raise InputError(message, "link.num_sites")


# The layouts that 3GPP's curves are of, TR 38.901 table 7.8-1.
_PUBLISHED_LAYOUTS = {"umi": "19 sites of 3 sectors, 200 m apart", "uma": "19 sites of 3 sectors, 500 m apart"}


def _layout(settings: NrLinkSettings, devices: int, drops: int) -> str:
    """What was dropped, and over which layout: a difference from 3GPP's curves comes from here first."""
    sectors = "sector" if settings.sectors_per_site == 1 else "sectors"
    text = (
        f"{settings.scenario} at {settings.carrier_ghz:g} GHz: {settings.num_sites} sites of "
        f"{settings.sectors_per_site} {sectors}, {settings.inter_site_distance_m:g} m apart; "
        f"{devices * drops:,} devices in {drops} {'drop' if drops == 1 else 'drops'}"
    )
    published = _PUBLISHED_LAYOUTS.get(settings.scenario)
    return f"{text}; 3GPP's curves are of {published}" if published else text


_TITLES = {
    "coupling_loss_db": "Coupling gain [dB] (the coupling loss, negative as 3GPP draws it)",
    "sir_db": "Geometry without noise [dB]",
}


def _compared(quantity: str, ours: dict[str, float], published: dict[str, float] | None) -> list[str]:
    """Lines of one quantity: percentiles, here, published, and the difference."""
    lines = [
        _TITLES[quantity],
        "  percentile " + "".join(f"{p:>9}" for p in ours),
        "  here       " + "".join(f"{value:9.1f}" for value in ours.values()),
    ]
    if published is not None:
        lines.append("  3GPP       " + "".join(f"{value:9.1f}" for value in published.values()))
        lines.append("  difference " + "".join(f"{ours[p] - value:+9.1f}" for p, value in published.items()))
    return lines
