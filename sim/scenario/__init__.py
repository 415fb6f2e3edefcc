"""Scenarios: the schema of the YAML files, their loading, and messages that say what is wrong and where."""

from sim.scenario.loading import load_scenario
from sim.scenario.schema import Scenario

__all__ = ["Scenario", "load_scenario"]
