"""The tiny pair and its sweep, shared with the tests of sweeps."""

from __future__ import annotations

from tests.sweep.conftest import cache, no_pictures, tiny, tiny_keys, tiny_pair

__all__ = ["cache", "no_pictures", "tiny", "tiny_keys", "tiny_pair"]
