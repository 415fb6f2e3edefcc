"""Finished points in one file: appended as they come, each sealed by its own hash, so that damage costs one point.

A point is a line that says how long it is and what hash it has, then its summary as JSON, then its tables as compressed
Arrow streams. Whatever a killed process or lost power leaves half written does not have its hash and counts as missing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

from sim.core.errors import RunError
from sim.core.files import sync_folder
from sim.core.unfinished import create_locked
from sim.results.folder import json_text

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".points"
_MARK = b"\nPOINT "
_HEADER = re.compile(rb"\nPOINT ([0-9a-f]{64}) (\d{1,12}) (\d{1,15})\n")
_MAX_HEADER_BYTES = 128
_BLOCK = 1 << 20
# A finished point is on disk this much later at most, if the file system keeps its word.
SYNC_EVERY_S = 0.5
# Of one table of one run, unpacked; a million requests take a fifth of it.
_MAX_TABLE_BYTES = 1 << 30


@dataclass(frozen=True)
class SavedPoint:
    """A point as it lies in a file.

    Attributes:
        address: Content address of the run.
        summary: Its figures by column name.
        tables: Length in bytes and Arrow schema of each of its tables, by name.
        path: The file.
        start: Where it begins there.
        length: How long it is.
        summary_bytes: How much of it its summary takes.
        digest: Hash of its content.
    """

    address: str
    summary: dict[str, Any]
    tables: dict[str, tuple[int, str]]
    path: Path
    start: int
    length: int
    summary_bytes: int
    digest: str

    def read(self) -> bytes:
        """All of it, as it lies there."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)

    def table(self, name: str) -> pa.Table:
        """One of its tables.

        Raises:
            KeyError: It has no such table.
            OSError: The file cannot be read.
            RunError: Somebody has changed the table and sealed it anew.
        """
        wanted = self.tables[name][0]
        data = self.read()
        place = data.index(b"\n", 1) + 1 + self.summary_bytes
        for other, (length, _) in self.tables.items():
            if other == name:
                try:
                    return _unpack_table(data[place : place + wanted])
                except (zlib.error, ValueError, KeyError, TypeError, NotImplementedError, OSError) as error:
                    raise self.damaged(error) from error
            place += length
        raise KeyError(name)

    def damaged(self, error: BaseException) -> RunError:
        """What to tell of a point whose tables are none, though its hash is right.

        Args:
            error: What reading them has raised.
        """
        reason = str(error).partition("\n")[0] or type(error).__name__
        return RunError(f"{self.path}: damaged: {reason}; remove this file, and its points are run again")


def pack_table(rows: list[dict[str, Any]]) -> tuple[bytes, str]:
    """A table for a point: its bytes, and its schema in words."""
    import pyarrow as pa

    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    schema = ",".join(f"{field.name}:{field.type}" for field in table.schema)
    return zlib.compress(sink.getvalue().to_pybytes(), 1), schema


def _unpack_table(data: bytes) -> pa.Table:
    import pyarrow as pa

    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(data, _MAX_TABLE_BYTES)
    if not unpacker.eof:
        raise ValueError("a table is cut off, or larger than any run's")
    table = pa.ipc.open_stream(plain).read_all()
    table.validate(full=True)
    return table


def encode_point(address: str, summary: Mapping[str, Any], tables: Mapping[str, tuple[bytes, str]]) -> bytes:
    """A point as its file has it."""
    about = {
        "run": address,
        "summary": json.loads(json_text(summary)),
        "tables": {name: [len(data), schema] for name, (data, schema) in tables.items()},
    }
    head = json.dumps(about, separators=(",", ":")).encode()
    body = b"".join((head, *(data for data, _ in tables.values())))
    digest = hashlib.sha256(body).hexdigest().encode()
    return b"%s%s %d %d\n%s" % (_MARK, digest, len(head), len(body) - len(head), body)


def read_points(path: Path) -> Iterator[SavedPoint]:
    """The points of a file that are whole; what is damaged is passed over.

    Args:
        path: The file; one that is missing holds no points.
    """
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        start = 0
        while (found := _next_header(file, start)) is not None:
            start, header = found
            point = _point_at(file, path, start, header)
            if point is None:
                start += len(_MARK)
            else:
                yield point
                start += point.length


def _next_header(file: BinaryIO, start: int) -> tuple[int, re.Match[bytes]] | None:
    """The next place from here on where a point seems to begin: mostly right here."""
    file.seek(start)
    found = _HEADER.match(file.read(_MAX_HEADER_BYTES))
    if found is not None:
        return start, found
    while True:
        file.seek(start)
        block = file.read(_BLOCK)
        found = _HEADER.search(block)
        if found is not None:
            return start + found.start(), found
        if len(block) < _BLOCK:
            return None
        start += len(block) - _MAX_HEADER_BYTES


def _point_at(file: BinaryIO, path: Path, start: int, header: re.Match[bytes]) -> SavedPoint | None:
    summary_bytes, table_bytes = int(header[2]), int(header[3])
    length = len(header[0]) + summary_bytes + table_bytes
    if start + length > os.fstat(file.fileno()).st_size:
        return None
    file.seek(start + len(header[0]))
    head = file.read(summary_bytes)
    digest = hashlib.sha256(head)
    left = table_bytes
    while left and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
    if left or digest.hexdigest().encode() != header[1]:
        return None
    try:
        about = json.loads(head)
        summary = {name: _with_nan(value) for name, value in about["summary"].items()}
        tables = {name: (int(size), str(schema)) for name, (size, schema) in about["tables"].items()}
        return SavedPoint(str(about["run"]), summary, tables, path, start, length, summary_bytes, digest.hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _with_nan(value: Any) -> Any:
    """Figures, those of kinds of devices included, as they were before JSON had no word for not-a-number."""
    if isinstance(value, list):
        return [{name: _with_nan(inner) for name, inner in row.items()} for row in value]
    return float("nan") if value is None else value


class PointWriter:
    """Appends points to a new file of its own, which is locked while it is written.

    Args:
        folder: Where the file lies.
        prefix: Start of its name.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.path, descriptor = create_locked(folder, prefix, SUFFIX)
        self._file = os.fdopen(descriptor, "r+b")
        self._synced_s = monotonic()
        sync_folder(folder)

    def add(self, data: bytes) -> None:
        """Append a point; it is on disk half a second later, at the latest when the writer is closed.

        Raises:
            OSError: It cannot be written.
        """
        self._file.write(data)
        self._file.flush()
        if monotonic() - self._synced_s >= SYNC_EVERY_S:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced_s = monotonic()
        if not os.path.exists(self.path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))

    def close(self) -> None:
        """Have all on disk and let go of the file; one without a point vanishes.

        Raises:
            OSError: It cannot be written, or was removed meanwhile.
        """
        if self._file.closed:
            return
        try:
            if os.fstat(self._file.fileno()).st_size:
                self._sync()
            else:
                self.path.unlink(missing_ok=True)
        finally:
            self._file.close()
