"""Workers that die, here and on a Dask cluster: their work is done again, and the table is the same."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sim.core.errors import InputError
from sim.scenario.schema import Scenario
from sim.sweep.cluster import Cluster
from sim.sweep.executors import DaskCluster
from sim.sweep.processes import Processes
from sim.sweep.run import sweep
from sim.sweep.tasks import Task, results_of
from tests.sweep.dask_processes import dask_processes

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
    assert "crashed again and again" in ended[4][1]


def test_workers_get_ready_and_a_call_that_goes_wrong_there_goes_wrong_here():
    """Whatever comes of getting ready, a crash included: the work is done."""
    with Processes(2) as executor:
        for task in (Task(fail, 0), Task(double, 1), Task(die, 0)):
            executor.get_ready(task)
        assert results_of(executor, double, [1, 2, 3]) == [2, 4, 6]
        with pytest.raises(InputError, match="3 will not do"):
            results_of(executor, fail, [3])


def test_nothing_of_workers_that_are_done_is_left_behind():
    """A thread of theirs that ended together with the program would tell of a closed pipe on stderr."""
    before = set(threading.enumerate())
    with Processes(2) as executor:
        assert results_of(executor, double, [1, 2, 3]) == [2, 4, 6]
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


@pytest.fixture()
def dask_cluster(tmp_path: Path) -> Iterator[DaskProcesses]:
    with dask_processes(tmp_path) as cluster:
        yield cluster


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


def test_nobody_listens_gives_a_clear_message():
    with pytest.raises(InputError, match="nothing listens there"):
        DaskCluster(Cluster("tcp://127.0.0.1:1"))


def test_a_server_of_another_kind_gives_a_clear_message():
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers = threading.Thread(target=_answer_twice, args=(server,))
        answers.start()
        with pytest.raises(InputError, match="no Dask scheduler answers there"):
            DaskCluster(Cluster(f"tcp://127.0.0.1:{server.getsockname()[1]}"))
        answers.join()


def _answer_twice(server: socket.socket) -> None:
    """First somebody looks whether anybody listens, then it is spoken to."""
    for _ in range(2):
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


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
