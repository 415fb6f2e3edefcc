"""Words of notes and messages."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number of things: ``1 prompt``, ``2 prompts``.

    Args:
        number: How many.
        noun: What one of them is called.
        plural: What several are called; the noun with an s by default.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
