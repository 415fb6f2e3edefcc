"""Signatures as the reference shows them: the union of all steps by its name."""

from __future__ import annotations

import re
from typing import get_args

from sim.decoding.core.steps import Step

_NAMES = [step.__name__ for step in get_args(Step)]
_UNION = re.compile(r" \| ".join(rf"~?(?:\w+\.)*{name}" for name in _NAMES) + r"\b")


def with_step_named(text: str | None) -> str | None:
    """Write ``Step`` for the union of the classes that a protocol may yield."""
    return None if text is None else _UNION.sub("Step", text)
