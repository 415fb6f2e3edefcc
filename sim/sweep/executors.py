"""Where a sweep's work runs: in this process, in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any

from sim.errors import InputError, RunError

# A piece of work that was under way this often when a worker process died is given up: it is what kills them.
_MOST_DEATHS = 3
# Pieces handed out per worker ahead of time, so that none waits for the parent.
_AHEAD = 3


@dataclass(frozen=True)
class Piece:
    """One call: a function that a worker can import, and its arguments.

    Attributes:
        function: What to call.
        task: Its own argument.
        shared: Large second argument that several pieces have in common, or None.
    """

    function: Callable[..., Any]
    task: Any
    shared: bytes | None = None

    def run(self) -> Any:
        """Make the call."""
        return self.function(self.task) if self.shared is None else self.function(self.task, self.shared)


Ended = tuple[int, Any, str]  # number of the piece, its result, or why there is none


class Executor(ABC):
    """Runs independent pieces of work in any order.

    Attributes:
        shares_files: Whether the workers see this machine's files.
    """

    shares_files = True

    @abstractmethod
    def run(self, pieces: Sequence[Piece]) -> Iterator[Ended]:
        """Yield the pieces' results as they come; a piece that raises yields its message instead."""

    def close(self) -> None:  # noqa: B027 -- most have nothing to let go
        """Let the workers go."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def message_of(error: BaseException) -> str:
    """What went wrong, in a line."""
    if isinstance(error, InputError | RunError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class InProcess(Executor):
    """One piece after the other, right here."""

    def run(self, pieces: Sequence[Piece]) -> Iterator[Ended]:
        for number, piece in enumerate(pieces):
            try:
                result = piece.run()
            except Exception as error:
                yield number, None, message_of(error)
            else:
                yield number, result, ""


class Processes(Executor):
    """Worker processes on this machine; one that dies is replaced, and what it was doing is done again.

    Args:
        jobs: How many.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def run(self, pieces: Sequence[Piece]) -> Iterator[Ended]:
        waiting = list(range(len(pieces)))[::-1]
        under_way: dict[Future[Any], int] = {}
        deaths = [0] * len(pieces)
        while waiting or under_way:
            self._hand_out(pieces, waiting, under_way, careful=any(deaths[n] for n in waiting))
            finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
                # The others of the pool end likewise, in a moment.
                finished, _ = wait(under_way)
                self.close()
            for future in finished:
                number = under_way.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    deaths[number] += 1
                    if deaths[number] < _MOST_DEATHS:
                        waiting.append(number)
                        continue
                    error = RunError("its worker process died again and again (killed, or out of memory)")
                yield (number, future.result(), "") if error is None else (number, None, message_of(error))

    def _hand_out(
        self, pieces: Sequence[Piece], waiting: list[int], under_way: dict[Future[Any], int], careful: bool
    ) -> None:
        """Keep the workers supplied; after a death one piece at a time, so that the guilty one is found out."""
        if self._pool is None:
            self._pool = self._new_pool()
        most = 1 if careful else self.jobs * _AHEAD
        while waiting and len(under_way) < most:
            number = waiting.pop()
            try:
                with _unseen_script():
                    under_way[self._pool.submit(pieces[number].run)] = number
            except BrokenProcessPool:
                waiting.append(number)
                if under_way:
                    return
                self.close()
                self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.jobs, get_context("spawn"), initializer=_begin_worker)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __exit__(self, *exc: object) -> None:
        if any(exc) and self._pool is not None:
            # Interrupted: nobody will take what the workers are at.
            for process in list(getattr(self._pool, "_processes", None) or {}):
                with suppress(OSError):
                    os.kill(process, signal.SIGTERM)
        self.close()


@contextmanager
def _unseen_script() -> Iterator[None]:
    """Hide the script that starts workers from them: they need nothing of it, and would run it again."""
    script = vars(sys.modules["__main__"])
    seen: dict[str, Any] = {name: script[name] for name in ("__file__", "__spec__") if name in script}
    script.pop("__file__", None)
    script["__spec__"] = None
    try:
        yield
    finally:
        script.update(seen)


def _begin_worker() -> None:
    """Leave interrupts to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class DaskCluster(Executor):
    """A Dask scheduler and whatever workers it has; they need this package installed, and no files of this machine.

    Args:
        address: Of the scheduler, such as ``tcp://host:8786``.

    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """

    shares_files = False

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                "--scheduler needs Dask distributed, which is not installed: pip install 'specran[cluster]'"
            ) from error
        try:
            self._client = Client(address, timeout="20s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from error

    def run(self, pieces: Sequence[Piece]) -> Iterator[Ended]:
        from distributed import as_completed

        shared: dict[int, Any] = {}
        futures: dict[Any, int] = {}
        for number, piece in enumerate(pieces):
            arguments = [piece.task]
            if piece.shared is not None:
                known = shared.get(id(piece.shared))
                if known is None:
                    # A task of its own: unlike scattered data it can be had again when its worker dies.
                    known = shared[id(piece.shared)] = self._client.submit(_same, piece.shared, pure=False)
                arguments.append(known)
            futures[self._client.submit(piece.function, *arguments, pure=False, retries=_MOST_DEATHS)] = number
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                number = futures.pop(future)
                try:
                    result = future.result()
                except Exception as error:
                    yield number, None, message_of(error)
                else:
                    yield number, result, ""
        finally:
            self._client.cancel(list(futures))

    def close(self) -> None:
        self._client.close()


def _same(data: bytes) -> bytes:
    return data


def make_executor(jobs: int, scheduler: str | None, pieces: int) -> Executor:
    """The executor that the user asked for; no process is started for a single worker."""
    if scheduler is not None:
        return DaskCluster(scheduler)
    return Processes(min(jobs, pieces)) if min(jobs, pieces) > 1 else InProcess()
