"""Files and folders: whole or not at all, exchanged in one step, told from leftovers by locks, synced in order."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sim.core import files, unfinished
from sim.core.errors import RunError
from sim.core.files import locked, read_json_object, take_place, update_json_object, write_atomically
from sim.core.unfinished import remove_leftovers, unfinished_file, unfinished_folder
from sim.results.folder import complete_folder

WRITE_AND_WAIT = """
import sys
from pathlib import Path
from sim.core.unfinished import unfinished_file, unfinished_folder
with unfinished_file(Path(sys.argv[1])) as (path, file), unfinished_folder(Path(sys.argv[1])) as folder:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    sys.stdin.readline()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_somebody_is_writing_is_left_alone_and_what_a_killed_one_left_is_removed(tmp_path: Path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stdout.readline().strip() == "ready"
    before = names(tmp_path)
    assert len(before) == 3
    assert remove_leftovers(tmp_path) == 0 and names(tmp_path) == before
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert remove_leftovers(tmp_path) == 2 and names(tmp_path) == []


@pytest.mark.parametrize("name", ["elsewhere-{other}", "{host}-{other}", "elsewhere-{boot}"])
def test_what_another_host_or_container_may_be_writing_is_never_removed(tmp_path: Path, name: str, monkeypatch):
    """Of another kernel nobody can tell; a container of this kernel has another name, and its lock decides."""
    import socket

    marks = {"other": "0123abcd", "host": socket.gethostname(), "boot": unfinished._boot()}
    path = tmp_path / f".unfinished-{name.format(**marks)}-0123456789ab"
    path.write_text("half")
    is_container = name == "elsewhere-{boot}"
    if is_container:
        with path.open("rb+") as file:
            assert unfinished.take_lock(file.fileno())
            assert remove_leftovers(tmp_path) == 0
    assert remove_leftovers(tmp_path) == (1 if is_container else 0)
    assert path.exists() is not is_container
    if name == "{host}-{other}":
        # Untouched since before this machine was started, it is its own, from then.
        os.utime(path, (1, 1))
        assert remove_leftovers(tmp_path) == 1


def test_a_file_that_is_being_taken_for_a_leftover_is_not_used(tmp_path: Path, monkeypatch):
    """A cleaning process may lock a new file before its maker does, which then makes another one."""
    lock, taken = unfinished.take_lock, []

    def late(descriptor: int) -> bool:
        if not taken:
            taken.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            os.unlink(taken[0])
        return lock(descriptor)

    monkeypatch.setattr(unfinished, "take_lock", late)
    with unfinished_file(tmp_path) as (path, file):
        assert str(path) != taken[0] and path.exists()
        file.write(b"x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path: Path, monkeypatch, can_exchange: bool):
    if not can_exchange:
        monkeypatch.setattr(files, "exchange_names", lambda *_: False)
    for text in ("one", "two"):
        with unfinished_folder(tmp_path) as folder:
            (folder / "file").write_text(text)
            take_place(folder, tmp_path / "place")
        assert (tmp_path / "place" / "file").read_text() == text
        assert names(tmp_path) == ["place"]


def test_there_is_a_whole_folder_at_every_moment(tmp_path: Path):
    """Exchanged in one step: of two renames, one would leave nothing there for a while."""
    with unfinished_folder(tmp_path) as folder:
        take_place(folder, tmp_path / "place")
    gaps = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if hooked and event.startswith("os.") and not (tmp_path / "place").exists():
            gaps.append(event)

    hooked = True
    sys.addaudithook(hook)
    for _ in range(3):
        with unfinished_folder(tmp_path) as folder:
            (folder / "file").write_text("x")
            take_place(folder, tmp_path / "place")
    hooked = False
    assert gaps == []


def test_content_is_on_disk_before_a_name_and_the_name_before_anybody_goes_on(tmp_path: Path, monkeypatch):
    done: list[str] = []

    def noted(what: str, function):
        def call(*arguments):
            target = os.readlink(f"/proc/self/fd/{arguments[0]}") if what == "sync" else str(arguments[0])
            done.append(f"{what} {'folder' if Path(target) == tmp_path else 'temporary'}")
            return function(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync))
    monkeypatch.setattr(os, "replace", noted("rename", os.replace))
    monkeypatch.setattr(os, "rename", noted("rename", os.rename))
    write_atomically(tmp_path / "file", b"content")
    assert done == ["sync temporary", "rename temporary", "sync folder"]
    done.clear()
    with unfinished_folder(tmp_path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("x")
        take_place(folder, tmp_path / "place")
    assert done == ["sync temporary"] * 3 + ["rename temporary", "sync folder"]


def test_nothing_that_others_write_at_the_same_time_is_lost(tmp_path: Path):
    path = tmp_path / "known.json"

    def add(number: int) -> None:
        update_json_object(path, lambda known: {**known, str(number): number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(60)))
    assert read_json_object(path) == {str(number): number for number in range(60)}


def test_processes_that_remember_models_lose_none(tmp_path: Path):
    code = """
import sys
from sim.models.info import ModelInfo
from sim.inputs.scenario_models import store_info
for number in range(20):
    store_info(f"{sys.argv[1]} {number}", {"target": ModelInfo("m", 1, 1, frozenset(), 0, "f", 0)})
"""
    environment = {**os.environ, "SPECRAN_CACHE": str(tmp_path)}
    both = [subprocess.Popen([sys.executable, "-c", code, name], env=environment) for name in ("a", "b")]
    assert [process.wait() for process in both] == [0, 0]
    assert len(json.loads((tmp_path / "models.json").read_text())) == 40


def test_a_lock_that_is_not_let_go_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(files, "LOCK_TIMEOUT_S", 0.0)
    with locked(tmp_path / "known.json"), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: locked(tmp_path / "known.json").__enter__())
        with pytest.raises(RunError, match=r"another process has held .*known\.json"):
            waiting.result()


@pytest.mark.parametrize("lost", ["folder", "table"])
def test_a_run_that_has_lost_its_folder_is_no_success(tmp_path: Path, lost: str):
    import shutil

    from sim.runs.manifest import hashes_of

    message = "was removed while it was being written"
    with pytest.raises(RunError, match=message), complete_folder(tmp_path / "out" / "run") as folder:
        (folder / "requests.parquet").write_text("x")
        shutil.rmtree(folder) if lost == "folder" else (folder / "requests.parquet").unlink()
        if lost == "table":
            hashes_of([folder / "requests.parquet"], folder)
    assert not (tmp_path / "out" / "run").exists()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_where_names_cannot_be_exchanged_two_renames_do(tmp_path: Path, monkeypatch, number: int):
    """What a file system without the call answers counts as that; anything else is an error."""
    import ctypes

    class Library:
        @staticmethod
        def renameat2(*_: object) -> int:
            ctypes.set_errno(number)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
    if number == errno.EPERM:
        with pytest.raises(PermissionError):
            files.exchange_names(tmp_path, tmp_path)
    else:
        assert files.exchange_names(tmp_path, tmp_path) is False
