"""Lost power, simulated: a layer over the file system that notes what was synchronised, and drops what was not.

What is on disk is the content that a file had when it was last synchronised, under the names that its folder had when
that was. Of everything since then any part may have reached the disk, in any order: a draw decides name by name and
file by file, and a file may be cut anywhere or be full of zeros where its last writes should be.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sim.results import point_log
from sim.results.point_log import read_points
from sim.sweep.run import sweep
from sim.tape.inspect import verify_tape
from sim.tape.store import TapeStore
from tests.fuzz.sweeps import SmallSweep

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}


class PowerLost(BaseException):
    """The moment in which the power went."""


@dataclass
class _Node:
    """A file or folder; the descriptor keeps its number from being used again.

    Attributes:
        descriptor: Open for as long as the layer is.
        content: Of a file, when it was last synchronised; None if it never was.
        names: Of a folder, likewise, each with the number of what it names.
    """

    descriptor: int
    content: bytes | None = None
    names: dict[str, int] = field(default_factory=dict)


class RecordingLayer:
    """Watches one folder tree.

    Args:
        root: The tree; what lies there when it begins counts as synchronised.
        lose_at: Number of the change (a rename, a removal, a file that is opened for writing, synchronised or appended
            to) at which the power goes; 0 for never.
        target: Where what is left on disk is put then.
        rng: Draws what of the rest has reached the disk.
    """

    def __init__(self, root: Path, lose_at: int, target: Path, rng: random.Random) -> None:
        self.root = root
        self.lose_at = lose_at
        self.target = target
        self.rng = rng
        self.changes = 0
        self.is_on = False
        self.synced_points = 0
        self._nodes: dict[int, _Node] = {}
        self._note_tree(root)

    def _node(self, path: Path | str) -> tuple[int, _Node]:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        number = os.fstat(descriptor).st_ino
        if number in self._nodes:
            os.close(descriptor)
        else:
            self._nodes[number] = _Node(descriptor)
        return number, self._nodes[number]

    def _note_tree(self, path: Path) -> None:
        for inner in path.iterdir() if path.is_dir() else ():
            self._note_tree(inner)
        self._note(path)

    def _note(self, path: Path) -> None:
        """Something is synchronised."""
        _, node = self._node(path)
        if path.is_dir():
            node.names = {inner.name: self._node(inner)[0] for inner in path.iterdir()}
        else:
            node.content = path.read_bytes()

    def on_sync(self, descriptor: int) -> None:
        """A file or folder is on disk now."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if self.is_on and path.is_relative_to(self.root) and path.exists():
            self.on_change()
            self._note(path)
            if path.suffix == point_log.SUFFIX:
                self.synced_points = max(self.synced_points, sum(1 for _ in read_points(path)))

    def on_change(self) -> None:
        """Something is about to change; the power may go.

        Raises:
            PowerLost: It has.
        """
        if not self.is_on:
            return
        self.changes += 1
        if self.changes == self.lose_at:
            self.is_on = False
            self._restore(self._node(self.root)[0], self.root, self.target)
            raise PowerLost

    def _restore(self, number: int, current: Path | None, target: Path) -> None:
        """Put on disk what is left of one file or folder."""
        node = self._nodes[number]
        if not stat.S_ISDIR(os.fstat(node.descriptor).st_mode):
            target.write_bytes(self._content(node, current))
            return
        target.mkdir()
        now = {}
        if current is not None and current.is_dir():
            now = {inner.name: self._node(inner)[0] for inner in current.iterdir()}
        for name in sorted({*node.names, *now}):
            choices = [node.names.get(name), now.get(name)]
            own = choices[0] if choices[0] == choices[1] else self.rng.choice(choices)
            if own is not None:
                is_current = current is not None and own == now.get(name)
                self._restore(own, current / name if is_current and current is not None else None, target / name)

    def _content(self, node: _Node, current: Path | None) -> bytes:
        synced = node.content or b""
        written = current.read_bytes() if current is not None else synced
        if written == synced:
            return synced
        # What was appended may be cut or lost; what was synchronised before it stays.
        kept = self.rng.randint(len(synced) if written.startswith(synced) else 0, len(written))
        return self.rng.choice((synced, written, written[:kept], written[:kept] + bytes(len(written) - kept)))

    def close(self) -> None:
        """Let go of what was watched."""
        self.is_on = False
        for node in self._nodes.values():
            os.close(node.descriptor)


_layer: RecordingLayer | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    layer = _layer
    if layer is None or not layer.is_on or not (event in _CHANGES or event == "open"):
        return
    if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        return
    if str(arguments[0]).startswith(str(layer.root)):
        layer.on_change()


@contextmanager
def watching(layer: RecordingLayer, patch: Callable[[Any, str, Any], None]) -> Iterator[None]:
    """Have a layer watch all that happens within the block.

    Args:
        layer: Whose tree it is.
        patch: Replaces an attribute, such as ``monkeypatch.setattr``.
    """
    global _layer  # noqa: PLW0603 -- an audit hook cannot be taken away again
    sync, add = os.fsync, point_log.PointWriter.add

    def noted_sync(descriptor: int) -> None:
        sync(descriptor)
        layer.on_sync(descriptor)

    def noted_add(writer: Any, data: bytes) -> None:
        layer.on_change()
        add(writer, data)

    if _layer is None:
        sys.addaudithook(_hook)
    _layer = layer
    patch(os, "fsync", noted_sync)
    patch(point_log.PointWriter, "add", noted_add)
    layer.is_on = True
    try:
        yield
    finally:
        layer.is_on = False


@dataclass(frozen=True)
class Lost:
    """What was made again after all losses of power together."""

    lost_points: int
    lost_entries: int


def lose_power_and_resume(small: SmallSweep, folder: Path, count: int, seed: int) -> Lost:
    """Cut the power of a sweep over and over, let it go on from what is on disk, and compare what it makes.

    Args:
        small: The sweep.
        folder: Folder to work in.
        count: How often.
        seed: Of the moments, and of what reaches the disk.
    """
    rng = random.Random(seed)
    changes = _changes_of(small, folder)
    lost_points = lost_entries = 0
    for number in range(count):
        before, after = folder / f"before-{number}", folder / f"after-{number}"
        layer, completed = _run(small, before, rng.randint(1, changes), after, rng)
        if completed:
            shutil.rmtree(before)
            continue
        store = TapeStore(after / "cache" / "tape")
        damaged = verify_tape(store).damaged
        lost_entries += len(small.recorded) - (len(store.list_keys()) - len(damaged))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SPECRAN_CACHE", str(after / "cache"))
            result = sweep(small.scenario, after / "out", jobs=1, resume=True)
        # Whatever was synchronised is there; the rest is run again.
        assert result.resumed >= layer.synced_points, (number, result.resumed, layer.synced_points)
        lost_points += small.num_points - result.resumed
        assert (result.folder / "sweep.parquet").read_bytes() == small.table
        assert {entry.name: entry.read_bytes() for entry in store.files()} == small.recorded
        assert not verify_tape(store).damaged
        shutil.rmtree(before)
        shutil.rmtree(after)
    return Lost(lost_points, lost_entries)


def _changes_of(small: SmallSweep, folder: Path) -> int:
    rng = random.Random(0)
    layer, completed = _run(small, folder / "counted", 0, folder / "never", rng)
    assert completed
    shutil.rmtree(folder / "counted")
    return layer.changes


def _run(small: SmallSweep, root: Path, lose_at: int, target: Path, rng: random.Random) -> tuple[RecordingLayer, bool]:
    """Run the sweep in a tree of its own until the power goes; says whether it came to its end before."""
    (root / "cache").mkdir(parents=True)
    layer = RecordingLayer(root, lose_at, target, rng)
    completed = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPECRAN_CACHE", str(root / "cache"))
        # Half of the time nothing is synchronised before the end, half of the time every point is.
        patch.setattr(point_log, "SYNC_EVERY_S", rng.choice((0.0, 3600.0)))
        try:
            with watching(layer, patch.setattr):
                sweep(small.scenario, root / "out", jobs=1)
            completed = True
        except PowerLost:
            pass
    layer.close()
    return layer, completed
