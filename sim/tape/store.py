"""The tape store: one checked file per recorded request, written in one move, shared by any number of processes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.decoding.scripts import Record
from sim.tape.encoding import from_plain, to_plain

FORMAT = "specran-tape-1"


class TapeStore:
    """Recorded requests by key.

    Args:
        folder: Where they lie; made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """File of an entry."""
        return self.folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> list[Record] | None:
        """The records of a request, or None if there are none that can be trusted."""
        try:
            head, body = self.path(key).read_bytes().split(b"\n", 1)
            header = json.loads(head)
            if header["format"] != FORMAT or header["key"] != key:
                return None
            if header["sha256"] != hashlib.sha256(body).hexdigest():
                return None
            return from_plain(json.loads(body))
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None

    def put(self, key: str, records: Sequence[Record], about: dict[str, Any]) -> None:
        """Write an entry; a reader sees all of it or nothing.

        Args:
            key: Its address.
            records: What was done.
            about: What the key was made of, for people who list the tape.
        """
        body = json.dumps(to_plain(records), separators=(",", ":")).encode()
        header = {"format": FORMAT, "key": key, "sha256": hashlib.sha256(body).hexdigest(), "about": about}
        write_atomically(self.path(key), json.dumps(header, sort_keys=True).encode() + b"\n" + body)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
