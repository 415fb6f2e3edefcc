"""The tables beside this file: every number with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sim.core.yaml_text import read_table_values

FOLDER = Path(__file__).parent / "data"
HARDWARE_FILES = ("data_center", "desktop", "embedded", "phones", "apple", "processors")


@dataclass(frozen=True)
class Sourced:
    """The numbers of one entry by key, and the source of each.

    Attributes:
        values: Numbers, or numbers by arithmetic.
        sources: A sentence for each key of ``values``.
    """

    values: dict[str, Any]
    sources: dict[str, str]

    def over(self, below: Sourced) -> Sourced:
        """These numbers, and those of ``below`` where these say nothing."""
        return Sourced({**below.values, **self.values}, {**below.sources, **self.sources})


@cache
def read_table(name: str) -> dict[str, Any]:
    """A table as it stands in its file."""
    return dict(read_table_values((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def sourced(entry: Mapping[str, Any], beside: tuple[str, ...] = ()) -> Sourced:
    """Numbers of an entry: plain ones come from the entry's ``source``, others bring ``value`` and ``source``.

    Args:
        entry: As the table has it.
        beside: Keys that are no numbers.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, given in entry.items():
        if key == "source" or key in beside:
            continue
        own = isinstance(given, Mapping) and "value" in given
        values[key] = _plain(given["value"] if own else given)
        sources[key] = str(given["source"] if own else entry["source"])
    return Sourced(values, sources)


def _plain(value: Any) -> Any:
    return {key: float(part) for key, part in value.items()} if isinstance(value, Mapping) else float(value)
