"""What must stay quick however much there is: a sweep of 10,000 points, a tape of 100,000 entries."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.measure import process_s, result

NUM_POINTS = 10_000
NUM_ENTRIES = 100_000
_SWEEP: dict[str, Any] = {
    "name": "wide",
    "devices": {"count": 1, "requests": 1},
    "models": "embedded",
    "workload": {"max_new_tokens": 4},
    "protocol": {"name": "dsd", "draft_length": 4},
    "link": "fixed",
    "compute": {site: {"kind": "fixed"} for site in ("device", "edge")},
    "sweep": {"axes": {"link.uplink_mbps": {"from": 1, "to": 100, "points": NUM_POINTS}}},
}
# The command line until the first point is handed out.
_UNTIL_FIRST = """
import os, sys
from sim.sweep.run import _Sweep
_Sweep._simulate = lambda *_: os._exit(0)
from sim.cli import main
main()
"""
# Entries of 9 kB, as the larger studies among the bundled scenarios leave.
_RECORDED: dict[str, Any] = {
    "name": "recorded",
    "devices": {"count": 4, "requests": 4},
    "models": "embedded",
    "workload": {"max_new_tokens": 48},
    "protocol": {"name": "tslt", "draft_length": 4, "top_k": 64},
    "link": "fixed",
    "compute": {site: {"kind": "fixed"} for site in ("device", "edge")},
}


def run() -> list[dict[str, Any]]:
    """CPU seconds of whole commands, as on an idle core."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"SPECRAN_CACHE": f"{folder}/cache", "OMP_NUM_THREADS": "1"}
        return [*_sweep(Path(folder), environment), *_tape(Path(folder), environment)]


def _sweep(folder: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """From the command to the first point, the whole sweep, its files, and the command again with ``--resume``."""
    path = folder / "wide.yaml"
    path.write_text(json.dumps(_SWEEP))
    out = folder / "results"
    sweep = ["sweep", str(path), "--jobs", "2", "--out", str(out)]
    process_s(["-m", "sim.cli", "tape", "record", str(path)], environment)
    start_s = process_s(["-c", _UNTIL_FIRST, *sweep], environment)
    whole_s = process_s(["-m", "sim.cli", *sweep], environment)
    resumed_s = process_s(["-m", "sim.cli", *sweep, "--resume"], environment)
    files = sum(1 for file in out.rglob("*") if file.is_file())
    name = f"sweep of {NUM_POINTS:,} points"
    return [
        result(f"{name}: until the first point", start_s, "s CPU", at_most=2.0),
        result(f"{name}: all of it, 2 processes", whole_s, "s CPU"),
        result(f"{name}: files", files, "files", at_most=300),
        result(f"{name}: --resume", resumed_s, "s CPU", at_most=5.0),
    ]


def _tape(folder: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """``tape list``, ``verify`` and ``prune`` of many requests, each a recorded one under a seed of its own."""
    from sim.tape.key import key_of
    from sim.tape.store import TapeStore, encode_entry

    path = folder / "recorded.yaml"
    path.write_text(json.dumps(_RECORDED))
    process_s(["-m", "sim.cli", "tape", "record", str(path)], environment)
    store = TapeStore(folder / "cache" / "tape")
    templates = [store.entry(key) for key in store.list_keys()]
    num_bytes = 0
    for number in range(NUM_ENTRIES - len(templates)):
        own = templates[number % len(templates)]
        about = {**own.about, "random": [1000 + number, own.about["random"][1]]}
        key = key_of(about)
        data = encode_entry(key, own.records, about)
        store.path(key).parent.mkdir(exist_ok=True)
        store.path(key).write_bytes(data)
        num_bytes += len(data)
    assert len(store.list_keys()) == NUM_ENTRIES
    size_gb = num_bytes / 1e9
    results = []
    for what, arguments in (
        ("list", ["list"]),
        ("verify", ["verify"]),
        ("prune, all kept", ["prune"]),
        ("prune to half", ["prune", "--max-gb", str(size_gb / 2)]),
    ):
        used_s = process_s(["-m", "sim.cli", "tape", *arguments], environment)
        name = f"tape {what}: {NUM_ENTRIES:,} entries, {size_gb:.2g} GB"
        results.append(result(name, used_s, "s CPU", at_most=20.0))
    return results
