"""The training text: the Python standard library's sources, deduplicated, with held-out files set aside by hash."""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_ONE_IN = 20
"""One file in this many is held out."""

MAX_FILE_BYTES = 600_000
MIN_FILE_BYTES = 64
MAX_DIGIT_SHARE = 0.15
"""Files with a larger share of digits among their visible characters are tables, not text."""

SKIPPED_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "pydoc_data", "lib-dynload", "bad_coding"}
)
SKIPPED_PREFIXES = ("_sysconfigdata",)


@dataclass(frozen=True)
class SourceFile:
    """One file of the corpus: path relative to the standard library, sha256 of its bytes, and its text."""

    path: str
    sha256: str
    text: str

    @property
    def is_held_out(self) -> bool:
        """Whether the file is set aside; decided by the hash of its content alone."""
        return int(self.sha256[:8], 16) % HELD_OUT_ONE_IN == 0


@dataclass(frozen=True)
class Corpus:
    """Training and held-out files, each sorted by path, and the digest that names exactly this corpus."""

    train: tuple[SourceFile, ...]
    held_out: tuple[SourceFile, ...]

    @property
    def sha256(self) -> str:
        """sha256 over the sorted content hashes of all files, training and held-out."""
        hashes = sorted(source.sha256 for source in self.train + self.held_out)
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def standard_library_root() -> Path:
    """Folder of the running interpreter's standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def load_corpus(root: Path | None = None) -> Corpus:
    """Read every Python source under `root` (default: the running interpreter's standard library).

    Left out: installed packages, byte-identical duplicates, files that are not UTF-8, and files made of numbers
    (character-set and other tables). Raises ValueError if nothing is left to train on or to hold out.
    """
    root = standard_library_root() if root is None else root
    seen: set[str] = set()
    files: list[SourceFile] = []
    for path in sorted(root.rglob("*.py")):
        source = _read(path, root)
        if source is not None and source.sha256 not in seen:
            seen.add(source.sha256)
            files.append(source)
    train = tuple(source for source in files if not source.is_held_out)
    held_out = tuple(source for source in files if source.is_held_out)
    if not train or not held_out:
        raise ValueError(f"root: no usable corpus of Python sources in {root} ({len(files)} usable files)")
    return Corpus(train, held_out)


def _read(path: Path, root: Path) -> SourceFile | None:
    relative = path.relative_to(root)
    if SKIPPED_FOLDERS & set(relative.parts) or path.name.startswith(SKIPPED_PREFIXES):
        return None
    content = path.read_bytes()
    if not MIN_FILE_BYTES <= len(content) <= MAX_FILE_BYTES:
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if _digit_share(text) > MAX_DIGIT_SHARE:
        return None
    return SourceFile(relative.as_posix(), hashlib.sha256(content).hexdigest(), text)


def _digit_share(text: str) -> float:
    visible = sum(not character.isspace() for character in text)
    return sum(character.isdigit() for character in text) / max(visible, 1)
