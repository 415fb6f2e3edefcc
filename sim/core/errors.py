"""Errors that a user can act on: one message, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """What the user gave is wrong; the command line prints the message alone and exits with 2."""


class RunError(Exception):
    """The input was right and the run failed; the command line prints the message alone and exits with 1."""


def unknown_name_message(kind: str, got: object, valid: Iterable[object]) -> str:
    """Say that a name is unknown, which names are valid, and which one is nearest."""
    names = sorted(str(name) for name in valid)
    near = difflib.get_close_matches(str(got), names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {kind} {str(got)!r}{hint}; valid: {', '.join(names)}"
