"""Content addresses: hashes of nested plain values."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(plain: Any) -> str:
    """Nested plain values as one line of JSON, the same for equal values."""
    return _ENCODER.encode(plain)


def digest(plain: Any) -> str:
    """Hash of nested plain values."""
    return hashlib.sha256(canonical(plain).encode()).hexdigest()


def run_id(address: str) -> str:
    """A run's address as folders and tables show it."""
    return address[:12]
