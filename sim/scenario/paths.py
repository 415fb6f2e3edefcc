"""Files that a scenario names, relative to its own folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from channels.text_files import TextFileError, check_regular
from sim.core.errors import Key
from sim.scenario.problems import Problem, ScenarioProblems


def resolve_paths(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of files named in a scenario absolute, relative to the scenario's own folder.

    A value counts as a file's path if such a file stands there; anything else is left to its reader.

    Raises:
        ScenarioProblems: A value names a pipe, a socket or a device, which may never end.
    """

    def walk(value: Any, where: Key) -> Any:
        if isinstance(value, dict):
            return {key: walk(item, (*where, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*where, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and ("/" in value or "." in value):
            path = folder / value
            # Unlike Path.exists, this takes names that no file can have.
            if os.path.exists(path):
                try:
                    check_regular(path)
                except TextFileError as error:
                    raise ScenarioProblems([Problem(where, f"{value} {error.problem}")]) from error
                return str(path.resolve())
        return value

    return {key: value if key == "name" else walk(value, (key,)) for key, value in data.items()}
