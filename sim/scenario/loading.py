"""Loading a scenario file: YAML with its lines remembered, so that every message says file, line and key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from channels.text_files import TextFileError, check_regular, read_text
from sim.core.errors import InputError, Key, choices, did_you_mean, dotted
from sim.core.user_code import modules_beside
from sim.core.yaml_text import MAX_CHARS, Lines, YamlError, read_document
from sim.scenario.overrides import SEED_OPTION, Changes, apply_overrides
from sim.scenario.paths import resolve_paths
from sim.scenario.problems import Problem, ScenarioProblems, named_by_kind
from sim.scenario.schema import Scenario


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
    hint = did_you_mean(path.stem, bundled)
    listed = choices(path.stem, sorted(bundled), " (specran list scenarios)") or "none"
    try:
        check_regular(path)
    except TextFileError as error:
        raise InputError(str(error)) from error
    kind = "is a folder, not a file" if path.is_dir() else "no such file or bundled scenario"
    raise InputError(f"{name}: {kind}{hint}; bundled: {listed}")


def read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """A YAML mapping and the line of each of its keys.

    Raises:
        InputError: The file cannot be read, is no YAML, or is no mapping.
    """
    try:
        data, lines = read_document(read_text(path, MAX_CHARS * 4))
    except TextFileError as error:
        raise InputError(str(error)) from error
    except YamlError as error:
        raise InputError(str(TextFileError(path, f"not YAML: {error.problem}", error.line))) from error
    if not isinstance(data, dict):
        got = "nothing" if data is None else type(data).__name__
        raise InputError(f"{path}:1: a scenario is a mapping of keys, got {got}")
    return data, lines


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
        check: Looks further into the scenario, such as by expanding its sweep; the problems that it finds are reported
            with file and line too.

    Raises:
        InputError: One message with file, line, key, what was expected and the nearest valid name.
    """
    path = find_scenario(str(name))
    data, lines = read_yaml(path)
    changes, axes = changes or {}, axes or {}
    named = {"name": _name_of(path), **data}
    folder = path.resolve().parent
    try:
        with modules_beside(folder):
            data = resolve_paths(_with_axes(apply_overrides(named, changes), axes), folder)
            scenario = Scenario.from_dict(data)
            if check is not None:
                check(scenario)
        return scenario
    except ScenarioProblems as error:
        raise _located(named_by_kind(error.problems[0], data), path, lines, changes, axes) from error


def _located(
    problem: Problem, path: Path, lines: Lines, changes: Mapping[str, Any], axes: Mapping[str, Any]
) -> InputError:
    """A problem, reported at the option or the line of the file that it comes from."""
    where, message = problem.where, problem.message
    if where[:1] == ("sweep",) and where[1:2] in (("axes",), ("zip",)) and where[2:3] and where[2] in axes:
        return InputError(message, (where[2],), "--vary")
    key = dotted(problem.named or where)
    for changed in changes:
        if f"{key}.".startswith(f"{changed}."):
            option = changes.option_of(changed) if isinstance(changes, Changes) else "--set"
            return InputError(message, () if option == SEED_OPTION else key, option)
    # Of several changes within what is wrong, the one that the message speaks of first.
    within = [changed for changed in changes if changed.startswith(f"{key}.")]
    if within:
        return InputError(message, min(within, key=lambda changed: _mentioned(changed, message)), "--set")
    where = _as_written(where, lines)
    return InputError(message, where, f"{path}:{line_of(where, lines)}:")


def _mentioned(key: str, message: str) -> int:
    """Where a message names the last part of a key."""
    found = re.search(rf"\b{re.escape(key.rsplit('.', 1)[-1])}\b", message)
    return found.start() if found else len(message)


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


def _as_written(where: Key, lines: Lines) -> Key:
    """The path of a problem; that of an axis which stands in the sweep itself as the file has it."""
    short = ("sweep", *where[2:])
    if where[:2] == ("sweep", "axes") and where not in lines and short[:2] in lines and len(short) > 1:
        return short
    return where


@contextmanager
def locate_errors(
    name: str | Path, changes: Mapping[str, Any], axes: Mapping[str, Any] | None = None
) -> Iterator[None]:
    """Say option, or file and line, with what a run finds wrong, where it blames a key.

    Args:
        name: Path of a YAML file, or the name of a bundled scenario.
        changes: Values by dotted key, such as from ``--set``.
        axes: Sweep axes by dotted key, such as from ``--vary``.
    """
    try:
        yield
    except InputError as error:
        if error.place or not error.key:
            raise
        key = dotted(error.key)
        if key in (axes or {}):
            raise InputError(error.message, error.key, "--vary") from error
        path = find_scenario(str(name))
        _, lines = read_yaml(path)
        where = next((place for place in _places_of(key, lines) if place in lines), error.key)
        raise _located(Problem(where, error.message), path, lines, changes, {}) from error


def _places_of(key: str, lines: Lines) -> list[Key]:
    """Where a file may give a key a value: in its sweep, or itself."""
    variants = [place for place in lines if place[:2] == ("sweep", "variants") and place[-1] == key]
    return [("sweep", "axes", key), ("sweep", key), ("sweep", "zip", key), *variants, tuple(key.split("."))]


def _name_of(path: Path) -> str:
    """A file's name as the name of a result folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).lstrip("._-") or "scenario"


def line_of(where: Key, lines: Lines) -> int:
    """Line of a key, or of the nearest key above it that the file has."""
    while where and where not in lines:
        where = where[:-1]
    return lines.get(where, 1)
