"""Steady load as a user runs it: a thousand devices in an open loop for ten simulated minutes, replayed from a tape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.measure import result

DURATION_S = 600
STEADY: dict[str, Any] = {
    "name": "steady",
    "devices": {"count": 1000, "arrivals": "poisson", "arrival_rate_hz": 0.01, "warmup_s": 30},
    "models": "embedded",
    "workload": {"max_new_tokens": 32, "stop_at_eos": False, "distinct_requests": 200},
    "slo": {"ttft_s": 0.5, "tpot_s": 0.1},
    "protocol": {"name": "tslt", "draft_length": 4, "top_k": 64},
    "link": {"kind": "fixed", "uplink_mbps": 100, "downlink_mbps": 200, "one_way_delay_s": 0.005},
    "compute": {
        "device": {"kind": "roofline", "hardware": "jetson-orin-nano", "model_size": "160M"},
        "edge": {"kind": "roofline", "hardware": "h100", "model_size": "8B"},
    },
}


def run() -> list[dict[str, Any]]:
    """CPU seconds of the whole command, tables, figures and report included, and its peak memory by simulated time.

    Over a link that has no slots, which is what the target is about, and over a cell of 100 MHz, slot by slot.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_over(folder, STEADY["link"], 60.0), *_over(folder, {"kind": "nr"}, None)]


def _over(folder: Path, link: dict[str, Any], at_most_s: float | None) -> list[dict[str, Any]]:
    """Time and memory over a link."""
    _command(folder, link, 1)  # decodes
    short_s, short_mib, _ = _command(folder, link, DURATION_S // 4)
    seconds, mib, summary = _command(folder, link, DURATION_S)
    requests, tokens = summary["requests"], summary["tokens"]
    what = f"1,000 devices, open loop over {link['kind']}, {DURATION_S} simulated s, recorded requests"
    cpu = result(
        f"{what}: CPU of specran run",
        seconds,
        "s",
        at_most=at_most_s,
        requests=requests,
        tokens=tokens,
        quarter_s=short_s,
    )
    return [
        cpu,
        result(
            f"{what}: peak memory over that of a quarter of the time", mib / short_mib, "ratio", at_most=1.1, mib=mib
        ),
    ]


def _command(folder: Path, link: dict[str, Any], duration_s: float) -> tuple[float, float, dict[str, Any]]:
    """Run it over a link for a window; CPU seconds, peak resident memory [MiB] and the summary."""
    path = folder / "steady.yaml"
    path.write_text(json.dumps({**STEADY, "link": link, "devices": {**STEADY["devices"], "duration_s": duration_s}}))
    environment = {**os.environ, "SPECRAN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "sim.cli", "run", str(path), "--out", str(folder / "results"), "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(printed)
