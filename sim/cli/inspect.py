"""Commands that simulate nothing: validate, list, schema, plot, compare, calibrate."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sim.cli.price import PRICE_TABLES, price_table
from sim.cli.terminal import note, print_lines
from sim.core.errors import InputError, unknown_name_message
from sim.scenario.loading import bundled_scenarios, load_scenario, locate_errors

if TYPE_CHECKING:
    from sim.scenario.schema import Scenario

Form = Literal["table", "json", "csv"]


def version_command() -> None:
    """Name and version on stdout."""
    from importlib import metadata

    print(f"specran {metadata.version('specran')}")


def validate_command(names: list[str], vary: list[str], set_: list[str], seed: int | None) -> None:
    """Check each scenario, changed likewise, and the files that it names; all problems are reported, one line each.

    No code of a user's own runs, and no model is loaded.
    """
    from sim.cli.named_files import check_named_files
    from sim.core.user_code import user_code_not_run
    from sim.scenario.notes import scenario_notes
    from sim.scenario.overrides import changes_of, parse_axes
    from sim.scenario.points import expand

    axes, changes = parse_axes(vary), changes_of(set_, seed)
    wrong = []
    for name in names:
        try:
            with user_code_not_run():
                scenario = load_scenario(name, changes, axes, check=expand)
                scenarios = [scenario, *(point.scenario for point in expand(scenario))]
                notes = scenario_notes(scenarios)
                with locate_errors(name, changes, axes):
                    opened = check_named_files(scenarios)
        except InputError as error:
            # An option is to blame in one of several scenarios: in which one?
            wrong.append(f"{name}: {error}" if len(names) > 1 and error.place.startswith("--") else str(error))
        else:
            print_lines([f"{name}: valid"])
            for line in (*notes, *opened.notes):
                note(f"note:    {line}")
            for line in opened.left_out:
                note(f"not opened: {line}")
            own = unchecked_names(scenario)
            if own:
                note(f"{name}: not checked, because no code of yours runs here: the keys of {', '.join(own)}")
                note(f"{name}: specran {'run' if scenario.sweep is None else 'sweep'} checks them before it decodes")
    if wrong:
        raise InputError("\nspecran: ".join(wrong))


def unchecked_names(scenario: Scenario) -> list[str]:
    """What of a scenario is a user's own and was not loaded, as ``part name``."""
    from sim.core.user_code import is_user_name

    plain = scenario.dump()
    return [f"{key} {text!r}" for key, text in _texts("", plain) if is_user_name(text)]


def _texts(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Texts of nested values with their dotted keys; of a sweep its changes too."""
    if isinstance(value, str):
        yield prefix, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(prefix, inner)


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
        from sim.cli.keys import how_written

        print_lines([line for line in (how_written(section), *_key_lines(rows)) if line])
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
    from sim.cli.registries import REGISTRIES  # loads parts that no other command here needs

    if kind in REGISTRIES:
        return [(entry.name, _marked(entry)) for entry in REGISTRIES[kind].registry]
    if kind == "scenarios":
        return [(name, _first_comment(path)) for name, path in bundled_scenarios().items()]
    if kind == "columns":
        from sim.results.columns import TABLES

        # As ``plot`` takes them; which table has one is said behind it.
        return [(name, f"{table}: {text}") for table, columns in TABLES.items() for name, text in columns.items()]
    if kind == "hardware":
        from sim.compute.hardware import find_hardware, hardware_names

        return [(name, find_hardware(name).title) for name in hardware_names()]
    if kind in PRICE_TABLES:
        return price_table(kind)
    raise InputError(
        unknown_name_message("kind", kind, [*REGISTRIES, "keys", "scenarios", "columns", "hardware", *PRICE_TABLES])
    )


def _marked(entry: Any) -> str:
    lossless = entry.traits.get("lossless")
    if lossless is None:
        value: str = entry.summary
        return value
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


def calibrate_command(name: str, set_: list[str], out: Path | None) -> None:
    """Time the models of a scenario on this host."""
    from sim.cli.output import only_results_on_stdout, print_table, say
    from sim.cli.run import say_user_code
    from sim.compute.calibration_files import calibrate
    from sim.inputs.scenario_models import load_models
    from sim.scenario.overrides import changes_of

    with only_results_on_stdout():
        scenario = load_scenario(name, changes_of(set_, None))
        say_user_code()
        models = load_models(scenario.models, tuple(scenario.protocol.trait("models")))
        made = calibrate(models.values(), out)
    rows = [
        (role, model.name, calibration.median_relative_error)
        for (role, model), calibration in zip(models.items(), made, strict=True)
    ]
    print_table("Calibrated on this host", ("role", "model", "median relative error of the fit"), rows)
    if out is not None:
        say(f"file:    {out}")
