"""Reads the JSON tables that stand in channels/tables, each with its `_provenance`."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def load_table(name: str) -> dict[str, Any]:
    """The table file `channels/tables/<name>.json` as a dictionary (read once; do not modify)."""
    text = resources.files("channels").joinpath("tables", f"{name}.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
