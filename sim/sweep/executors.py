"""Where a sweep's work runs: in this process, in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from sim.core.errors import InputError
from sim.core.user_code import (
    adopt_module,
    data_files_of,
    files_of,
    remote_code_is_trusted,
    trust_remote_code,
    user_modules,
)
from sim.sweep.cluster import Cluster
from sim.sweep.processes import Processes, keep_off_stdout
from sim.sweep.tasks import Executor, InProcess, Task, TaskResult, ended

# How often a task is tried again whose worker went away.
_RETRIES = 3


class DaskCluster(Executor):
    """A Dask scheduler and whatever workers it has; they need this package installed, and no files of this machine.

    Args:
        cluster: Its scheduler; a local one is started, with workers, and ends with this.
        jobs: Worker processes of a local one.

    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """

    shares_files = False

    def __init__(self, cluster: Cluster, jobs: int = 1) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise InputError(
                "--scheduler needs Dask distributed, which is not installed: pip install 'specran[cluster]'"
            ) from error
        self._local: Any = None
        self._client: Any = None
        try:
            cluster.refuse_silence()
            security = cluster.security()
            if cluster.is_local:
                self._local = LocalCluster(
                    n_workers=jobs, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR
                )
            address = self._local if self._local is not None else cluster.address
            self._client = Client(address, timeout="20s", set_as_default=False, security=security)
        except (OSError, ValueError, TimeoutError) as error:
            # A certificate that is refused is an OSError, too.
            self.close()
            raise InputError(f"--scheduler {cluster.address}: no Dask scheduler answers there ({error})") from error
        self._bring_user_code()

    def _bring_user_code(self) -> None:
        """Give the workers the modules that the scenario names, and say whether checkpoints may bring code."""
        from distributed import WorkerPlugin
        from distributed.diagnostics.plugin import UploadFile

        if self._local is not None:

            class Quiet(WorkerPlugin):
                """Before any code of the user's."""

                @override
                def setup(self, worker: object) -> None:
                    keep_off_stdout()

            self._client.register_plugin(Quiet(), name="specran-results-alone-on-stdout")
        origins = {name: module.path for name, module in user_modules().items()}
        for name in origins:
            for inner, path in reversed(_single_files(name).items()):
                if self._local is None:
                    self._client.upload_file(str(path), load=inner == name)
                else:  # Its scheduler is in this process, which has the module; another copy must not take its place.
                    self._client.register_plugin(UploadFile(str(path), load=inner == name), name=str(path))
        is_trusted = remote_code_is_trusted()

        class Code(WorkerPlugin):
            """Also for workers that join later."""

            @override
            def setup(self, worker: object) -> None:
                for name, origin in origins.items():
                    adopt_module(name, origin)
                trust_remote_code(is_trusted)

        self._client.register_plugin(Code(), name="specran-code")

    @override
    def run(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        from distributed import as_completed

        shared: dict[int, Any] = {}
        futures: dict[Any, int] = {}
        for number, task in enumerate(tasks):
            arguments = [task.task]
            if task.shared is not None:
                known = shared.get(id(task.shared))
                if known is None:
                    # A task of its own: unlike scattered data it can be had again when its worker dies.
                    known = shared[id(task.shared)] = self._client.submit(_same, task.shared, pure=False)
                arguments.append(known)
            futures[self._client.submit(task.function, *arguments, pure=False, retries=_RETRIES)] = number
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                yield ended(futures.pop(future), future.result)
        finally:
            self._client.cancel(list(futures))

    @override
    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._local is not None:
            self._local.close()


def _single_files(name: str) -> dict[str, Path]:
    """All files of a module of the user's, itself first, as it uses the others when it is loaded.

    Raises:
        InputError: One does not lie beside it, where workers have all of them.
    """
    files = files_of(name)
    for inner, path in files.items():
        if path.name == "__init__.py" or "." in inner:
            text = f"{inner!r} is in a package; workers take single files, or install it there"
            raise InputError(f"--scheduler: {text}")
    data = data_files_of(name)
    for inner, path in data.items():
        if inner.count("/") > 1:
            raise InputError(
                f"--scheduler: {path} does not lie beside {files[name]}, which reads it; workers need it there"
            )
    return {**files, **data}


def _same(data: bytes) -> bytes:
    return data


def make_executor(jobs: int, scheduler: Cluster | str | None, tasks: int) -> Executor:
    """The executor that the user asked for; no process is started for a single worker."""
    if scheduler is not None:
        cluster = Cluster(scheduler) if isinstance(scheduler, str) else scheduler
        return DaskCluster(cluster, min(jobs, tasks))
    return Processes(min(jobs, tasks)) if min(jobs, tasks) > 1 else InProcess()
