"""Lines on stdout and stderr, without what a table takes to draw; texts only show and steer nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

# What steers a terminal, or turns the direction of writing.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")


def inert(text: str) -> str:
    """A text that only shows: control characters become their escapes, new lines and tabs stay."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def print_lines(lines: Sequence[str]) -> None:
    """Lines of a result, on stdout."""
    sys.stdout.write("".join(f"{inert(line)}\n" for line in lines))


def note(message: str) -> None:
    """One line for people, on stderr."""
    sys.stderr.write(f"{inert(message)}\n")
