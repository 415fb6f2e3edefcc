"""Closed forms; see ``sim.decoding.analysis.theory``."""

# ruff: noqa: F403
from sim.decoding.analysis.theory import *
