"""Decoding protocols without a clock: steps, sampling, verification rules, the wire codec. A library of its own."""

from __future__ import annotations

from typing import Any

__all__ = ["decode"]


def __getattr__(name: str) -> Any:
    if name == "decode":
        from sim.decoding.drivers.library import decode

        return decode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
