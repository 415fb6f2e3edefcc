"""What results on disk are called beside each other: by the keys in which their scenarios differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from channels.text_files import read_text
from sim.core.errors import InputError
from sim.core.yaml_text import YamlError, read_values
from sim.figures.labels import name_of, number, panel_label, unit_of, within_line

_AXES = ("sweep.axes.", "sweep.zip.")
_MAX_KEYS = 3


def result_at(path: Path) -> Path:
    """The result that a path means: of a scenario's folder the newest sweep in it, or its newest run.

    Raises:
        InputError: A folder that holds neither.
    """
    if not path.is_dir() or any((path / f"{name}.parquet").is_file() for name in ("sweep", "requests")):
        return path
    for name in ("sweep", "requests"):
        found = [table for table in path.glob(f"*/{name}.parquet") if table.is_file()]
        if found:
            return max(found, key=lambda table: (table.stat().st_mtime_ns, table)).parent
    return path


def differing_keys(folders: Sequence[Path]) -> dict[str, list[Any]]:
    """Values by dotted key, one per result, of the keys in which their scenarios differ; none where one has none.

    Args:
        folders: Of runs or sweeps; ``scenario.yaml`` in them says all keys.
    """
    scenarios = [_scenario(folder) for folder in folders]
    if len(scenarios) < 2 or not all(scenarios):
        return {}
    names = dict.fromkeys(name for scenario in scenarios for name in scenario)
    values = {name: [scenario.get(name) for scenario in scenarios] for name in names}
    differ = {name: found for name, found in values.items() if any(value != found[0] for value in found)}
    if len(differ) > 1:
        differ.pop("name", None)  # says less than what it stands for
    return dict(sorted(differ.items(), key=lambda item: item[0].startswith("sweep.")))


def names_by_difference(folders: Sequence[Path]) -> list[str] | None:
    """A name per result that says what distinguishes it; None if their scenarios do not tell them apart."""
    differ = differing_keys(folders)
    shown = list(differ)[:_MAX_KEYS]
    more = ", ..." if len(differ) > len(shown) else ""
    names = []
    for place in range(len(folders)):
        texts = [_text(key, differ[key][place]) for key in shown]
        names.append(", ".join([*texts[:1], *map(_uncapital, shown[1:], texts[1:])]) + more)
    return names if differ and len(set(names)) == len(names) else None


def difference_lines(folders: Sequence[Path]) -> list[str]:
    """A line per key in which results differ, with its values in their order."""
    return [f"{key}: {' -> '.join(map(_plain, values))}" for key, values in differing_keys(folders).items()]


def _uncapital(key: str, text: str) -> str:
    return within_line(_column(key), text)


def _column(key: str) -> str:
    """The key that an axis of a sweep varies; any other key as it is."""
    return next((key.removeprefix(start) for start in _AXES if key.startswith(start)), key)


def _text(key: str, value: Any) -> str:
    column = _column(key)
    if value is None:
        return f"no {within_line(column, name_of(column))}"
    if isinstance(value, list):
        return f"{name_of(column)} {', '.join(number(item) for item in value)} {unit_of(column)}".rstrip()
    return panel_label(column, value)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "not set" if value is None else str(value)


def _scenario(folder: Path) -> dict[str, Any]:
    """Values by dotted key, lists as they are; empty where there is none to read."""
    place = (folder if folder.is_dir() else folder.parent) / "scenario.yaml"
    if not place.is_file():
        return {}
    try:
        return _flat("", read_values(read_text(place)))
    except (YamlError, InputError, ValueError):
        return {}


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    return flat
