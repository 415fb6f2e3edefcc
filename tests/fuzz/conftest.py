"""Sweeps without pictures, as the tests of sweeps have them."""

from __future__ import annotations

from tests.sweep.conftest import no_pictures

__all__ = ["no_pictures"]
