"""What a sweep's variants set, as columns of its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def with_settings(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The table with a column for each key asked for that it lacks and its scenario knows.

    A variant that does not have the key, such as ``protocol.top_k`` of a protocol without rows, has no value there.

    Args:
        table: Of a sweep.
        path: Its folder, or a file in it.
        columns: Keys that are wanted; what the table has already, or no scenario has, is passed over.
    """
    folder = path if path.is_dir() else path.parent
    scenario = folder / "scenario.yaml"
    missing = [column for column in columns if "." in column and column not in table]
    if not missing or "variant" not in table or not scenario.is_file():
        return table
    by_variant = _settings(scenario)
    added = table.copy()
    added.attrs = dict(table.attrs)
    for column in missing:
        if any(column in settings for settings in by_variant.values()):
            added[column] = [by_variant.get(str(name), {}).get(column) for name in table["variant"]]
    return added


def _settings(path: Path) -> dict[str, dict[str, Any]]:
    """Values by dotted key of each variant, defaults included."""
    from sim.scenario.loading import load_scenario
    from sim.scenario.points import expand

    found: dict[str, dict[str, Any]] = {}
    for point in expand(load_scenario(str(path))):
        if point.variant not in found:
            found[point.variant] = _flat("", point.scenario.dump())
    return found


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: str(value) if isinstance(value, list) else value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    return flat
