"""The code that a result was made by: hashes of its sources, and versions of the libraries that compute it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from sim.models.fingerprint import library_versions

PACKAGE = Path(__file__).resolve().parent.parent
# What no figure of a run depends on: it only starts, shows or trains, or is in the fingerprint of a model.
_NO_PART = ("cli", "figures", "report", "models/training", "models/embedded", "bundled_scenarios")
_SUFFIXES = (".py", ".json", ".csv", ".yaml")  # Code, and the tables beside it.
_SIMULATED_BY = ("numpy", "scipy", "simpy", "sionna-no-rt")


@lru_cache(maxsize=1)
def decoding_code() -> str:
    """Hash of the code that decodes: protocols, rules and codecs, the models' forward passes, how requests are made."""
    return _hash_of_sources(("decoding", "models", "inputs"))


@lru_cache(maxsize=1)
def simulator_code() -> str:
    """Hash of all code that a run's figures depend on, and of the versions of the libraries that simulate."""
    return f"{_hash_of_sources(('.', '../channels'))} {library_versions(*_SIMULATED_BY)}"


@lru_cache(maxsize=1)
def all_code() -> str:
    """Hash of all code, that which draws and reports included, and of the versions of the libraries that draw."""
    drawn_by = library_versions("matplotlib", "pandas", "pyarrow")
    return f"{_hash_of_sources(('.', '../channels'), left_out=())} {drawn_by}"


def _hash_of_sources(places: tuple[str, ...], left_out: tuple[str, ...] = _NO_PART) -> str:
    digest = hashlib.sha256()
    for place in places:
        start = (PACKAGE / place).resolve()
        if not start.exists():
            raise FileNotFoundError(f"{start} is missing from this installation")
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            name = path.relative_to(PACKAGE.parent).as_posix()
            is_out = any(name.startswith(f"{PACKAGE.name}/{part}/") for part in left_out)
            if path.suffix in _SUFFIXES and not is_out and path.is_file():
                digest.update(name.encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
