"""The finished points of a sweep: few files however many points there are, and each point can be had on its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sim.core.files import cannot_write, locked, make_folder, remove_leftovers, sync_folder
from sim.core.unfinished import is_abandoned, unfinished_file
from sim.results.point_log import SUFFIX, PointWriter, SavedPoint, encode_point, read_points

_FINISHED = f"finished{SUFFIX}"
_JOURNAL = "journal-"


class SavedPoints:
    """The ``points`` folder of a sweep.

    While the sweep runs, each process that runs it appends to a journal of its own. At the end all points are put in
    order in one file. A killed sweep leaves its journal, from which the next one goes on.

    Args:
        folder: Where it lies; made when the first point is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal: PointWriter | None = None
        self._finished: tuple[tuple[int, ...], list[SavedPoint]] | None = None

    def load(self) -> dict[str, SavedPoint]:
        """All whole points by address: those run here, else finished ones, else of other sweeps, killed or running."""
        own = self._journal.path if self._journal is not None else None
        found: dict[str, SavedPoint] = {}
        for point in read_points(own) if own is not None else ():
            found[point.address] = point
        for point in self._read_finished():
            found.setdefault(point.address, point)
        for path in self._journals():
            for point in read_points(path) if path != own else ():
                found.setdefault(point.address, point)
        return found

    def _read_finished(self) -> list[SavedPoint]:
        """The points in order, read again if the file is another one than before."""
        try:
            status = (self.folder / _FINISHED).stat()
        except OSError:
            return []
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._finished is None or self._finished[0] != stamp:
            self._finished = (stamp, list(read_points(self.folder / _FINISHED)))
        return self._finished[1]

    def _journals(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_JOURNAL}*{SUFFIX}"))

    def save(self, address: str, summary: Mapping[str, Any], tables: Mapping[str, tuple[bytes, str]]) -> None:
        """Keep a point that was run.

        Args:
            address: Content address of the run.
            summary: Its figures.
            tables: Its tables as ``pack_table`` makes them, by name.

        Raises:
            RunError: It cannot be written.
        """
        self._append(encode_point(address, summary, tables))

    def take_over(self, point: SavedPoint) -> None:
        """Keep a point that another sweep has finished.

        Raises:
            RunError: It cannot be written.
        """
        self._append(point.read())

    def _append(self, data: bytes) -> None:
        try:
            if self._journal is None:
                make_folder(self.folder)
                self._journal = PointWriter(self.folder, _JOURNAL)
            self._journal.add(data)
        except OSError as error:
            raise cannot_write("results", self.folder, error) from error

    def close(self) -> None:
        """Have on disk what was saved.

        Raises:
            RunError: It cannot be written, or was removed meanwhile.
        """
        if self._journal is not None:
            try:
                self._journal.close()
            except OSError as error:
                raise cannot_write("results", self.folder, error) from error

    def finish(self, addresses: Sequence[str]) -> list[SavedPoint]:
        """Put the points in order in one file and remove the journals that nobody writes any more.

        Args:
            addresses: Of the sweep's points, in order; those that have failed are in no file.

        Returns:
            The points, in order.

        Raises:
            RunError: It cannot be written, or a point was removed meanwhile.
        """
        self.close()
        place = self.folder / _FINISHED
        try:
            if addresses and not self.folder.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder))
            with locked(place):
                known = self.load()
                wanted = [known[address] for address in dict.fromkeys(addresses) if address in known]
                if len(wanted) < len(set(addresses)):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder))
                if [point.digest for point in self._read_finished()] != [point.digest for point in wanted]:
                    self._write(place, wanted)
                self._remove_journals()
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                with suppress(OSError):  # The folder was removed meanwhile, and made anew for the lock alone.
                    place.with_name(f".{place.name}.lock").unlink()
                    self.folder.rmdir()
            raise cannot_write("results", self.folder, error) from error
        return self._read_finished()

    @staticmethod
    def _write(place: Path, points: Iterable[SavedPoint]) -> None:
        with unfinished_file(place.parent) as (temporary, file):
            for point in points:
                file.write(point.read())
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, place)
        sync_folder(place.parent)

    def _remove_journals(self) -> None:
        own = self._journal.path if self._journal is not None else None
        for path in self._journals():
            if path == own or is_abandoned(path, _JOURNAL, SUFFIX):
                with suppress(FileNotFoundError):
                    path.unlink()

    def clean(self) -> None:
        """Remove what killed sweeps have left half written."""
        remove_leftovers(self.folder)
