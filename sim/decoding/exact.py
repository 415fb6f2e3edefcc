"""Exact output distributions; see ``sim.decoding.analysis.exact``."""

# ruff: noqa: F403
from sim.decoding.analysis.exact import *
