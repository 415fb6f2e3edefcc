"""Runs cases in a process of its own that can be lost: hangs, crashes and greed for memory cost one case, not the run.

The process is forked from this one, so that everything that it needs is imported already; it is forked anew after a
case that has ended it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pickle
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HANG_S = 5.0
MAX_BYTES = 2 << 30
EXIT_CODES = (0, 1, 2, 130)


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        index: Number of the case.
        code: Exit code, or None if it had none.
        text: What was printed.
        fault: What is wrong with that; empty if nothing.
    """

    index: int
    code: int | None
    text: str
    fault: str


def run_watched(
    cases: Sequence[Any],
    call: Callable[[Any], int],
    hang_s: float = HANG_S,
    on_done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run a call for each case; returns the outcomes that are at fault.

    Args:
        cases: One argument each.
        call: Returns the exit code; any exception but SystemExit is a fault.
        hang_s: Seconds after which a case counts as hanging; while others use the processor its time stands still.
        on_done: Told of every outcome.
    """
    faults, start = [], 0
    while start < len(cases):
        for outcome in _run_from(cases, call, start, hang_s):
            on_done(outcome)
            if outcome.fault:
                faults.append(outcome)
            start = outcome.index + 1
    return faults


def _run_from(cases: Sequence[Any], call: Callable[[Any], int], start: int, hang_s: float) -> Iterator[Outcome]:
    """Outcomes from one case on, until all are done or one has ended the process."""
    receive, send = os.pipe()
    gc.freeze()
    pid = os.fork()
    if not pid:
        os.close(receive)
        with contextlib.suppress(BaseException), os.fdopen(send, "wb") as pipe:
            _serve(cases, call, start, pipe)
        os._exit(0)
    os.close(send)
    index = start
    try:
        with os.fdopen(receive, "rb") as pipe:
            clock = _OwnTime(pid)
            while index < len(cases):
                ready, _, _ = select.select([pipe], [], [], max(hang_s - clock.elapsed_s(), 0.1))
                if not ready:
                    if clock.elapsed_s() < hang_s:
                        continue
                    yield Outcome(index, None, "", f"hangs for more than {hang_s:g} s")
                    return
                try:
                    outcome = pickle.load(pipe)
                except EOFError:
                    _, status = os.waitpid(pid, 0)
                    pid = 0
                    yield Outcome(index, None, "", f"ended the process ({os.waitstatus_to_exitcode(status)})")
                    return
                yield outcome
                index += 1
                clock = _OwnTime(pid)
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class _OwnTime:
    """Time of a process since now, without what it waits for a processor that others use.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start_s = time.monotonic()
        self._ran_s, self._waited_s = self._scheduled_s()

    def elapsed_s(self) -> float:
        """Seconds; where the system does not say how long the process waited, all that have passed."""
        ran_s, waited_s = self._scheduled_s()
        if ran_s is None or waited_s is None or self._ran_s is None or self._waited_s is None:
            return time.monotonic() - self._start_s
        if self._state() == "R":  # It runs, or waits for its turn, which is counted when it has come.
            return ran_s - self._ran_s
        return time.monotonic() - self._start_s - (waited_s - self._waited_s)

    def _scheduled_s(self) -> tuple[float, float] | tuple[None, None]:
        try:
            ran_ns, waited_ns, _ = Path(f"/proc/{self._pid}/schedstat").read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return None, None
        return int(ran_ns) / 1e9, int(waited_ns) / 1e9

    def _state(self) -> str:
        try:
            return Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][:1]
        except OSError:
            return ""


def _serve(cases: Sequence[Any], call: Callable[[Any], int], start: int, pipe: Any) -> None:
    own_bytes = _peak_bytes()
    for index in range(start, len(cases)):
        outcome = _run_one(index, cases[index], call)
        if not outcome.fault and _peak_bytes() - own_bytes > MAX_BYTES:
            outcome = Outcome(index, outcome.code, outcome.text, f"takes {(_peak_bytes() - own_bytes) >> 20} MiB")
            own_bytes = _peak_bytes()
        pickle.dump(outcome, pipe)
        pipe.flush()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _run_one(index: int, case: Any, call: Callable[[Any], int]) -> Outcome:
    printed = io.StringIO()
    code: int | None = None
    fault = ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = call(case)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            fault = traceback.format_exc(limit=-4)
    text = printed.getvalue()
    if not fault and code not in EXIT_CODES:
        fault = f"exit code {code}"
    if not fault and "Traceback" in text:
        fault = "prints a traceback"
    return Outcome(index, code, text[-2000:], fault)
