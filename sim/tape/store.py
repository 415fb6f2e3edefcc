"""The tape store: one checked file per recorded request, written in one move, shared by any number of processes."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.core.errors import InputError
from sim.core.files import cannot_write, remove_leftovers, write_atomically
from sim.decoding.drivers.protocol_run import Record
from sim.tape.encoding import from_plain, to_plain
from sim.tape.key import key_of

FORMAT = "specran-tape-2"
SIZE_VARIABLE = "SPECRAN_TAPE_MAX_GB"
DEFAULT_MAX_GB = 20.0

# Records that one process keeps parsed, so that points over the same recording do not parse it again; 0.2 kB each.
KEPT_RECORDS = 400_000


class TapeProblem(ValueError):
    """An entry that cannot be trusted."""


@dataclass(frozen=True)
class Entry:
    """One recorded request.

    Attributes:
        key: Its address.
        about: What the key was made of, and the figures that lists show.
        records: What was done.
        payloads: Bytes of its messages in order, where they were asked for.
    """

    key: str
    about: dict[str, Any]
    records: list[Record]
    payloads: list[bytes] | None = None


def encode_entry(
    key: str, records: Sequence[Record], about: dict[str, Any], payloads: Sequence[bytes] | None = None
) -> bytes:
    """An entry as its file has it: a header line with the body's hash, then the body."""
    plain: dict[str, Any] = {"records": to_plain(records)}
    if payloads is not None:
        plain["payloads"] = [data.hex() for data in payloads]
    body = json.dumps(plain, separators=(",", ":")).encode()
    header = {"format": FORMAT, "key": key, "about": about}
    return _sealed(header, body) + b"\n" + body


def _sealed(header: dict[str, Any], body: bytes) -> bytes:
    plain = json.dumps(header, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(plain.encode() + b"\n" + body).hexdigest()
    return json.dumps({**header, "sha256": digest}, sort_keys=True, separators=(",", ":")).encode()


def check_entry(key: str, data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body of an entry's bytes, neither of which was changed since they were written.

    Raises:
        TapeProblem: They are damaged, of another format, or another request's.
    """
    head, newline, body = data.partition(b"\n")
    try:
        header = json.loads(head)
        stated = header.pop("sha256")
        if header["format"] != FORMAT:
            raise TapeProblem(f"format {header['format']!r}, not {FORMAT!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, TapeProblem):
            raise
        raise TapeProblem("its header is damaged") from error
    plain = json.dumps(header, sort_keys=True, separators=(",", ":"))
    if not newline or stated != hashlib.sha256(plain.encode() + b"\n" + body).hexdigest():
        raise TapeProblem("its content does not have the hash that it states")
    if header["key"] != key:
        raise TapeProblem("it belongs to another request")
    try:
        address = key_of(header["about"])
    except (KeyError, TypeError, ValueError) as error:
        raise TapeProblem("its description makes no sense") from error
    if address != key:
        raise TapeProblem("its description does not have this address")
    return header, body


def decode_entry(key: str, data: bytes) -> Entry:
    """Parse an entry's bytes.

    Raises:
        TapeProblem: They cannot be trusted.
    """
    header, body = check_entry(key, data)
    try:
        plain = json.loads(body)
        payloads = plain.get("payloads")
        return Entry(
            key,
            header["about"],
            from_plain(plain["records"]),
            None if payloads is None else [bytes.fromhex(text) for text in payloads],
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise TapeProblem("its records make no sense") from error


class TapeStore:
    """Recorded requests by key.

    Args:
        folder: Where they lie; made when first written to.
        kept_records: Parsed records that this store keeps in memory.
    """

    def __init__(self, folder: Path, kept_records: int = KEPT_RECORDS) -> None:
        self.folder = folder
        self._kept: OrderedDict[str, list[Record]] = OrderedDict()
        self._num_kept = 0
        self._max_kept = kept_records

    def path(self, key: str) -> Path:
        """File of an entry."""
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> list[Record] | None:
        """The records of a request, or None if there are none that can be trusted."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        data = self.read(key)
        if data is None:
            return None
        try:
            records = decode_entry(key, data).records
        except TapeProblem:
            return None
        self._keep(key, records)
        return records

    def _keep(self, key: str, records: list[Record]) -> None:
        if len(records) > self._max_kept:
            return
        self._kept[key] = records
        self._num_kept += len(records)
        while self._num_kept > self._max_kept:
            self._num_kept -= len(self._kept.popitem(last=False)[1])

    def has(self, key: str) -> bool:
        """Whether an entry is there and has the hash that it states; its records are not parsed."""
        data = self.read(key)
        try:
            return data is not None and bool(check_entry(key, data))
        except TapeProblem:
            return False

    def entry(self, key: str) -> Entry:
        """An entry with all that it holds.

        Raises:
            TapeProblem: It is missing or cannot be trusted.
        """
        data = self.read(key)
        if data is None:
            raise TapeProblem("it cannot be read")
        return decode_entry(key, data)

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry as they are, or None."""
        path = self.path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)  # pruning goes by the time of the last use
        return data

    def put(
        self, key: str, records: Sequence[Record], about: dict[str, Any], payloads: Sequence[bytes] | None = None
    ) -> None:
        """Write an entry; a reader sees all of it or nothing.

        Args:
            key: Its address.
            records: What was done.
            about: What the key was made of, for people who list the tape.
            payloads: Bytes of its messages, if they are to be kept.

        Raises:
            RunError: It cannot be written.
        """
        self.write(key, encode_entry(key, records, about, payloads))

    def write(self, key: str, data: bytes) -> None:
        """Write an entry's bytes.

        Raises:
            RunError: They cannot be written.
        """
        try:
            write_atomically(self.path(key), data)
        except OSError as error:
            raise cannot_write("the tape", self.folder, error) from error

    def files(self) -> Iterator[Path]:
        """Files of all entries, in the order of their keys."""
        yield from sorted(self.folder.glob("??/*.json"))

    def list_keys(self) -> list[str]:
        """Keys of all entries, sorted."""
        return [path.stem for path in self.files()]

    def clean(self) -> int:
        """Remove what killed recorders have left half written; returns how many files."""
        return sum(remove_leftovers(folder) for folder in (self.folder, *sorted(self.folder.glob("??"))))


@dataclass(frozen=True)
class PruneResult:
    """What pruning did: entries removed and kept, and the bytes that are left."""

    removed: int
    kept: int
    kept_bytes: int


def max_tape_bytes() -> float:
    """Largest size of the tape in bytes, from the environment variable ``SPECRAN_TAPE_MAX_GB`` (20 by default).

    Raises:
        InputError: The variable is no positive number.
    """
    text = os.environ.get(SIZE_VARIABLE, str(DEFAULT_MAX_GB))
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = 0.0
    if not gigabytes > 0:
        raise InputError(f"{SIZE_VARIABLE}: expected a positive number of gigabytes, got {text!r}")
    return gigabytes * 1e9


def prune(store: TapeStore, max_bytes: float) -> PruneResult:
    """Remove the least recently used entries until the rest fits.

    Args:
        store: Which tape.
        max_bytes: What may be left.
    """
    store.clean()
    found = []
    for path in store.files():
        try:
            status = path.stat()
        except OSError:
            continue  # Another process pruned it.
        found.append((status.st_mtime_ns, path, status.st_size))
    found.sort(reverse=True)
    total, kept = 0, 0
    for place, (_, _, size) in enumerate(found):
        if total + size > max_bytes:
            for _, old, _ in found[place:]:
                old.unlink(missing_ok=True)
            break
        total += size
        kept += 1
    return PruneResult(len(found) - kept, kept, total)
