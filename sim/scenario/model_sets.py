"""Models that ship together, by the name that they are called by."""

from __future__ import annotations

MODEL_SETS = {"embedded": ("draft", "middle", "target"), "smollm2": ("draft", "target")}
"""Roles of each set; its models are called ``SET/ROLE``."""


def models_of_set(name: str) -> dict[str, str]:
    """Model of each role of a set."""
    return {role: f"{name}/{role}" for role in MODEL_SETS[name]}
