"""Workers that die, here and on a Dask cluster: their work is done again, and the table is the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sim.core.errors import InputError
from sim.scenario.schema import Scenario
from sim.sweep.cluster import Cluster
from sim.sweep.executors import DaskCluster
from sim.sweep.processes import Processes
from sim.sweep.run import sweep
from sim.sweep.tasks import Task

DaskProcesses = tuple[str, list[subprocess.Popen[bytes]]]


def double(number: int) -> int:
    """A task of work."""
    return 2 * number


def die_once(marker: str) -> str:
    """Work whose first worker is killed."""
    if not Path(marker).exists():
        Path(marker).write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(_: int) -> None:
    """Work that kills every worker."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> None:
    """Work that goes wrong."""
    raise InputError(f"{number} will not do")


def test_dead_workers_are_replaced_and_their_work_is_done_again(tmp_path: Path):
    tasks = [
        Task(double, 1),
        Task(die_once, str(tmp_path / "marker")),
        Task(fail, 3),
        Task(double, 4),
        Task(die, 5),
        Task(double, 6),
    ]
    with Processes(2) as executor:
        ended = {number: (result, failure) for number, result, failure in executor.run(tasks)}
    assert ended[0] == (2, "") and ended[1] == ("done", "") and ended[3] == (8, "") and ended[5] == (12, "")
    assert ended[2] == (None, "3 will not do")
    assert "died again and again" in ended[4][1]


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


@pytest.fixture()
def dask_cluster(tmp_path: Path) -> Iterator[DaskProcesses]:
    with dask_processes(tmp_path) as cluster:
        yield cluster


@pytest.fixture()
def certificate(tmp_path: Path) -> Path:
    """A certificate that signs itself and its key, valid for a day, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "certificate.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return path


@pytest.mark.usefixtures("no_pictures")
def test_dask_makes_the_same_table_though_a_worker_is_killed(tiny: Scenario, tmp_path: Path, dask_cluster):
    address, workers = dask_cluster
    here = sweep(tiny, tmp_path / "here", jobs=1)
    killed = []

    def kill_one(what: str, done: int, total: int) -> None:
        if what == "simulating" and 2 <= done < total and not killed:
            killed.append(done)
            workers[0].kill()

    away = sweep(tiny, tmp_path / "away", scheduler=address, progress=kill_one)
    assert killed and workers[0].wait() != 0
    assert not away.failed
    assert (away.folder / "sweep.parquet").read_bytes() == (here.folder / "sweep.parquet").read_bytes()
    assert (away.folder / "sweep.csv").read_bytes() == (here.folder / "sweep.csv").read_bytes()


def test_recording_on_dask_brings_the_entries_home(tiny: Scenario, cache: Path, tmp_path: Path, dask_cluster):
    from sim.inputs.tokenised_requests import planned_requests
    from sim.runs.prepare import tape_store
    from sim.sweep.recording import record_missing

    address, _ = dask_cluster
    with DaskCluster(Cluster(address)) as executor:
        assert record_missing([(tiny, planned_requests(tiny))], tape_store(), executor, lambda *_: None) == 4
    assert len(tape_store().list_keys()) == 4
    assert not list((tmp_path / "workers-cache").rglob("tape/*/*.json"))


@pytest.mark.usefixtures("no_pictures", "cache")
def test_points_that_decode_while_simulating_load_their_models_at_the_workers_behind_tls(
    tiny_keys: dict, tmp_path: Path, certificate: Path
):
    """Over an encrypted scheduler, whose workers and clients show a certificate."""
    tiny_keys["controller"] = {"name": "flexspec", "max_draft_length": 5}
    tiny_keys["sweep"]["axes"] = {"link.uplink_bandwidth_mhz": [0.02, 2.0]}
    adaptive = Scenario.from_dict(tiny_keys)
    here = sweep(adaptive, tmp_path / "here", jobs=1)
    with dask_processes(tmp_path, certificate) as (address, _):
        assert address.startswith("tls://")
        away = sweep(adaptive, tmp_path / "away", scheduler=Cluster(address, certificate, certificate))
        with pytest.raises(InputError, match="TLS needs --tls-ca, --tls-cert, too"):
            Cluster(address)
    assert not here.failed and not away.failed
    assert (away.folder / "sweep.csv").read_bytes() == (here.folder / "sweep.csv").read_bytes()


def test_no_scheduler_gives_a_clear_message(monkeypatch):
    monkeypatch.setattr("distributed.Client", _refuse)
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        DaskCluster(Cluster("tcp://127.0.0.1:1"))


def _refuse(*_: object, **__: object) -> None:
    raise OSError("timed out")


def test_without_dask_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"specran\[cluster\]"):
        DaskCluster(Cluster("tcp://127.0.0.1:1"))


def test_models_of_another_kind_at_a_worker_are_refused(tiny_keys: dict, cache: Path):
    """Adaptive points decode where they run: a worker's models must be those of the sweep's start, and be there."""
    from sim.runs.prepare import bare_inputs
    from sim.sweep.work import _models_like

    scenario = Scenario.from_dict({key: value for key, value in tiny_keys.items() if key != "sweep"})
    inputs = bare_inputs(scenario)
    models_info = inputs.models_info
    assert _models_like(inputs, scenario)[0]["draft"].fingerprint == models_info["draft"].fingerprint
    swapped = replace(inputs, models_info={"draft": models_info["target"], "target": models_info["target"]})
    with pytest.raises(InputError, match=r"models\.draft: .* is another model on this worker"):
        _models_like(swapped, scenario)
    elsewhere = scenario.replace("models.draft", str(cache / "nowhere"))
    with pytest.raises(InputError, match="need their models where they run"):
        _models_like(inputs, elsewhere)
