"""A Dask cluster of processes on this machine, in the clear or behind TLS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def dask_processes(
    folder: Path, certificate: Path | None = None
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two worker processes on the loopback: its address and the workers.

    Args:
        folder: Where they run and keep their cache.
        certificate: PEM file of a certificate that signs itself and its key, for all sides; None for no encryption.
    """
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    environment = {**os.environ, "SPECRAN_CACHE": str(folder / "workers-cache"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    options = ["--no-dashboard", "--host", "127.0.0.1"]
    if certificate is not None:
        options += [f"--tls-{part}={certificate}" for part in ("ca-file", "cert", "key")]
    scheduler = subprocess.Popen(
        [
            sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", *options,
            *([] if certificate is None else ["--protocol", "tls"]),
        ],
        stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    assert scheduler.stderr is not None
    address = ""
    for line in scheduler.stderr:
        if found := re.search(r"Scheduler at:\s+(\w+://\S+)", line):
            address = found.group(1)
            break
    threading.Thread(target=scheduler.stderr.read, daemon=True).start()
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", *options]
    workers = [subprocess.Popen(command, env=environment, **quiet) for _ in range(2)]
    try:
        yield address, workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()
