"""Content addresses: hashes of nested plain values."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(plain: Any) -> str:
    """Nested plain values as one line of JSON, the same for equal values."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def digest(plain: Any) -> str:
    """Hash of nested plain values."""
    return hashlib.sha256(canonical(plain).encode()).hexdigest()


def run_id(address: str) -> str:
    """A run's address as folders and tables show it."""
    return address[:12]
