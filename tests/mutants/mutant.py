"""A fault put in on purpose: one line of code, with the tests that must notice it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A one-line fault.

    Attributes:
        name: Unique.
        path: File, from the repository's root.
        old: Text that occurs once in the file.
        new: What takes its place.
        tests: Test files or folders of which one must fail.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, original: str) -> str:
        """The file's text with the fault.

        Raises:
            ValueError: The text to replace is not there exactly once.
        """
        count = original.count(self.old)
        if count != 1:
            raise ValueError(f"{self.name}: {self.path} holds {self.old!r} {count} times")
        return original.replace(self.old, self.new)


def faults_of(path: str, tests: tuple[str, ...], *faults: tuple[str, str, str]) -> Iterator[Mutant]:
    """Faults of one file: name, old and new text of each."""
    for name, old, new in faults:
        yield Mutant(name, path, old, new, tests)
