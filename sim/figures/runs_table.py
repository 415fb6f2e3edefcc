"""Several runs as rows of one table, as if they were a sweep made by hand: their summaries, and what they differ in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channels.text_files import parse_json, read_text
from sim.core.errors import InputError
from sim.core.yaml_text import YamlError, read_values

if TYPE_CHECKING:
    import pandas as pd

# Keys that are no condition: a seed has a column of its own.
_NO_CONDITION = ("name", "seed", "sweep")


def is_run(folder: Path) -> bool:
    """Whether a folder is that of one run."""
    return (folder / "summary.json").is_file() and (folder / "scenario.yaml").is_file()


def seed_of(folder: Path) -> int | None:
    """The seed of a run by its folder; None for anything else, whose table knows its seeds."""
    return int(runs_table([folder])["seed"].iloc[0]) if is_run(folder) else None


def runs_table(folders: Sequence[Path], wanted: Sequence[str] = ()) -> pd.DataFrame:
    """A row per run: the scenario's keys in which the runs differ, its seed, its summary.

    Args:
        folders: Of the runs.
        wanted: Keys that become columns even where they do not differ.

    Raises:
        InputError: A folder's files cannot be read.
    """
    import pandas as pd

    rows, keys = [], []
    for folder in folders:
        scenario, summary = _read_run(folder)
        keys.append(_flat("", {key: value for key, value in scenario.items() if key not in _NO_CONDITION}))
        rows.append({"seed": scenario["seed"], **summary})
    names = list(dict.fromkeys(name for row in keys for name in row))
    differ = [name for name in names if name in wanted or len({json.dumps(row.get(name)) for row in keys}) > 1]
    return pd.DataFrame(
        [{**{name: row.get(name) for name in differ}, **rest} for row, rest in zip(keys, rows, strict=True)]
    )


def _read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scenario and summary of a run.

    Raises:
        InputError: One cannot be read, or is not what a run writes.
    """
    place = folder / "scenario.yaml"
    try:
        scenario = read_values(read_text(place))
        if not isinstance(scenario, dict) or type(scenario.get("seed")) is not int:
            raise ValueError(f"{place}: not the scenario of a run")
        place = folder / "summary.json"
        summary = parse_json(read_text(place), place)
        if not isinstance(summary, dict) or any(isinstance(value, dict | list) for value in summary.values()):
            raise ValueError(f"{place}: not the summary of a run")
    except YamlError as error:
        raise InputError(f"{folder}: not the folder of a run: {place}: {error}") from error
    except ValueError as error:
        raise InputError(f"{folder}: not the folder of a run: {error}") from error
    return scenario, summary


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """Leaves by their dotted keys; lists as text."""
    if not isinstance(value, dict):
        return {prefix: json.dumps(value) if isinstance(value, list) else value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    return flat
