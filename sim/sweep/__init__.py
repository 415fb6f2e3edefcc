"""Sweeps: points that are independent of each other, run anywhere, gathered in one table.

The package can be called, so that ``from sim import sweep`` gives what a user expects: it is ``sim.sweep.run.sweep``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        from sim.sweep.run import sweep

        return sweep(*arguments, **keywords)


sys.modules[__name__].__class__ = _Callable
