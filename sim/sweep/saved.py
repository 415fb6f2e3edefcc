"""Finished points on disk: a folder each, whole or absent, that says what it was made from."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sim.core.files import cannot_write, remove_leftovers, take_place, unfinished_folder
from sim.results.folder import json_text
from sim.sweep.work import PointDone

_SEALS = ("run_id", "content_hash", "sha256")


class SavedPoints:
    """The ``points`` folder of a sweep.

    Args:
        folder: Where it lies; made when the first point is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Folder of a point."""
        return self.folder / key

    def load(self, key: str, content_hash: str) -> dict[str, Any] | None:
        """The summary of a finished point; None if there is none, it is damaged, or came from other inputs."""
        try:
            saved = json.loads((self.path(key) / "summary.json").read_text(encoding="utf-8"))
            stated = {name: saved.pop(name) for name in _SEALS}
        except (OSError, ValueError, KeyError, AttributeError):
            return None
        if stated != _seals(key, content_hash, saved):
            return None
        return {name: math.nan if value is None else value for name, value in saved.items()}

    def take_over(
        self, key: str, content_hash: str, others: Iterable[SavedPoints], tables: Sequence[str]
    ) -> dict[str, Any] | None:
        """The summary of a point that another sweep has finished, which is this one's from now on; None if none has.

        Args:
            key: Which point.
            content_hash: What it must have been made from.
            others: Where to look.
            tables: What it must have kept beside its summary.

        Raises:
            RunError: It cannot be copied.
        """
        for other in others:
            place = other.path(key)
            summary = other.load(key, content_hash)
            if summary is None or not all((place / f"{name}.parquet").is_file() for name in tables):
                continue
            try:
                with unfinished_folder(self.folder) as folder:
                    shutil.copytree(place, folder, dirs_exist_ok=True)
                    take_place(folder, self.path(key))
            except OSError as error:
                raise cannot_write("results", self.folder, error) from error
            return summary
        return None

    def save(self, key: str, content_hash: str, done: PointDone) -> None:
        """Write a point's folder; a reader sees all of it or nothing.

        Raises:
            RunError: It cannot be written.
        """
        assert done.summary is not None
        plain = json.loads(json_text(done.summary))
        try:
            with unfinished_folder(self.folder) as folder:
                for name, data in done.tables.items():
                    (folder / f"{name}.parquet").write_bytes(data)
                text = json_text({**plain, **_seals(key, content_hash, plain)})
                (folder / "summary.json").write_text(text, encoding="utf-8")
                take_place(folder, self.path(key))
        except OSError as error:
            raise cannot_write("results", self.folder, error) from error

    def clean(self) -> None:
        """Remove what killed sweeps have left half written."""
        remove_leftovers(self.folder)


def _seals(key: str, content_hash: str, plain: dict[str, Any]) -> dict[str, str]:
    content = json.dumps([key, content_hash, plain], sort_keys=True, separators=(",", ":"))
    return dict(zip(_SEALS, (key, content_hash, hashlib.sha256(content.encode()).hexdigest()), strict=True))
