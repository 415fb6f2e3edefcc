"""Chains of models; see ``sim.decoding.analysis.hierarchy``."""

# ruff: noqa: F401, F403
from sim.decoding.analysis.hierarchy import *
from sim.decoding.analysis.hierarchy import best_chain as plan
