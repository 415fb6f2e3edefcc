"""What ends a command early: the first signal is an interrupt, told in one line; more of them change nothing."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time

INTERRUPTED = 130
"""What shells say of a command that an interrupt has ended."""

# Seconds after the first signal in which a command puts away what it has begun; a signal after these ends it.
_PATIENCE_S = 2.0
# Libraries may lose an exception that comes from a signal: seconds after which it is raised again then.
_AGAIN_S = 1.0
# With the handlers that Python gives them; a signal that the parent process ignores (as under nohup) is left alone.
_SIGNALS = (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    *((number, signal.SIG_DFL) for number in [getattr(signal, "SIGHUP", None)] if number is not None),
)


class Interrupts:
    """Handles the signals of a process that runs one command, from the moment that this is made."""

    def __init__(self) -> None:
        self._first_s: float | None = None
        self._is_ending = False
        self._taken = [number for number, default in _SIGNALS if signal.getsignal(number) == default]
        for number in self._taken:
            signal.signal(number, self._handle)
        # After all threads and workers have ended, when the interpreter takes the handlers away.
        atexit.register(self._ignore)

    def end(self) -> None:
        """The command is done: what ends the process now is nobody's to hear."""
        self._is_ending = True
        if self._first_s is not None:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _handle(self, *_: object) -> None:
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s
            if not self._is_ending:
                signal.signal(signal.SIGALRM, self._raise_again)
                signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
                raise KeyboardInterrupt
        elif now_s - self._first_s >= _PATIENCE_S:
            os.write(2, b"specran: interrupted again, and ended at once\n")
            os._exit(INTERRUPTED)

    def _raise_again(self, *_: object) -> None:
        """Unless the command is ending, or putting away what it has begun, the interrupt was lost."""
        error: BaseException | None = sys.exc_info()[1]
        while error is not None and not isinstance(error, KeyboardInterrupt):
            error = error.__context__
        if error is None and not self._is_ending:
            raise KeyboardInterrupt

    def _ignore(self) -> None:
        for number in self._taken:
            signal.signal(number, signal.SIG_IGN)
