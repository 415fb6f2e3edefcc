"""The tape store: one checked file per recorded request, written in one move, shared by any number of processes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import from_json

from sim.core.addresses import canonical
from sim.core.files import cannot_write, remove_leftovers, sync_file, sync_folder, write_atomically
from sim.decoding.drivers.protocol_run import Record
from sim.tape.encoding import check_plain, from_plain, rounds_of, to_plain
from sim.tape.key import address_of, split_description

ENTRY_FORMAT = "specran-tape-3"
# How the first line of an entry names its format, in this version's entries and in those of earlier ones (JSON).
_OTHER_FORMAT = re.compile(rb'^specran-tape-\d+ |"format":"specran-tape-\d+"')

_SENSELESS = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
# Records that one process keeps parsed, so that points over the same recording do not parse it again; 0.2 kB each.
KEPT_RECORDS = 400_000


class TapeProblem(ValueError):
    """An entry that cannot be trusted."""


class TapeOutdated(TapeProblem):
    """An entry of another version's format, which this version leaves alone and does not use."""


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
    key: str, records: Sequence[Record], about: Mapping[str, Any], payloads: Sequence[bytes] | None = None
) -> bytes:
    """An entry as its file has it, in five lines.

    These are the format with the hash of all that follows; what the key was made of, first as far as it is shared by
    all requests of a scenario, then the request's own part; the key with a few figures for lists; and the records.
    """
    plain: dict[str, Any] = {"records": to_plain(records)}
    if payloads is not None:
        plain["payloads"] = [data.hex() for data in payloads]
    shared, own = split_description(about)
    head = {"key": key, "figures": _figures_of(records, own)}
    rest = b"\n".join(canonical(part).encode() for part in (shared, own, head, plain))
    return b"%s %s\n%s" % (ENTRY_FORMAT.encode(), hashlib.sha256(rest).hexdigest().encode(), rest)


def _figures_of(records: Sequence[Record], own: Mapping[str, Any]) -> dict[str, int]:
    rounds = [ended for ended, _, _ in rounds_of(records)]
    seed, request = own["random"] if isinstance(own.get("random"), list | tuple) else (0, 0)
    return {
        "seed": seed,
        "request": request,
        "prompt_tokens": len(own.get("prompt", ())),
        "rounds": len(rounds),
        "tokens": sum(len(ended.tokens) for ended in rounds),
        "tested": sum(ended.tested for ended in rounds),
        "accepted": sum(ended.accepted for ended in rounds),
    }


@dataclass(frozen=True, slots=True)
class Header:
    """What an entry says of itself, its records left unread.

    Attributes:
        shared: What the key was made of as far as all requests of a scenario share it.
        own: The request's own part, as JSON.
        figures: Seed, request, and counts of tokens and rounds, by name.
        body: Its records, as JSON.
    """

    shared: dict[str, Any]
    own: bytes
    figures: dict[str, Any]
    body: bytes


def check_entry(key: str, data: bytes) -> Header:
    """An entry's bytes, which nobody has changed since they were written.

    Raises:
        TapeOutdated: Another version has recorded them.
        TapeProblem: They are damaged, or another request's.
    """
    head, _, rest = data.partition(b"\n")
    name, _, stated = head.partition(b" ")
    if name != ENTRY_FORMAT.encode():
        if _OTHER_FORMAT.search(head):
            raise TapeOutdated(f"another version has recorded it, in another format than {ENTRY_FORMAT!r}")
        raise TapeProblem(f"it is not of format {ENTRY_FORMAT!r}")
    if hashlib.sha256(rest).hexdigest().encode() != stated:
        raise TapeProblem("its content does not have the hash that it states")
    try:
        shared, own, about, body = rest.split(b"\n", 3)
        described = json.loads(about)
        stated_key, figures = described["key"], dict(described["figures"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TapeProblem("its description makes no sense") from error
    if stated_key != key:
        raise TapeProblem("it belongs to another request")
    if address_of(hashlib.sha256(shared).hexdigest(), own) != key:
        raise TapeProblem("its description does not have this address")
    return Header(_shared_description(shared), own, figures, body)


@lru_cache(maxsize=256)
def _shared_description(text: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise TapeProblem("its description makes no sense") from error


def decode_entry(key: str, data: bytes) -> Entry:
    """Parse an entry's bytes.

    Raises:
        TapeProblem: They cannot be trusted.
    """
    header = check_entry(key, data)
    try:
        plain = from_json(header.body)
        about = {**header.shared, **json.loads(header.own)}
        return Entry(key, about, from_plain(plain["records"]), _payloads_of(plain))
    except _SENSELESS as error:
        raise TapeProblem("its records make no sense") from error


def verify_entry(key: str, data: bytes) -> None:
    """That ``decode_entry`` would parse an entry's bytes, in less time.

    Raises:
        TapeProblem: They cannot be trusted.
    """
    header = check_entry(key, data)
    try:
        plain = from_json(header.body)
        if not isinstance(from_json(header.own), dict):
            raise TypeError("its own part is no description")
        check_plain(plain["records"])
        _payloads_of(plain)
    except _SENSELESS as error:
        raise TapeProblem("its records make no sense") from error


def _payloads_of(plain: Mapping[str, Any]) -> list[bytes] | None:
    payloads = plain.get("payloads")
    return None if payloads is None else [bytes.fromhex(text) for text in payloads]


class SecondPlace(Protocol):
    """Where entries are looked for that are not in the store's own folder; nothing is ever written there."""

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry, or None."""


class TapeStore:
    """Recorded requests by key.

    Args:
        folder: Where they lie; made when first written to.
        kept_records: Parsed records that this store keeps in memory.
        second: Where what the folder lacks may be read; lists and checks of the store are of its folder alone.
    """

    def __init__(self, folder: Path, kept_records: int = KEPT_RECORDS, second: SecondPlace | None = None) -> None:
        self.folder = folder
        self._second = second
        self._kept: OrderedDict[str, list[Record]] = OrderedDict()
        self._num_kept = 0
        self._max_kept = kept_records
        self._unsynced: list[Path] = []

    def path(self, key: str) -> Path:
        """File of an entry."""
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> list[Record] | None:
        """The records of a request, or None if there are none that can be trusted."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        for read in (self.read, self._read_second):  # what is damaged in the folder may be whole in the second place
            data = read(key)
            if data is not None:
                with suppress(TapeProblem):
                    records = decode_entry(key, data).records
                    self._keep(key, records)
                    return records
        return None

    def _keep(self, key: str, records: list[Record]) -> None:
        if len(records) > self._max_kept:
            return
        self._kept[key] = records
        self._num_kept += len(records)
        while self._num_kept > self._max_kept:
            self._num_kept -= len(self._kept.popitem(last=False)[1])

    def has(self, key: str) -> bool:
        """Whether an entry is there and can be trusted; its records are kept in memory for the next call of ``get``."""
        return self.get(key) is not None

    def entry(self, key: str) -> Entry:
        """An entry with all that it holds; to look at it is not to use it.

        Raises:
            TapeProblem: It is missing or cannot be trusted.
        """
        data = self._look(key)
        if data is None:
            data = self._read_second(key)
        if data is None:
            raise TapeProblem("it cannot be read")
        return decode_entry(key, data)

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry as they are, or None."""
        data = self._look(key)
        if data is None:
            return self._read_second(key)
        with suppress(OSError):
            os.utime(self.path(key))  # pruning goes by the time of the last use
        return data

    def _read_second(self, key: str) -> bytes | None:
        return None if self._second is None else self._second.read(key)

    def _look(self, key: str) -> bytes | None:
        """The bytes of an entry in the folder, which is not used by that."""
        try:
            return self.path(key).read_bytes()
        except OSError:
            return None

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

        They are on disk for good after ``sync``. Should power be lost before, what is left of them does not have the
        hash that it states, and the request is recorded again.

        Raises:
            RunError: They cannot be written.
        """
        self._forget(key)
        try:
            write_atomically(self.path(key), data, False)
        except OSError as error:
            raise cannot_write("the tape", self.folder, error) from error
        self._unsynced.append(self.path(key))

    def sync(self) -> None:
        """Have on disk what was written so far.

        Raises:
            RunError: That cannot be done.
        """
        paths, self._unsynced = self._unsynced, []
        try:
            for path in paths:
                with suppress(FileNotFoundError):  # PruneResult meanwhile.
                    sync_file(path)
            for folder in sorted({path.parent for path in paths}):
                sync_folder(folder)
            if paths:
                sync_folder(self.folder)
        except OSError as error:
            raise cannot_write("the tape", self.folder, error) from error

    def _forget(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._num_kept -= len(kept)

    def files(self) -> Iterator[Path]:
        """Files of all entries, in the order of their keys."""
        return (folder / name for folder, name in self._names())

    def _names(self) -> Iterator[tuple[Path, str]]:
        """Folder and name of each entry's file, in the order of keys."""
        for folder in sorted(self.folder.glob("??")):
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                continue
            yield from ((folder, name) for name in names if name.endswith(".json") and not name.startswith("."))

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Key and bytes of each entry, in the order of keys; one that cannot be read has none."""
        for folder, name in self._names():
            try:
                with open(f"{folder}/{name}", "rb", buffering=0) as file:
                    data = file.read()
            except OSError:
                data = b""
            yield name.removesuffix(".json"), data

    def list_keys(self) -> list[str]:
        """Keys of all entries, sorted."""
        return [name.removesuffix(".json") for _, name in self._names()]

    def clean(self) -> int:
        """Remove what killed recorders have left half written; returns how many files."""
        return sum(remove_leftovers(folder) for folder in (self.folder, *sorted(self.folder.glob("??"))))
