"""Commands that simulate nothing: validate, list, schema, plot, compare, calibrate."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sim.cli.terminal import note, print_lines
from sim.core.errors import InputError, unknown_name_message
from sim.scenario.loading import bundled_scenarios, load_scenario

if TYPE_CHECKING:
    import pandas as pd

    from sim.core.registry import Registry
    from sim.scenario.schema import Scenario

Form = Literal["table", "json", "csv"]

# What is drawn and compared if no column is named: of sweeps, and of the requests of runs.
_SWEEP_LATENCY, _REQUEST_LATENCY = "e2e_mean_s", "e2e_s"


def version_command() -> None:
    """Name and version on stdout."""
    from importlib import metadata

    print(f"specran {metadata.version('specran')}")


def validate_command(names: list[str]) -> None:
    """Check each scenario; all wrong ones are told, one line each. No code of a user's own runs."""
    from sim.core.user_code import user_code_not_run
    from sim.sweep.points import expand

    wrong = []
    for name in names:
        try:
            with user_code_not_run():
                scenario = load_scenario(name, check=expand)
        except InputError as error:
            wrong.append(str(error))
        else:
            print_lines([f"{name}: valid"])
            for own in unchecked_names(scenario):
                note(f"{name}: the keys of {own} were not checked, because no code of yours runs here")
    if wrong:
        raise InputError("\nspecran: ".join(wrong))


def unchecked_names(scenario: Scenario) -> list[str]:
    """Parts of a user's own whose modules were not loaded, as ``part name``."""
    parts = {"protocol": scenario.protocol, "controller": scenario.controller, "link": scenario.link}
    parts |= {f"compute.{site}": choice for site, choice in scenario.compute.items()}
    return [f"{part} {choice.name!r}" for part, choice in parts.items() if not choice.entry.loaded]


def _registries() -> dict[str, Registry[Any]]:
    from sim.compute.registry import COMPUTE
    from sim.decoding.controllers.registry import CONTROLLERS
    from sim.decoding.protocols.registry import PROTOCOLS
    from sim.decoding.verification.base import RULES
    from sim.links.nr.mac.schedulers.registry import SCHEDULERS
    from sim.links.registry import LINKS

    return {
        "protocols": PROTOCOLS,
        "rules": RULES,
        "links": LINKS,
        "controllers": CONTROLLERS,
        "schedulers": SCHEDULERS,
        "compute": COMPUTE,
    }


def list_command(kind: str, section: str | None = None, form: Form = "table") -> None:
    """One line per name, or per key."""
    if section is not None and kind != "keys":
        raise InputError(f"list {kind} takes no section; list keys does")
    if kind == "keys":
        from sim.cli.keys import list_keys

        rows = list_keys(section)
    else:
        rows = [{"name": name, "meaning": text} for name, text in _names_of(kind)]
    if form != "table":
        from sim.cli.output import print_rows

        print_rows(rows, as_json=form == "json")
    elif kind == "keys":
        print_lines(_key_lines(rows))
    else:
        width = max(len(row["name"]) for row in rows)
        print_lines([f"{row['name']:<{width}}  {row['meaning']}".rstrip() for row in rows])


def _key_lines(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """A line per key with what it takes, and its meaning below it."""
    lines = []
    for row in rows:
        unit = f" [{row['unit']}]" if row["unit"] else ""
        bounds = f"; {row['bounds']}" if row["bounds"] else ""
        lines.append(f"{row['key']}{unit} = {row['default']}  ({row['type']}{bounds})")
        lines += textwrap.wrap(row["meaning"], 110, initial_indent="    ", subsequent_indent="    ")
    return lines


def _names_of(kind: str) -> list[tuple[str, str]]:
    registries = _registries()
    if kind in registries:
        return [(entry.name, _marked(entry)) for entry in registries[kind]]
    if kind == "scenarios":
        return [(name, _first_comment(path)) for name, path in bundled_scenarios().items()]
    if kind == "columns":
        from sim.results.columns import TABLES

        return [(f"{table}.{name}", text) for table, columns in TABLES.items() for name, text in columns.items()]
    if kind == "hardware":
        from sim.compute.hardware import find_hardware, hardware_names

        return [(name, find_hardware(name).title) for name in hardware_names()]
    raise InputError(unknown_name_message("kind", kind, [*registries, "keys", "scenarios", "columns", "hardware"]))


def _marked(entry: Any) -> str:
    lossless = entry.traits.get("lossless")
    if lossless is None:
        return entry.summary
    mark = "depends on settings" if callable(lossless) else ("lossless" if lossless else "lossy")
    return f"[{mark}] {entry.summary}"


def _first_comment(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def schema_command() -> None:
    """JSON Schema on stdout."""
    from sim.scenario.json_schema import scenario_json_schema

    json.dump(scenario_json_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")


def plot_command(
    results: list[Path],
    x: str | None,
    y: str,
    by: str | None,
    facet: str | None,
    kind: str,
    style: str,
    log_x: bool | None,
    log_y: bool | None,
    where: list[str],
    out: Path,
) -> None:
    """Draw one figure."""
    from sim.cli.output import say
    from sim.figures.plot import plot
    from sim.figures.style import save

    rows = _parse_where(where)
    tables = _tables_of(results, [*(column for column in (x, y) if column is not None), *rows])
    y = _latency_of(tables, y)
    figure = plot(tables, x, y, by=by, facet=facet, kind=kind, log_x=log_x, log_y=log_y, style=style, where=rows)
    try:
        save(figure, out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    say(f"figure:  {out}")


def _parse_where(texts: list[str]) -> dict[str, list[str]]:
    """Columns and the values asked for, from ``COLUMN=VALUE`` each."""
    rows: dict[str, list[str]] = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not (column and equals and value):
            raise InputError(f"--where expects COLUMN=VALUE, such as protocol.top_k=32, got {text!r}")
        rows.setdefault(column, []).append(value)
    return rows


def _latency_of(tables: Sequence[pd.DataFrame], column: str) -> str:
    """The column asked for; of requests' latency, where the one of sweeps is meant and none of them has it."""
    if column == _SWEEP_LATENCY and all(column not in table and _REQUEST_LATENCY in table for table in tables):
        return _REQUEST_LATENCY
    return column


def _tables_of(results: list[Path], columns: list[str]) -> list[pd.DataFrame]:
    """A table per result; runs are rows of one table if a column is asked for that requests lack and summaries have."""
    from sim.figures.runs_table import is_run, runs_table
    from sim.results.reading import read_table

    tables = {}
    for place, path in enumerate(results):
        tables[place] = read_table(path)
        tables[place].attrs["name"] = path.stem if path.is_file() else path.resolve().name
    runs = [place for place, path in enumerate(results) if is_run(path)]
    if all(set(columns) <= set(tables[place]) for place in runs):
        return list(tables.values())
    together = runs_table([results[place] for place in runs], columns)
    if not set(columns) <= set(together):
        return list(tables.values())
    together.attrs["name"] = "runs" if len(runs) > 1 else tables[runs[0]].attrs["name"]
    return [*(table for place, table in tables.items() if place not in runs), together]


def compare_command(a: Path, b: Path, metric: str, form: Form = "table") -> None:
    """Print paired differences."""
    from sim.cli.output import print_rows, print_table, say
    from sim.figures.compare import compare
    from sim.figures.runs_table import seed_of
    from sim.results.reading import read_table

    tables = read_table(a), read_table(b)
    seeds = seed_of(a), seed_of(b)
    if None not in seeds and seeds[0] != seeds[1]:
        raise InputError(
            f"A ran with seed {seeds[0]}, B with seed {seeds[1]}: pairs must have seen the same random numbers"
        )
    metric = _latency_of(tables, metric)
    compared = compare(*tables, metric)
    if form == "table":
        print_table(metric, *_compared_cells(compared))
    else:
        print_rows([{"metric": metric, **_plain_row(row)} for row in compared.to_dict("records")], form == "json")
    say(f"A: {a}")
    say(f"B: {b}")
    count, per = compared["independent"].max(), compared.attrs["per"]
    say(f"intervals: Student's t over {count} {per}" + ("" if count > 1 else ", which gives none"))
    for name, alone in zip("AB", compared.attrs["alone"], strict=True):
        if alone:
            say(f"{name} has {alone} rows without a partner, which are left out")


def _compared_cells(compared: pd.DataFrame) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows for people."""
    from sim.cli.output import format_value

    def interval(row: dict[Any, Any], name: str) -> str:
        if row[f"{name}_low"] != row[f"{name}_low"]:
            return "-"
        return f"{format_value(row[f'{name}_low'])} to {format_value(row[f'{name}_high'])}"

    varied: list[str] = compared.attrs["varied"]
    columns = [*(varied or ["condition"]), "pairs", "A", "B", "B - A", "95 % interval", "B / A", "95 % interval"]
    rows = [
        [
            *_condition(row, varied),
            row["pairs"],
            row["mean_a"],
            row["mean_b"],
            row["difference"],
            interval(row, "difference"),
            row["ratio"],
            interval(row, "ratio"),
        ]
        for row in compared.to_dict("records")
    ]
    return columns, rows


def _plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row whose numbers are Python's own."""
    return {str(key): value.item() if hasattr(value, "item") else value for key, value in row.items()}


def _condition(row: dict[Any, Any], varied: list[str]) -> list[str]:
    """What the cells of a row say of its condition."""
    if row["condition"] == "all":
        return ["all", *[""] * (len(varied) - 1)]
    return [f"{row[key]:g}" if isinstance(row[key], float) else str(row[key]) for key in varied]


def calibrate_command(name: str, set_: list[str], out: Path | None) -> None:
    """Time the models of a scenario on this host."""
    from sim.cli.output import print_table, say
    from sim.cli.run import changes_of
    from sim.compute.calibration_files import calibrate
    from sim.runs.prepare import load_models

    scenario = load_scenario(name, changes_of(set_, None))
    models = load_models(scenario.models, tuple(scenario.protocol.trait("models")))
    made = calibrate(models.values(), out)
    rows = [
        (role, model.name, calibration.median_relative_error)
        for (role, model), calibration in zip(models.items(), made, strict=True)
    ]
    print_table("Calibrated on this host", ("role", "model", "median relative error of the fit"), rows)
    if out is not None:
        say(f"file:    {out}")
