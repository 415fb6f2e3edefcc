"""Errors that a user can act on: one message, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

Key = tuple[str | int, ...]

# What a message lists of valid names: all of them up to so many characters, else the nearest.
_MAX_CHOICES_CHARS, _NEAREST = 320, 8
# Commands that print all names of a kind.
_LISTS = {"hardware": "hardware", "protocol": "protocols", "column": "columns", "figure": "figures"}


class InputError(Exception):
    """What the user gave is wrong; the command line prints the message alone and exits with 2.

    Args:
        message: What was expected and what was got.
        key: The scenario's key that is to blame, dotted or as parts from the root down; empty if none is.
        place: Where the user wrote it: ``file:line:``, or an option such as ``--set``.

    Attributes:
        message: As given, without key and place.
        key: The key's parts.
        place: As given.
    """

    def __init__(self, message: str, key: str | Sequence[str | int] = (), place: str = "") -> None:
        self.message = message
        self.key: Key = tuple(key.split(".")) if isinstance(key, str) else tuple(key)
        self.place = place
        # All are arguments, so that the error survives the way from a worker process.
        super().__init__(message, self.key, place)

    def __str__(self) -> str:
        named = f"{dotted(self.key)}: {self.message}" if self.key else self.message
        return f"{self.place} {named}" if self.place else named


class RunError(Exception):
    """The input was right and the run failed; the command line prints the message alone and exits with 1."""


def dotted(key: Sequence[str | int]) -> str:
    """A key's parts as users write it, such as ``link.uplink_mbps``."""
    return ".".join(str(part) for part in key)


def shortened(value: object) -> str:
    """A value as a message quotes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def unknown_name_message(kind: str, got: object, valid: Iterable[object]) -> str:
    """Say that a name is unknown, which names are valid, and which one is nearest."""
    names = sorted(str(name) for name in valid)
    all_of_them = f" (specran list {_LISTS[kind]})" if kind in _LISTS else ""
    listed = choices(got, names, all_of_them) or "none"
    return f"unknown {kind} {shortened(str(got))}{did_you_mean(got, names)}; valid: {listed}"


def choices(got: object, names: Iterable[str], all_of_them: str = "") -> str:
    """Valid names as a message lists them: all, or of a long list the nearest ones and how many more there are.

    Args:
        got: What was given.
        names: The valid names.
        all_of_them: Where all can be seen, for the end of a list that was cut.
    """
    names = list(names)
    text = ", ".join(names)
    if len(text) <= _MAX_CHOICES_CHARS:
        return text
    wanted = _plain(str(got)[:100])
    likeness = difflib.SequenceMatcher(b=wanted, autojunk=False)
    by_name = {}
    for name in names:
        likeness.set_seq1(_plain(name))
        by_name[name] = likeness.ratio()
    nearest = sorted(sorted(names, key=lambda name: -by_name[name])[:_NEAREST])
    return f"{', '.join(nearest)}, ... and {len(names) - len(nearest)} more{all_of_them}"


def did_you_mean(got: object, valid: Iterable[str]) -> str:
    """A remark with the nearest valid name, for the end of a sentence; empty if none is near.

    Capital letters, hyphens and spaces count as what they are usually meant for: ``max-new-tokens`` is near
    ``max_new_tokens``.
    """
    names = {_plain(name): name for name in valid}
    near = difflib.get_close_matches(_plain(str(got)[:100]), names, n=1, cutoff=0.5)
    return f" (did you mean {names[near[0]]!r}?)" if near else ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
