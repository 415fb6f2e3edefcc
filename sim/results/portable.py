"""What is shared says nothing of the machine that it was made on: files are named, folders are not."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.scenario.schema import Scenario

# The folders of an absolute path within a text.
_FOLDERS = re.compile(r"(?<![\w.~/:-])/(?:[^\s/'\",;:<>]+/)+(?=[^\s/])")


def scenario_text(scenario: Scenario, folder: Path | None = None) -> str:
    """A resolved scenario as YAML.

    Args:
        scenario: Whose files are named by absolute paths.
        folder: Where the text will lie: the files are named relative to it, so that it can be run from there. Without
            it, for people, they are named without their folders.
    """
    import yaml

    return yaml.safe_dump(_portable(scenario.dump(), folder), sort_keys=False, width=120)


def _portable(value: Any, folder: Path | None) -> Any:
    if isinstance(value, dict):
        return {key: _portable(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_portable(inner, folder) for inner in value]
    if isinstance(value, str) and is_path(value):
        return name_of_file(value) if folder is None else os.path.relpath(value, folder.resolve())
    return value


def is_path(value: object) -> bool:
    """Whether a value is an absolute path."""
    return isinstance(value, str) and "\n" not in value and os.path.isabs(value)


def name_of_file(value: str) -> str:
    """A file or folder without the folders that it lies in."""
    return Path(value).name if is_path(value) else value


def short_names(values: Sequence[Any]) -> list[Any]:
    """Values of an axis, paths relative to the folder that they have in common."""
    paths = [value for value in values if is_path(value)]
    if not paths:
        return list(values)
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(value, common) if is_path(value) else value for value in values]


def without_folders(text: str) -> str:
    """A message, the files in it without the folders that they lie in."""
    return _FOLDERS.sub("", text)


def without_paths(plain: Any) -> Any:
    """Nested plain values, the files in them without the folders that they lie in."""
    if isinstance(plain, dict):
        return {key: without_paths(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [without_paths(value) for value in plain]
    if isinstance(plain, str | Path):
        return name_of_file(text) if is_path(text := str(plain)) else without_folders(text)
    return plain
