"""The quickstart sweep as a user runs it: nothing recorded, then again; and with the tapes that ship."""

from __future__ import annotations

import tempfile
from time import perf_counter
from typing import Any

from sim.core.files import models_folder
from sim.tape.archive import SHIPPED_VARIABLE
from tests.bench.measure import process_s, result

_NOTHING_SHIPS = {SHIPPED_VARIABLE: ""}


def run() -> list[dict[str, Any]]:
    """Wall seconds of the whole command, models in the cache: decoded, replayed, and replayed from what ships."""
    with tempfile.TemporaryDirectory() as folder:
        cold = _sweep("decoded now", folder, "cold", _NOTHING_SHIPS, at_most=120.0)
        warm = _sweep("recorded before", folder, "cold", _NOTHING_SHIPS, at_most=15.0)
        shipped = _sweep("from the tapes that ship", folder, "shipped", {}, at_most=None)
    return [cold, warm, shipped]


def _sweep(what: str, folder: str, cache: str, environment: dict[str, str], at_most: float | None) -> dict[str, Any]:
    start = perf_counter()
    cpu_s = process_s(
        ["-m", "sim.cli", "sweep", "quickstart", "--out", f"{folder}/results"],
        {"SPECRAN_MODELS": str(models_folder()), "SPECRAN_CACHE": f"{folder}/{cache}", **environment},
    )
    return result(f"quickstart sweep, {what}", perf_counter() - start, "s", at_most=at_most, cpu_s=cpu_s)
