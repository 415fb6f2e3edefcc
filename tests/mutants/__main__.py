"""``make mutants [ONLY=name ...]``: put one fault after another into a copy of the code and run the tests named.

Prints survivors, faults that no test noticed, and exits with 1 if there are any.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from pytest import ExitCode

from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("sim", "channels", "tests", "scenarios", "results/reference", "pyproject.toml", "README.md", "Makefile")
# A run that does not end fails; it is given many times what the tests take without a fault.
_MIN_LIMIT_S, _MAX_LIMIT_S, _TIMES_AS_LONG = 60.0, 900.0, 20


def copy_tree(folder: Path) -> None:
    """Copy what the tests need."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)


def tests_pass(tests: Sequence[str], folder: Path, limit_s: float = _MAX_LIMIT_S) -> bool:
    """Whether tests pass on the code of ``folder`` as it is.

    A run that does not end, and code that cannot even be imported, are failures that anybody notices.

    Args:
        tests: Files, folders or single tests.
        folder: A copy of the repository.
        limit_s: After this long a run is taken not to end.

    Raises:
        SystemExit: pytest did not run any test, or was not called rightly.
    """
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (ExitCode.OK, ExitCode.TESTS_FAILED, ExitCode.INTERRUPTED):
        raise SystemExit(f"{' '.join(tests)}: pytest exited with {done.returncode}:\n{done.stdout.decode()[-2000:]}")
    return done.returncode == ExitCode.OK


def is_noticed(mutant: Mutant, folder: Path, limit_s: float = _MAX_LIMIT_S) -> bool:
    """Whether a test fails with the fault in the code of ``folder``; the code is as before afterwards."""
    path = folder / mutant.path
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.apply(original), encoding="utf-8")
    try:
        return not tests_pass(mutant.tests, folder, limit_s)
    finally:
        path.write_text(original, encoding="utf-8")


def main(only: Sequence[str]) -> int:
    """Run all mutants or those named; returns 1 if one survived, else 0.

    Raises:
        SystemExit: Tests fail without any fault, so that their failure says nothing.
    """
    chosen = [mutant for mutant in MUTANTS if not only or mutant.name in only]
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_tree(folder)
        limits_s: dict[tuple[str, ...], float] = {}
        for tests in sorted({mutant.tests for mutant in chosen}):
            start = perf_counter()
            if not tests_pass(tests, folder):
                raise SystemExit(f"{' '.join(tests)}: these tests fail without a fault; mend them first")
            limits_s[tests] = min(max(_MIN_LIMIT_S, _TIMES_AS_LONG * (perf_counter() - start)), _MAX_LIMIT_S)
        for number, mutant in enumerate(chosen, 1):
            start = perf_counter()
            noticed = is_noticed(mutant, folder, limits_s[mutant.tests])
            verdict = "noticed" if noticed else "SURVIVED"
            print(f"{number}/{len(chosen)} {verdict:8} {perf_counter() - start:6.1f} s  {mutant.name}", flush=True)
            if not noticed:
                survivors.append(mutant)
    for mutant in survivors:
        print(f"survivor: {mutant.name}: {mutant.path}: {mutant.old!r} -> {mutant.new!r}")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults noticed")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
