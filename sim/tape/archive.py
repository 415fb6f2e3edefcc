"""Tapes in one file: recorded requests beside the scenarios that they are of, read where they lie.

An archive is a ZIP file with three kinds of members: ``tape.json``, which says of itself what an exported folder says;
``entries.json``, which entries lie where; and ``entries/N``, the entries of requests that differ in seed and prompt
alone, one after another, compressed together because most of their bytes are the same.
"""

from __future__ import annotations

import errno
import json
import lzma
import os
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from channels.text_files import check_regular
from sim.core.files import write_atomically
from sim.scenario.loading import scenario_folders

SHIPPED_VARIABLE = "SPECRAN_SHIPPED_TAPES"
ABOUT, PLACES = "tape.json", "entries.json"
# A member may have any date; this one makes equal contents equal files.
_DATE = (1980, 1, 1, 0, 0, 0)
_LINES_OF_ENTRY = 5
_KEPT_MEMBERS = 8
# Of one member, unpacked: it is read as a whole.
MAX_MEMBER_BYTES = 1 << 30
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    RecursionError,
    NotImplementedError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
)


def write_archive(path: Path, about: Mapping[str, Any], entries: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive; equal contents give equal bytes.

    Args:
        path: Where to.
        about: What it says of itself.
        entries: Key and bytes of each entry.

    Raises:
        OSError: It cannot be written.
    """
    by_description: defaultdict[bytes, dict[str, bytes]] = defaultdict(dict)
    for key, data in entries:
        by_description[data.split(b"\n", 2)[1]][key] = data
    groups = [dict(sorted(group.items())) for group in by_description.values()]
    groups.sort(key=lambda group: next(iter(group)))
    members = {
        ABOUT: json.dumps(about, sort_keys=True).encode(),
        PLACES: json.dumps([list(group) for group in groups]).encode(),
        **{_member(place): b"\n".join(group.values()) for place, group in enumerate(groups)},
    }
    if max(map(len, members.values())) > MAX_MEMBER_BYTES:
        raise OSError(errno.EFBIG, "too many requests of one description for an archive; export a folder")
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_LZMA
            archive.writestr(info, data)
    write_atomically(path, packed.getvalue())


def _member(place: int) -> str:
    return f"entries/{place}"


class TapeArchive:
    """An archive that is read entry by entry, and never written to.

    An entry that cannot be read counts as missing, so that its request is decoded anew; ``specran tape verify`` names
    it.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] | None = None
        self._members: OrderedDict[int, dict[str, bytes]] = OrderedDict()

    def about(self) -> dict[str, Any]:
        """What it says of itself.

        Raises:
            ValueError: It is no archive of a tape.
        """
        check_regular(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                self._places = _places_of(archive)
                return dict(json.loads(_read(archive, ABOUT)))
        except _UNREADABLE as error:
            raise ValueError(f"{self.path}: not an archive of a tape: {error}") from error

    def keys(self) -> list[str]:
        """Keys of all entries, sorted; none if it cannot be read."""
        return sorted(self._known_places())

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry, or None."""
        place = self._known_places().get(key)
        if place is None:
            return None
        if place not in self._members:
            self._members[place] = self._entries_at(place)
            while len(self._members) > _KEPT_MEMBERS:
                self._members.popitem(last=False)
        self._members.move_to_end(place)
        return self._members[place].get(key)

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Key and bytes of each entry, in the order in which they lie; one that cannot be read has none."""
        for key in self._known_places():
            yield key, self.read(key) or b""

    def _known_places(self) -> dict[str, int]:
        if self._places is None:
            try:
                with zipfile.ZipFile(self.path) as archive:
                    self._places = _places_of(archive)
            except _UNREADABLE:
                self._places = {}
        return self._places

    def _entries_at(self, place: int) -> dict[str, bytes]:
        """Entries of one member by key."""
        keys = [key for key, own in self._known_places().items() if own == place]
        try:
            with zipfile.ZipFile(self.path) as archive:
                lines = _read(archive, _member(place)).split(b"\n")
        except _UNREADABLE:
            return {}
        starts = range(0, len(lines), _LINES_OF_ENTRY)
        texts = [b"\n".join(lines[start : start + _LINES_OF_ENTRY]) for start in starts]
        return dict(zip(keys, texts, strict=False))


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member, unless it would fill the memory: a few bytes may unpack to any number.

    Raises:
        ValueError: It would.
    """
    size = archive.getinfo(name).file_size
    if size > MAX_MEMBER_BYTES:
        raise ValueError(f"{name} unpacks to {size:,} bytes")
    return archive.read(name)


def _places_of(archive: zipfile.ZipFile) -> dict[str, int]:
    """Number of the member in which an entry lies, by key."""
    groups: list[list[str]] = json.loads(_read(archive, PLACES))
    return {key: place for place, group in enumerate(groups) for key in group}


class ShippedTapes:
    """The archives that ship with the scenarios.

    Args:
        paths: Their files.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.archives = [TapeArchive(path) for path in paths]

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry that one of them holds, or None."""
        for archive in self.archives:
            data = archive.read(key)
            if data is not None:
                return data
        return None


_known: dict[tuple[Path, ...], ShippedTapes] = {}


def shipped_tapes() -> ShippedTapes:
    """Archives beside the bundled scenarios, or in the folder that ``SPECRAN_SHIPPED_TAPES`` names; none if empty."""
    named = os.environ.get(SHIPPED_VARIABLE)
    folders = [folder / "tapes" for folder in scenario_folders()] if named is None else [Path(named)] if named else []
    paths = tuple(path for folder in folders for path in sorted(folder.glob("*.zip")))
    return _known.setdefault(paths, ShippedTapes(paths))
