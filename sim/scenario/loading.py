"""Loading a scenario file: YAML with its lines remembered, so that every message says file, line and key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.core.errors import InputError
from sim.core.yaml_text import read_node
from sim.scenario.overrides import apply_overrides
from sim.scenario.problems import Problem, ScenarioProblems
from sim.scenario.schema import Scenario, resolve_paths

Lines = dict[tuple[str | int, ...], int]


def scenario_folders() -> list[Path]:
    """Where bundled scenarios live: inside an installed package, or beside the packages in a checkout."""
    package = Path(__file__).resolve().parent.parent
    return [folder for folder in (package / "bundled_scenarios", package.parent / "scenarios") if folder.is_dir()]


def bundled_scenarios() -> dict[str, Path]:
    """Bundled scenario files by name."""
    return {path.stem: path for folder in scenario_folders() for path in sorted(folder.glob("*.yaml"))}


def find_scenario(name: str) -> Path:
    """A scenario file by path, or a bundled one by name.

    Raises:
        InputError: Neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    bundled = bundled_scenarios()
    if name in bundled:
        return bundled[name]
    near = difflib.get_close_matches(path.stem, bundled, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    kind = "is a folder, not a file" if path.is_dir() else "no such file or bundled scenario"
    raise InputError(f"{name}: {kind}{hint}; bundled: {', '.join(sorted(bundled)) or 'none'}")


def read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """A YAML mapping and the line of each of its keys.

    Raises:
        InputError: The file cannot be read, is no YAML, or is no mapping.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    try:
        data, node = read_node(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{path}:{line}: not YAML: {error.reason}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark is not None else ""
        problem = str(getattr(error, "problem", error))
        if problem.startswith("but "):
            problem = f"{getattr(error, 'context', '')} {problem}"
        raise InputError(f"{path}{where}: not YAML: {problem}") from error
    if not isinstance(data, dict):
        got = "nothing" if data is None else type(data).__name__
        raise InputError(f"{path}:1: a scenario is a mapping of keys, got {got}")
    lines: Lines = {}
    try:
        _collect_lines(node, (), lines, path)
    except RecursionError:
        raise InputError(f"{path}:1: a YAML alias stands within what it names") from None
    return data, lines


def _collect_lines(node: Any, at: tuple[str | int, ...], lines: Lines, path: Path) -> None:
    import yaml

    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise InputError(f"{path}:{key.start_mark.line + 1}: key {key.value!r} is given twice")
            seen.add(key.value)
            lines[(*at, key.value)] = key.start_mark.line + 1
            _collect_lines(value, (*at, key.value), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*at, index), lines, path)


def load_scenario(
    name: str | Path,
    changes: Mapping[str, Any] | None = None,
    axes: Mapping[str, Any] | None = None,
    check: Callable[[Scenario], object] | None = None,
) -> Scenario:
    """Load, change and check a scenario.

    Args:
        name: Path of a YAML file, or the name of a bundled scenario.
        changes: Values by dotted key, such as from ``--set``.
        axes: Sweep axes by dotted key, such as from ``--vary``; they add to or replace the scenario's own.
        check: Looks further into the scenario, such as by expanding its sweep; the problems that it finds are told
            with file and line too.

    Raises:
        InputError: One message with file, line, key, what was expected and the nearest valid name.
    """
    path = find_scenario(str(name))
    data, lines = read_yaml(path)
    changes = dict(changes or {})
    named = {"name": _name_of(path), **data}
    axes = dict(axes or {})
    try:
        data = resolve_paths(_with_axes(apply_overrides(named, changes), axes), path.resolve().parent)
        scenario = Scenario.from_dict(data)
        if check is not None:
            check(scenario)
        return scenario
    except ScenarioProblems as error:
        first = _as_written(error.problems[0], lines)
        varied = next((key for key in axes if first.where[:3] == ("sweep", "axes", key)), None)
        if varied is None and first.key == "sweep.zip":
            varied = next((key for key in axes if first.message.startswith(repr(key))), None)
        if varied is not None:
            raise InputError(f"--vary {varied}: {first.message}") from error
        for key in changes:
            if f"{first.key}.".startswith(f"{key}."):
                raise InputError(f"--set {first.key}: {first.message}") from error
            if key.startswith(f"{first.key}."):
                raise InputError(f"--set {key}: {first.message}") from error
        raise InputError(f"{path}:{line_of(first, lines)}: {first.key}: {first.message}") from error


def _with_axes(data: dict[str, Any], axes: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario's nested mappings with these axes added to those of its sweep, or in place of them."""
    if not axes:
        return data
    sweep = data.get("sweep")
    sweep = {} if sweep is None else sweep
    known = sweep.get("axes", {}) if isinstance(sweep, dict) else None
    if not isinstance(known, dict):
        return data  # The schema says what is wrong with it.
    rest = {key: value for key, value in sweep.items() if key not in axes}
    return {**data, "sweep": {**rest, "axes": {**known, **axes}}}


def _as_written(problem: Problem, lines: Lines) -> Problem:
    """A problem of an axis that stands in the sweep itself, told where the file has it."""
    short = ("sweep", *problem.where[2:])
    if problem.where[:2] == ("sweep", "axes") and problem.where not in lines and short[:2] in lines and len(short) > 1:
        return Problem(short, problem.message)
    return problem


@contextmanager
def locate_errors(
    name: str | Path, changes: Mapping[str, Any], axes: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Say file and line with what a run finds wrong, where its message starts with a key that the file has.

    Args:
        name: Path of a YAML file, or the name of a bundled scenario.
        changes: Values by dotted key, such as from ``--set``.
        axes: Sweep axes by dotted key, such as from ``--vary``.
    """
    try:
        yield
    except InputError as error:
        key = str(error).partition(":")[0]
        if key in (axes or {}):
            raise InputError(f"--vary {error}") from error
        if key in changes:
            raise InputError(f"--set {error}") from error
        path = find_scenario(str(name))
        _, lines = read_yaml(path)
        varied = [("sweep", "axes", key), ("sweep", key), ("sweep", "zip", key)]
        line = next((lines[where] for where in [*varied, tuple(key.split("."))] if where in lines), None)
        if line is None:
            raise
        raise InputError(f"{path}:{line}: {error}") from error


def _name_of(path: Path) -> str:
    """A file's name as the name of a result folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).lstrip("._-") or "scenario"


def line_of(problem: Problem, lines: Lines) -> int:
    """Line of a problem's key, or of the nearest key above it that the file has."""
    where = problem.where
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)
