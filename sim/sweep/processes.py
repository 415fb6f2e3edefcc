"""Worker processes on this machine: supplied with what they have unpacked already, replaced when they die."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from typing import Any

from typing_extensions import override

from sim.core.gc_tuning import relax_gc
from sim.core.user_code import (
    UserCodeError,
    UserModule,
    remote_code_is_trusted,
    restore_user_modules,
    trust_remote_code,
    user_modules,
)
from sim.sweep.tasks import Executor, Task, TaskResult, ended

# A task that was under way this often when a worker process crashed is given up: it is what crashes them.
MAX_CRASHES = 3


class _Worker:
    """One worker process, and the tasks that were submitted to it: it does them in their order.

    Attributes:
        shared: Second argument of the task that was submitted last.
        under_way: Numbers of its tasks by future, the one that it is at first.
    """

    def __init__(self) -> None:
        self.shared: bytes | None = None
        self.under_way: dict[Future[Any], int] = {}
        self._pool: ProcessPoolExecutor | None = None
        self._last: Future[Any] | None = None

    def submit(self, number: int, task: Task) -> None:
        """Give it another task; a process that has crashed is replaced first."""
        self.shared = task.shared
        self.under_way[self.call(task)] = number

    def call(self, task: Task) -> Future[Any]:
        """Let it make a call after all others."""
        if self._pool is None:
            code = (user_modules(), remote_code_is_trusted())
            self._pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin_worker, initargs=code)
        try:
            with hide_main_module():
                self._last = self._pool.submit(task.run)
            return self._last
        except BrokenProcessPool:
            # It crashed without work, or its crash is still to be reported; in both cases nothing else is lost.
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool())
            return future

    def reap(self) -> list[int]:
        """After a crash: the numbers of all that it had not finished, the one that was running first."""
        lost = [
            number
            for future, number in self.under_way.items()
            if not (future.done() and not isinstance(future.exception(), BrokenProcessPool))
        ]
        self.under_way = {future: number for future, number in self.under_way.items() if number not in lost}
        self.close()
        return lost

    def close(self) -> None:
        """End the process when its running task is done; of one that has done all this is waited for.

        A program that ends while the thread behind an idle process ends as well would tell of a closed pipe (CPython
        wakes such threads without a lock).
        """
        if self._pool is not None:
            self._pool.shutdown(wait=self._last is None or self._last.done(), cancel_futures=True)
            self._pool = self._last = None

    def interrupt(self) -> None:
        """End the process; its unfinished task is not collected."""
        for process in list(getattr(self._pool, "_processes", None) or {}):
            with suppress(OSError):
                os.kill(process, signal.SIGTERM)


class _TaskQueue:
    """Tasks not submitted yet, by the inputs they share: a worker that has unpacked these goes on with them."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._by_shared: dict[int, deque[int]] = {}
        for number in range(len(tasks)):
            self._queue(number).append(number)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._by_shared.values())

    def _queue(self, number: int) -> deque[int]:
        return self._by_shared.setdefault(id(self._tasks[number].shared), deque())

    def put_back(self, number: int) -> None:
        """A task must be done again, before the others that share its inputs."""
        self._queue(number).appendleft(number)

    def take_for(self, worker: _Worker, others: Iterable[_Worker]) -> int:
        """Next task for a worker: prefers shared inputs it has loaded, then those no other worker has loaded."""
        elsewhere = {id(other.shared) for other in others if other is not worker and other.under_way}
        open_ones = [shared for shared, queue in self._by_shared.items() if queue]
        own = [shared for shared in open_ones if shared == id(worker.shared)]
        free = [shared for shared in open_ones if shared not in elsewhere]
        return self._by_shared[(own or free or open_ones)[0]].popleft()


class Processes(Executor):
    """Worker processes on this machine; one that crashes is replaced, and what it was doing is done again.

    Args:
        jobs: How many.
    """

    def __init__(self, jobs: int) -> None:
        self._workers = [_Worker() for _ in range(jobs)]

    @override
    def get_ready(self, task: Task) -> None:
        for worker in self._workers:
            worker.call(task)

    @override
    def run(self, tasks: Sequence[Task]) -> Iterator[TaskResult]:
        waiting = _TaskQueue(tasks)
        crashes = [0] * len(tasks)
        while waiting or any(worker.under_way for worker in self._workers):
            self._submit_all(tasks, waiting)
            wait([future for worker in self._workers for future in worker.under_way], return_when=FIRST_COMPLETED)
            for worker in self._workers:
                yield from self._ended(worker, waiting, crashes)

    def _submit_all(self, tasks: Sequence[Task], waiting: _TaskQueue) -> None:
        """Give each worker a task, and a second one to go on with while there are more than workers."""
        for num_held, min_left in ((0, 0), (1, len(self._workers))):
            for worker in self._workers:
                if len(worker.under_way) == num_held and len(waiting) > min_left:
                    number = waiting.take_for(worker, self._workers)
                    worker.submit(number, tasks[number])

    def _ended(self, worker: _Worker, waiting: _TaskQueue, crashes: list[int]) -> Iterator[TaskResult]:
        """What a worker has finished; after a crash its tasks wait again, but for one that crashed too often."""
        finished = [future for future in worker.under_way if future.done()]
        if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
            crashed, *others = worker.reap()
            for number in reversed(others):
                waiting.put_back(number)
            crashes[crashed] += 1
            if crashes[crashed] < MAX_CRASHES:
                waiting.put_back(crashed)
            else:
                yield crashed, None, "its worker process crashed again and again (killed, or out of memory)"
        for future in [future for future in finished if future in worker.under_way]:
            yield ended(worker.under_way.pop(future), future.result)

    @override
    def close(self) -> None:
        closing = [threading.Thread(target=worker.close) for worker in self._workers]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def __exit__(self, *exc: object) -> None:
        if any(exc):
            for worker in self._workers:
                worker.interrupt()
        self.close()


@contextmanager
def hide_main_module() -> Iterator[None]:
    """Hide the script that starts workers from them: they need nothing of it, and would run it again."""
    script = vars(sys.modules["__main__"])
    seen: dict[str, Any] = {name: script[name] for name in ("__file__", "__spec__") if name in script}
    script.pop("__file__", None)
    script["__spec__"] = None
    try:
        yield
    finally:
        script.update(seen)


def keep_off_stdout() -> None:
    """Send whatever code of a user's own prints in this process to stderr; stdout has the command's results alone."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr


def _begin_worker(modules: Mapping[str, UserModule], trusted: bool) -> None:
    """Leave interrupts to the parent, and end with it even if it is killed.

    Args:
        modules: What the parent has loaded of the user's own code: the same files are loaded here.
        trusted: Whether checkpoints may bring code of their own.
    """
    keep_off_stdout()
    relax_gc()
    trust_remote_code(trusted)
    with suppress(UserCodeError):
        # A file that is gone by now is reported when something of it is asked for.
        restore_user_modules(modules)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
