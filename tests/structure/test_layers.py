"""Imports run one way: no circle among files, no import of a package from a lower one, type hints included."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the bottom up; a package imports from those before it only.
LAYERS = (
    "channels",
    "core",
    "models",
    "decoding",
    "compute",
    "links",
    "serving",
    "scenario",
    "inputs",
    "nodes",
    "tape",
    "results",
    "figures",
    "plotting",
    "report",
    "runs",
    "sweep",
    "cli",
)
DECODING = ("core", "verification", "theory", "cohorts", "controllers", "protocols", "drivers", "analysis")
NR = ("rlc", "phy", "mac", "rrc")

# Packages of scripts that make what is shipped; they stand outside the layers.
SCRIPTS = ("sim.models.training", "sim.reference", "sim.reference_tapes", "channels.tables.make_bler_tables")


@cache
def _files() -> dict[str, Path]:
    """Python files by module name."""
    files = {}
    for top in ("sim", "channels"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if not name.startswith(SCRIPTS):
                files[name] = path
    return files


def _imports(path: Path, files: dict[str, Path]) -> set[str]:
    """Modules of the project that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [
                deeper if (deeper := f"{node.module}.{alias.name}") in files else node.module for alias in node.names
            ]
        else:
            continue
        found.update(name for name in names if name in files)
    return found


@cache
def _graph() -> dict[str, set[str]]:
    files = _files()
    return {name: _imports(path, files) - {name} for name, path in files.items()}


def _package(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "channels":
        return "channels"
    return parts[1] if len(parts) > 1 else None


def test_every_package_has_a_layer():
    packages = {package for module in _files() if (package := _package(module)) is not None}
    assert packages == set(LAYERS)


def test_packages_import_from_lower_ones_only():
    upward = [
        f"{module} -> {target}"
        for module, targets in _graph().items()
        for target in sorted(targets)
        if (a := _package(module)) and (b := _package(target)) and LAYERS.index(b) > LAYERS.index(a)
    ]
    assert not upward, "\n".join(upward)


def test_no_circle_among_files():
    graph = {name: {t for t in targets if _files()[t].name != "__init__.py"} for name, targets in _graph().items()}
    remaining = dict(graph)
    importers: dict[str, set[str]] = defaultdict(set)
    for name, targets in graph.items():
        for target in targets:
            importers[target].add(name)
    free = [name for name, targets in graph.items() if not targets]
    counts = {name: len(targets) for name, targets in graph.items()}
    while free:
        name = free.pop()
        remaining.pop(name)
        for importer in importers[name]:
            counts[importer] -= 1
            if not counts[importer]:
                free.append(importer)
    assert not remaining, f"in a circle, or importing from one: {sorted(remaining)}"


@pytest.mark.parametrize(("package", "order"), [("sim.decoding", DECODING), ("sim.links.nr", NR)])
def test_folders_of_a_package_import_from_lower_ones_only(package: str, order: tuple[str, ...]):
    place = package.count(".") + 1
    upward = [
        f"{module} -> {target}"
        for module, targets in _graph().items()
        for target in targets
        if module.startswith(f"{package}.") and target.startswith(f"{package}.")
        if (a := module.split(".")[place]) in order and (b := target.split(".")[place]) in order
        if order.index(b) > order.index(a)
    ]
    assert not upward, "\n".join(upward)
    assert {module.split(".")[place] for module in _graph() if module.startswith(f"{package}.")} >= set(order)


def test_scripts_stay_out_of_the_wheel():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(path.removesuffix(".py").replace("/", ".") for path in wheel["exclude"]) == sorted(SCRIPTS)
    assert all((ROOT / path).exists() for path in wheel["exclude"])
