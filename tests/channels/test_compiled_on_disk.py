"""Compiled code on disk: half a file, a full disk or code for other types costs a compilation, and nothing else."""

from __future__ import annotations

import errno
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.caching import FunctionCache

from channels.compiled import compiled, stamp_of

PARTS, SHIFTS = 3, np.zeros(2)


@compiled
def _sum(values: np.ndarray) -> float:
    return values.sum()


def _third(values: np.ndarray) -> float:
    """A third of the sum, by whole numbers if these are."""
    return _sum(values) // PARTS + SHIFTS[0] if values[0] < 0 else _sum(values) // PARTS


def both() -> tuple[float, float]:
    """A new process's calls, with two types of arguments, each compiled or read from disk."""
    function = compiled(_third)
    return function(np.array([4, 4])), function(np.array([4.5, 3.5]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def test_code_of_another_process_is_used_where_it_is_whole(folder, monkeypatch):
    assert both() == (2, 2.0)
    code = sorted(folder.rglob("*.nbc"))
    assert len(code) == 2 and len(list(folder.rglob("*.nbi"))) == 1
    before = [path.read_bytes() for path in code]
    monkeypatch.setattr(FunctionCache, "save_overload", lambda *_: pytest.fail("compiled again"))
    assert both() == (2, 2.0)
    monkeypatch.undo()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    # What two processes that begin together may leave: each other's code behind their names.
    for path, other in zip(code, reversed(before), strict=True):
        path.write_bytes(other)
    assert both() == (2, 2.0)
    assert all(path.read_bytes() != other for path, other in zip(code, reversed(before), strict=True))


@pytest.mark.parametrize("pattern", ["*.nbc", "*.nbi"])
def test_half_a_file_is_replaced(folder, pattern):
    assert both() == (2, 2.0)
    for path in folder.rglob(pattern):
        path.write_bytes(path.read_bytes()[:40])
    assert both() == (2, 2.0)
    assert all(path.stat().st_size > 40 for path in folder.rglob("*.nb?"))


def test_a_full_disk_is_no_error(folder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", full)
    assert both() == (2, 2.0) and not list(folder.rglob("*.nb?"))


def test_what_is_compiled_in_from_elsewhere_counts(monkeypatch):
    before = stamp_of(_third)
    assert stamp_of(_third) == before

    from channels import fading_kernels

    callee = next(value for value in vars(fading_kernels).values() if hasattr(value, "py_func"))
    for name, value in (("PARTS", 4), ("SHIFTS", np.ones(2)), ("_sum", callee)):
        with monkeypatch.context() as patch:
            patch.setitem(_third.__globals__, name, value)
            assert stamp_of(_third) != before
    assert stamp_of(_third) == before
