"""A scheduler of a user's own, whose mistakes are reported in a line instead of deep within the cell."""

from __future__ import annotations

import traceback

import numpy as np

from sim.core.errors import RunError
from sim.core.user_code import is_user_name
from sim.links.nr.mac.schedulers.base import Array, QueueView, Scheduler
from sim.links.nr.mac.schedulers.registry import SCHEDULERS


def make_scheduler(name: str, delay_budget_s: float) -> Scheduler:
    """A scheduler by its name; one of a user's own is checked at every call.

    Raises:
        RunError: A user's own that cannot be made.
    """
    make = SCHEDULERS.find(name).make
    if not is_user_name(name):
        return make(delay_budget_s)
    try:
        return CheckedScheduler(name, make(delay_budget_s))
    except Exception as error:
        raise RunError(f"link.scheduler {name!r}: {type(error).__name__}: {error}") from error


class CheckedScheduler(Scheduler):
    """Passes priorities on if they are numbers of the right shape.

    Args:
        name: What the scenario calls it.
        inner: The scheduler.
    """

    def __init__(self, name: str, inner: Scheduler) -> None:
        self._name, self._inner = name, inner
        self.shares_evenly = inner.shares_evenly

    def priority(self, queues: QueueView) -> Array:
        """Priorities of the inner one.

        Raises:
            RunError: It raised an exception, or its priorities are of another shape or not all numbers.
        """
        try:
            priority = np.asarray(self._inner.priority(queues), dtype=np.float64)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise self._wrong(f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})") from error
        rows, groups = queues.rate_bps.shape
        if priority.shape not in ((rows, 1), (rows, groups)):
            raise self._wrong(
                f"priority() returned the shape {list(priority.shape)}; valid: [num_queues, num_groups], here "
                f"[{rows}, {groups}], or [num_queues, 1]"
            )
        if np.isnan(priority).any():
            raise self._wrong("priority() returned values that are not numbers (NaN)")
        return priority

    def _wrong(self, what: str) -> RunError:
        return RunError(f"link.scheduler {self._name!r}: {what}")
