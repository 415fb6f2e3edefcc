"""SpecRAN: language-model inference over a radio link, simulated with real models in the loop.

>>> from sim import Scenario, load_scenario, run, sweep
>>> scenario = load_scenario("quickstart").replace("link.bandwidth_mhz", 40)
>>> run(scenario).requests  # a pandas frame, one row per request
>>> sweep(scenario, jobs=2).table

Each name comes with its module on first use, so that importing the package loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.core.errors import InputError as InputError
    from sim.core.errors import RunError as RunError
    from sim.runs.run import RunResult as RunResult
    from sim.runs.run import run as run
    from sim.scenario.loading import load_scenario as load_scenario
    from sim.scenario.schema import Scenario as Scenario
    from sim.sweep.run import SweepResult as SweepResult

_HOMES = {
    "InputError": "sim.core.errors",
    "RunError": "sim.core.errors",
    "RunResult": "sim.runs.run",
    "Scenario": "sim.scenario.schema",
    "SweepResult": "sim.sweep.run",
    "load_scenario": "sim.scenario.loading",
    "run": "sim.runs.run",
}

__all__ = ["InputError", "RunError", "RunResult", "Scenario", "SweepResult", "load_scenario", "run", "sweep"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("specran")
    if name == "sweep":
        return import_module("sim.sweep")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
