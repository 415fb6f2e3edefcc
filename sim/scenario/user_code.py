"""Code of a user's own that a scenario names as ``package.module:Name``: what is kept must say which it was made by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.core.user_code import content_hash, data_files_of, files_of, is_user_name


def user_code_hashes(plain: Any) -> dict[str, str]:
    """Hashes of the files in which a scenario's own names stand, by module; empty if all its names are built in.

    Files that these import from the same folder count too, and those that they are seen, or say, to read; what is
    installed elsewhere does not.

    Args:
        plain: A scenario, or a part of one, as nested plain values. Its names were looked up, so that their modules
            are loaded.
    """
    found = {}
    for name in _strings(plain):
        if is_user_name(name):
            own = name.partition(":")[0]
            for module, path in {**files_of(own), **data_files_of(own)}.items():
                found[module] = content_hash(path)
    return found


def _strings(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict | list | tuple):
        for value in plain.values() if isinstance(plain, dict) else plain:
            yield from _strings(value)
